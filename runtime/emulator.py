"""A Cortex-M7 on Unicorn, with the memories of a target and nothing else: a wrong access ends in a clear error.

Only what a program may touch is mapped, by pages of 1 KB: the loaded image (read, execute), stack, arena, .data and
.bss (read, write), and buffers of the caller. `Checks` says how the rest of those pages is watched.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyir.diagnostics import ToolError
from tinyir.runtime import native
from tinyir.runtime.elf import Elf
from tinyir.runtime.image import PAGE_BYTES
from tinyir.runtime.memmap import PAINT, WORD, down, gaps, inside, pages, paint, ranges_of, up
from tinyir.runtime.pytracer import PythonTracer
from tinyir.runtime.toolchain import INSTALL_HELP
from tinyir.runtime.trace import Checks, Kernel, OpObserver, Range, Span, Stop, Tracer
from tinyir.target import Memory, Target

DEFAULT_LIMIT = 1_000_000_000
"""Instructions that a call may execute."""

_BUFFERS = Memory("caller's buffers", 0x6000_0000, 0x1000_0000, "ram")
_SYSTEM = Memory("system control space", 0xE000_E000, 0x1000, "ram")  # mapped while start-up code turns on the FPU


class EmulatorError(ToolError):
    """The program did what the target does not allow, or did not end.

    `kind` is read, write, fetch, unaligned, instruction, limit, canary or stack; `address` what was accessed, `pc`
    where, `function` the same as text, `op` the number of the op that ran, None before the first.
    """

    def __init__(
        self, message: str, *, kind: str, address: int = 0, pc: int = 0, function: str = "", op: int | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.address, self.pc, self.function, self.op = kind, address, pc, function, op


class Buffer(NamedTuple):
    """Memory of the caller: an input is not writable."""

    name: str
    bytes: int
    writable: bool


class Emulator:
    """One emulated core with one program loaded and its start-up code run; call its functions as often as wanted.

    `kernels` are those of the ops, in the order of execution, by which executed code is attributed to ops.
    With `use_native` False it counts in Python even where a C compiler could make that fast.
    """

    def __init__(
        self,
        elf: Elf,
        target: Target,
        *,
        kernels: Sequence[Kernel] = (),
        checks: Checks = "bounds",
        use_native: bool = True,
    ) -> None:
        self.elf, self.target, self.kernels = elf, target, kernels
        self._unicorn = _import_unicorn()
        self._uc: Any = self._unicorn.Uc(self._unicorn.UC_ARCH_ARM, self._unicorn.UC_MODE_THUMB)
        # UC_MODE_MCLASS would replace this model by a Cortex-M33.
        self._uc.ctl_set_cpu_model(self._unicorn.arm_const.UC_CPU_ARM_CORTEX_M7)
        self._ranges = list(ranges_of(elf))
        self._buffers: tuple[Buffer, ...] = ()
        self._buffer_pages: list[Span] = []
        self._canaries: list[Span] = []
        self._load()
        kind = native.NativeTracer if use_native and native.library() else PythonTracer
        self.tracer: Tracer = kind(self._uc, [kernel.span for kernel in kernels], checks)
        self._fence()
        self.stack_top, self._stack_limit = elf.symbol("tinyir_stack_top"), elf.symbol("tinyir_stack_limit")
        self._boot()

    # ---- memory ----

    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory."""
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into memory, which may be read-only to the program."""
        self._uc.mem_write(address, data)

    def map_buffers(self, buffers: Sequence[Buffer]) -> list[int]:
        """Map memory for buffers of the caller, outside the target's; their addresses. Replaces earlier ones."""
        layout = tuple(buffers)
        addresses, at = [], _BUFFERS.origin
        for buffer in layout:
            addresses.append(at)
            at += up(buffer.bytes) + PAGE_BYTES  # an unmapped page between any two
        if layout == self._buffers:
            return addresses
        for span in self._buffer_pages:
            self._uc.mem_unmap(span.begin, span.end - span.begin)
        self._buffers, self._buffer_pages = layout, []
        self._ranges = [r for r in self._ranges if r.begin < _BUFFERS.origin]
        for buffer, address in zip(layout, addresses, strict=True):
            self._ranges.append(Range(address, address + buffer.bytes, buffer.writable, f"the {buffer.name}"))
            self._buffer_pages.append(self._map(address, address + max(buffer.bytes, 1), buffer.writable))
        self._fence()
        return addresses

    def _load(self) -> None:
        for allowed in self._ranges:
            memory = next((m for m in (self.target.flash, self.target.ram) if inside(allowed, m)), None)
            if memory is None:
                raise ToolError(
                    f"{allowed.name} of {self.elf.path.name} lies outside the memories of `{self.target.name}`"
                )
        for span, writable in pages(self._ranges):
            self._map(span.begin, span.end, writable)
        for segment in self.elf.segments:
            self.write(segment.address, segment.data)

    def _map(self, begin: int, end: int, writable: bool) -> Span:
        span = Span(down(begin), up(end))
        uc = self._unicorn
        access = uc.UC_PROT_WRITE if writable else uc.UC_PROT_EXEC if begin < _BUFFERS.origin else 0
        self._uc.mem_map(span.begin, span.end - span.begin, uc.UC_PROT_READ | access)
        return span

    def _fence(self) -> None:
        """Watch what is mapped but not the program's: canaries where it could write, and what the tracer does."""
        found = list(gaps(self._ranges))
        self._canaries = [gap for gap, writable in found if writable]
        self._paint_canaries()
        self.tracer.guard(self._ranges, [gap for gap, _ in found])

    def _paint_canaries(self) -> None:
        for gap in self._canaries:
            self.write(gap.begin, paint(gap))

    def _check_canaries(self) -> None:
        for gap in self._canaries:
            found = self.read(gap.begin, gap.end - gap.begin)
            if found != paint(gap):
                at = gap.begin + next(i for i, (a, b) in enumerate(zip(found, paint(gap), strict=True)) if a != b)
                raise EmulatorError(f"something was written at {self._place(at)}", kind="canary", address=at)

    def _check_stack(self) -> None:
        """Where RAM is full, the arena lies right below the stack, and no access shows that the stack is too small."""
        lowest = self.tracer.lowest_sp
        if lowest < self._stack_limit:
            used, reserved = self.stack_top - lowest, self.stack_top - self._stack_limit
            message = f"the program uses {used:,} bytes of stack, {reserved:,} are reserved"
            raise EmulatorError(message, kind="stack", address=lowest)

    # ---- execution ----

    def call(
        self,
        function: str | int,
        *args: int,
        floats: Sequence[float] = (),
        limit: int = DEFAULT_LIMIT,
        observer: OpObserver | None = None,
    ) -> int:
        """Call a function (symbol or address) with integer or pointer arguments, and with `floats`, which the
        hard-float convention passes apart from them in s0, s1, ...; what it returns in r0.

        Raises EmulatorError for a wrong access, a canary overwritten, an undefined instruction or a call that takes
        more than `limit` instructions.
        """
        arm = self._unicorn.arm_const
        self._uc.context_restore(self._fresh)  # registers only: flags and IT state that a fault may have left behind
        sp = (self.stack_top - WORD * max(len(args) - 4, 0)) & ~7
        self.write(self._stack_limit, PAINT * ((self.stack_top - self._stack_limit) // WORD))
        for number, value in enumerate(args[:4]):
            self._uc.reg_write(arm.UC_ARM_REG_R0 + number, value)
        self.write(sp, struct.pack(f"<{len(args[4:])}I", *args[4:]))
        for number, single in enumerate(floats):
            self._uc.reg_write(arm.UC_ARM_REG_S0 + number, ctypes.c_uint32.from_buffer(ctypes.c_float(single)).value)
        self._uc.reg_write(arm.UC_ARM_REG_SP, sp)
        address = self.elf.symbol(function) if isinstance(function, str) else function
        self.tracer.start(limit, observer)
        try:
            self._execute(address, self.elf.symbol("tinyir_stop"), limit)
            self._check_canaries()
            self._check_stack()
        except EmulatorError:
            self._paint_canaries()
            raise
        finally:
            self.tracer.finish()
        return int(self._uc.reg_read(arm.UC_ARM_REG_R0))

    def stop(self) -> None:
        """End the call that is running, from an observer."""
        self._uc.emu_stop()

    @property
    def stack_used(self) -> int:
        """Deepest use of the stack by the calls so far, in bytes: words overwritten, and any stack pointer seen."""
        stack = self.read(self._stack_limit, self.stack_top - self._stack_limit)
        touched = np.flatnonzero(np.frombuffer(stack, np.uint32) != np.frombuffer(PAINT, np.uint32))
        overwritten = len(stack) - WORD * int(touched[0]) if len(touched) else 0
        return max(overwritten, self.stack_top - min(self.tracer.lowest_sp, self.stack_top))

    def _boot(self) -> None:
        """Run the reset handler up to main()."""
        self._uc.mem_map(_SYSTEM.origin, _SYSTEM.length)
        self._uc.reg_write(self._unicorn.arm_const.UC_ARM_REG_SP, self.stack_top)
        self._execute(self.elf.symbol("Reset_Handler"), self.elf.symbol("main"), DEFAULT_LIMIT)
        self._uc.mem_unmap(_SYSTEM.origin, _SYSTEM.length)
        self._fresh = self._uc.context_save()

    def _execute(self, begin: int, until: int, limit: int) -> None:
        self._uc.reg_write(self._unicorn.arm_const.UC_ARM_REG_LR, until | 1)
        failure = ""
        try:
            self._uc.emu_start(begin | 1, until)
        except self._unicorn.UcError as error:
            failure = str(error)
        pc = int(self._uc.reg_read(self._unicorn.arm_const.UC_ARM_REG_PC))
        if self.tracer.stop:
            raise self._fault(self.tracer.stop, limit)
        if failure or pc != until:
            raise self._failed("instruction", failure or "stopped", pc, pc)

    # ---- messages ----

    def _fault(self, stop: Stop, limit: int) -> EmulatorError:
        if stop.kind == "limit":
            pc = self._uc.reg_read(self._unicorn.arm_const.UC_ARM_REG_PC)
            return self._failed("limit", f"still running after {limit:,} instructions", pc, pc)
        if stop.kind == "memory":
            return self._failed("limit", "no memory left to count blocks in", stop.pc, stop.pc)
        what = "unaligned access" if stop.kind == "unaligned" else stop.kind
        return self._failed(
            stop.kind, f"{what} of {stop.bytes} bytes at {self._place(stop.address)}", stop.address, stop.pc
        )

    def _failed(self, kind: str, what: str, address: int, pc: int) -> EmulatorError:
        where = self.elf.describe(pc)
        op = self.tracer.op if self.tracer.entered else None
        during = "before the first op" if op is None else f"in {self.kernels[op].op}"
        message = f"{what}, in {where} (pc {pc:#010x}), {during}"
        return EmulatorError(message, kind=kind, address=address, pc=pc, function=where, op=op)

    def _place(self, address: int) -> str:
        """The address, and where it is relative to the nearest thing that the program may touch."""
        nearest = min(self._ranges, key=lambda r: max(r.begin - address, address - (r.end - 1), 0))
        before, past = nearest.begin - address, address - nearest.end
        if past >= 0:
            return f"{address:#010x}, {past:,} bytes past the end of {nearest.name}"
        return (
            f"{address:#010x}, {before:,} bytes before {nearest.name}"
            if before > 0
            else f"{address:#010x}, in {nearest.name}"
        )


def _import_unicorn() -> Any:
    try:
        import unicorn
        import unicorn.arm_const
    except ImportError as error:
        raise ToolError("the Python package unicorn was not found", help=INSTALL_HELP) from error
    return unicorn
