"""The pipeline of the Cortex-M7: issues instructions in order, two a cycle at best, and says in which cycle.

A scoreboard: it keeps for every register when its newest value can be read through which port, what was issued in the
current cycle, how far instructions have been fetched, and what waits in the store buffer. Code and data are in memory
without wait states. The rules and their sources are in docs/cycle_model.md.
"""

from __future__ import annotations

from tinyir.machine.instr import FLAGS, MachineInstr, Reg
from tinyir.machine.timing import (
    EARLY,
    FETCH_QUEUE,
    FETCH_SHIFT,
    FLAGS_AHEAD,
    MISPREDICTED,
    RESOLVED_EARLY,
    STORE_BUFFER_FIFTHS,
    Early,
    Kind,
    Latency,
    Port,
    Slots,
    Unit,
)

_LONG_AGO = -1000
_APART = Kind.FP_MAC | Kind.FP_TRANSFER

Key = tuple[object, ...]


class Pipeline:
    """The state of the core between two instructions. `cycle` is the last one in which it was busy."""

    __slots__ = ("_arrived", "_freed", "_group", "_older", "_pc", "_ready", "_stores", "cycle")

    def __init__(self, address: int = 0) -> None:
        """Everything ready, about to execute at `address`; the first instruction issues in cycle 0."""
        self.cycle = -1
        self._older: MachineInstr | None = None  # the first instruction of the current cycle, if a second may join
        self._ready: dict[Reg, tuple[int, Latency]] = {}
        self._pc = address
        self._group = (address >> FETCH_SHIFT) - 1  # the newest group of bytes that was fetched
        self._arrived = _LONG_AGO  # when
        self._freed = (_LONG_AGO,) * FETCH_QUEUE  # when the newest four groups left the queue, oldest first
        self._stores = _LONG_AGO  # when the store buffer will be empty, in fifths of a cycle

    def copy(self) -> Pipeline:
        """A state that goes its own way."""
        other = Pipeline.__new__(Pipeline)
        other.cycle, other._older, other._ready = self.cycle, self._older, self._ready.copy()
        other._pc, other._group, other._arrived, other._freed = self._pc, self._group, self._arrived, self._freed
        other._stores = self._stores
        return other

    def issue(self, instr: MachineInstr) -> int:
        """Execute one instruction; the cycle in which it is issued, the last one where it takes several."""
        older, ready = self._older, self._ready
        cycle = self._earliest(instr)
        if older is not None and cycle == self.cycle and not _pairs(older, instr):
            cycle += 1
        if cycle != self.cycle:
            older = None
        if instr.buffered:
            waited = self._buffer(cycle, instr.buffered)
            if waited != cycle:
                cycle, older = waited, None
        early = instr.early and self._is_early(instr, older, cycle)
        end = cycle + instr.cycles - 1
        for reg, latency in instr.gives:
            ready[reg] = (end, EARLY if early and reg != FLAGS else latency)
        self._older = instr if older is None and instr.slots != Slots.ALONE else None
        self.cycle = end
        return end

    def take_branch(self, target: int) -> None:
        """The instruction issued last was a branch that is taken, as predicted: it ends its pair."""
        self._older = None
        self._jump(target)

    def mispredict(self, target: int) -> None:
        """The instruction issued last was a branch that goes to `target` against the prediction."""
        self.cycle += self.penalty()
        self._older = None
        self._jump(target)
        self._arrived, self._freed = self.cycle, (_LONG_AGO,) * FETCH_QUEUE

    def penalty(self) -> int:
        """What it costs if the branch issued last was mispredicted."""
        flags = self._ready.get(FLAGS)
        ahead = self.cycle - flags[0] if flags is not None else FLAGS_AHEAD
        return RESOLVED_EARLY if ahead >= FLAGS_AHEAD else MISPREDICTED

    def key(self) -> Key:
        """What of the state bears on the future, relative to the current cycle: equal keys go on equally."""
        now = self.cycle
        pending = frozenset(
            (reg, at - now, latency) for reg, (at, latency) in self._ready.items() if at + max(latency) > now
        )
        freed = tuple(max(at - now, -FETCH_QUEUE - 2) for at in self._freed)
        fetch = (self._pc, self._group, max(self._arrived - now, -FETCH_QUEUE - 2), freed)
        return (self._older, pending, fetch, max(self._stores - 5 * now, 0))

    def _earliest(self, instr: MachineInstr) -> int:
        """The first cycle in which the instruction is fetched and its operands are there. Moves on the fetching."""
        cycle = self.cycle + (self._older is None)
        ready = self._ready
        for reg, port in instr.needs:
            entry = ready.get(reg)
            if entry is not None:
                at = entry[0] + entry[1][port]
                if at > cycle:
                    cycle = at
        self._pc += instr.size
        group = (self._pc - 1) >> FETCH_SHIFT
        if group > self._group:
            self._fetch(group)
        return max(cycle, self._arrived)

    def _jump(self, target: int) -> None:
        self._pc = target
        self._group = (target >> FETCH_SHIFT) - 1

    def _fetch(self, group: int) -> None:
        """Fetch up to `group`, in order, as far as there is room."""
        while self._group < group:
            self._freed = (*self._freed[1:], self.cycle)
            self._arrived = max(self._arrived, self._freed[0]) + 1
            self._group += 1

    def _buffer(self, cycle: int, room: int) -> int:
        """Put a store into the store buffer at `cycle`, or when there is room for it; that cycle."""
        waits = self._stores + room - STORE_BUFFER_FIFTHS - 5 * cycle
        if waits > 0:
            cycle += -(-waits // 5)
        self._stores = max(self._stores, 5 * cycle) + room
        return cycle

    def _is_early(self, instr: MachineInstr, older: MachineInstr | None, cycle: int) -> bool:
        """Whether the early ALU executes an instruction that it could, issued in `cycle` beside `older`."""
        if older is not None and (instr.early == Early.ADDER or older.unit & Unit.SHIFTER):
            return False
        port = Port.ADDER if instr.early == Early.ADDER else Port.SHIFTER
        for reg, _ in instr.needs:
            entry = self._ready.get(reg)
            if entry is not None and entry[0] + entry[1][port] > cycle:
                return False
        return True


def _pairs(older: MachineInstr, younger: MachineInstr) -> bool:
    """Whether two instructions whose operands are there can issue in one cycle."""
    if younger.slots or older.unit & younger.unit & ~_APART or (older.unit | younger.unit) & _APART == _APART:
        return False
    first, second = older.access, younger.access
    if first is None or second is None or first.writes or second.writes:
        return True
    return not second.clashes_with(first)
