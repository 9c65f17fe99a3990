"""The tracer in Python, for a machine without a C compiler: the counts of `blockcount.c`, far slower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyir.runtime.trace import (
    EVERYWHERE,
    NOWHERE,
    Block,
    Checks,
    Edge,
    Loads,
    OpObserver,
    Range,
    Span,
    Stop,
    StopKind,
    Trace,
    count_instructions,
    reaching,
)

_Key = tuple[int, int, int]  # address, bytes and op of a block
_IT_STATE = 0x0600_FC00
_NEW_HABIT = 1
_START: _Key = (0, 0, -1)


class PythonTracer:
    """A `Tracer` that needs nothing but Unicorn."""

    def __init__(self, uc: Any, kernels: Sequence[Span], checks: Checks) -> None:
        """Attach to the Unicorn instance `uc`."""
        from unicorn import arm_const, unicorn_const

        self._uc = uc
        self._kernels = list(kernels)
        self._ranges: list[Range] = []
        self._sp, self._pc, self._cpsr = arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_CPSR
        self._is_write = unicorn_const.UC_MEM_WRITE
        self._invalid: dict[int, StopKind] = {
            unicorn_const.UC_MEM_WRITE_UNMAPPED: "write",
            unicorn_const.UC_MEM_WRITE_PROT: "write",
            unicorn_const.UC_MEM_FETCH_UNMAPPED: "fetch",
            unicorn_const.UC_MEM_FETCH_PROT: "fetch",
        }
        self._sizes: dict[tuple[int, int], int] = {}
        self._observer: OpObserver | None = None
        self._running = False
        self._limit = 0
        self.lowest_sp = 0xFFFF_FFFF
        self._reset()
        uc.hook_add(unicorn_const.UC_HOOK_BLOCK, self._on_block)
        uc.hook_add(unicorn_const.UC_HOOK_MEM_INVALID, self._on_invalid)
        self._access = unicorn_const.UC_HOOK_MEM_READ | unicorn_const.UC_HOOK_MEM_WRITE
        self._checks, self._gap_hooks = checks, list[int]()
        if checks != "pages":  # there must be a hook when code is translated, for those of later gaps to be called
            uc.hook_add(self._access, self._on_access, None, *(EVERYWHERE if checks == "full" else NOWHERE))

    def _reset(self) -> None:
        self.instructions = self.op = self.entered = 0
        self.stop: Stop | None = None
        self._here = _START
        self._edges: dict[tuple[_Key, _Key], int] = {}
        self._mispredicted: dict[tuple[_Key, _Key], int] = {}
        self._habits: dict[_Key, tuple[int, int]] = {}
        self._loads: dict[int, Loads] = {}
        self._bank = 0  # of the newest load

    def guard(self, ranges: Sequence[Range], gaps: Sequence[Span]) -> None:
        self._ranges = list(ranges)
        for hook in self._gap_hooks:
            self._uc.hook_del(hook)
        hooked = [reaching(gap) for gap in gaps] if self._checks == "bounds" else []
        self._gap_hooks = [self._uc.hook_add(self._access, self._on_access, None, *where) for where in hooked]

    def start(self, limit: int, observer: OpObserver | None) -> None:
        self._reset()
        self._limit, self._observer, self._running = limit, observer, True

    def finish(self) -> None:
        self._running = False

    def _on_block(self, uc: Any, address: int, size: int, _: Any) -> None:
        if not self._running:
            return
        if self.entered < len(self._kernels) and address == self._kernels[self.entered].begin:
            begin, end = self._kernels[self.entered]
            if not begin <= self._here[0] < end:
                self._enter_kernel()
        block = (address, size, self.op)
        edge = (self._here, block)
        self._edges[edge] = self._edges.get(edge, 0) + 1
        if not self._predicts(address):
            self._mispredicted[edge] = self._mispredicted.get(edge, 0) + 1
        self._here = block
        if (address, size) not in self._sizes:
            self._sizes[address, size] = count_instructions(bytes(uc.mem_read(address, size)))
        self.lowest_sp = min(self.lowest_sp, uc.reg_read(self._sp))
        self.instructions += self._sizes[address, size]
        if self.instructions > self._limit:
            self._stop(Stop("limit"))

    def _predicts(self, address: int) -> bool:
        """Whether the branch that has led to `address` was predicted to do so: see `blockcount.c`."""
        taken = address != self._here[0] + self._here[1]
        habit, target = self._habits.get(self._here, (_NEW_HABIT, 0))
        right = taken == (habit >= 2) and (not taken or target == address)
        self._habits[self._here] = (min(habit + 1, 3) if taken else max(habit - 1, 0), address if taken else target)
        return right

    def _enter_kernel(self) -> None:
        finished, self.op = self.op, self.entered
        self.entered += 1
        if self._observer and self.op > 0:
            self._observer(finished)

    def _on_access(self, uc: Any, access: int, begin: int, size: int, _: int, __: Any) -> None:
        self._forget_it_state()
        if not self._running:
            return
        write, unaligned = access == self._is_write, begin % min(size, 4) != 0
        allowed = any(r.begin <= begin and begin + size <= r.end and (r.writable or not write) for r in self._ranges)
        if not allowed:
            self._stop(Stop("write" if write else "read", begin, size, uc.reg_read(self._pc)))
        elif unaligned:
            pc = uc.reg_read(self._pc)
            if not _may_be_unaligned(int.from_bytes(uc.mem_read(pc & ~1, 2), "little")):
                self._stop(Stop("unaligned", begin, size, pc))
        if self._checks == "full" and not write:
            self._record_load(uc.reg_read(self._pc) & ~1, begin, unaligned)

    def _record_load(self, pc: int, address: int, unaligned: bool) -> None:
        total, slow, clashes = self._loads.get(pc, (0, 0, 0))
        bank = address >> 2 & 1
        self._loads[pc] = Loads(total + 1, slow + unaligned, clashes + (bank == self._bank))
        self._bank = bank

    def _forget_it_state(self) -> None:
        """Undo what Unicorn does to the core for the callback of an access: see `blockcount.c`."""
        cpsr = self._uc.reg_read(self._cpsr)
        if cpsr & _IT_STATE:
            self._uc.reg_write(self._cpsr, cpsr & ~_IT_STATE)

    def _on_invalid(self, uc: Any, access: int, address: int, size: int, _: int, __: Any) -> bool:
        self._stop(Stop(self._invalid.get(access, "read"), address, size, uc.reg_read(self._pc)))
        return False

    def _stop(self, stop: Stop) -> None:
        self.stop = self.stop or stop
        self._uc.emu_stop()

    def trace(self) -> Trace:
        numbers: dict[_Key, int] = {}
        counts: dict[_Key, int] = {}
        for (_, to), times in self._edges.items():
            numbers.setdefault(to, len(numbers))
            counts[to] = counts.get(to, 0) + times
        blocks = [Block(a, size, self._sizes[a, size], op, counts[a, size, op]) for a, size, op in numbers]
        edges = [
            Edge(numbers.get(came, -1), numbers[to], times, self._mispredicted.get((came, to), 0))
            for (came, to), times in self._edges.items()
        ]
        return Trace(blocks, edges, dict(self._loads))


def _may_be_unaligned(first: int) -> bool:
    """Whether the instruction of this first halfword may use an unaligned address, as in `blockcount.c`."""
    several = first & 0xF000 == 0xC000 or first & 0xFE00 == 0xE800 or first & 0xF600 == 0xB400
    return not several and first & 0xFE00 != 0xEC00
