"""Build a compiled program for a Cortex-M7 and run it on the emulator."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyir.runtime.elf import Elf
from tinyir.runtime.emulator import Buffer, Emulator, EmulatorError
from tinyir.runtime.image import DEFAULT_STACK_BYTES, build_image
from tinyir.runtime.program import Array, Inputs, Observer, ProgramError, ProgramInfo, RunResult
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.trace import Checks, Kernel, OpObserver, Span
from tinyir.target import Target, get_target

_FRESH = 0xA5
"""What an arena holds before a run: nothing that a program may rely on."""


class M7Program:
    """A program on an emulated Cortex-M7. Build it once, run it as often as wanted."""

    def __init__(self, info: ProgramInfo, target: Target, elf: Elf, *, use_native: bool = True) -> None:
        """Use `elf`, an image of the program `info` linked for `target` by `build_image`."""
        self.info, self.target, self.elf = info, target, elf
        self.kernels = [Kernel(_kernel_span(elf, op.function, str(op)), str(op)) for op in info.ops]
        self.arena = elf.symbol("tinyir_arena")
        self._use_native = use_native
        self._emulators: dict[Checks, Emulator] = {}
        self._planned: tuple[list[int], list[int]] | None = None

    @staticmethod
    def build(
        folder: Path | str,
        target: Target | str = "cortex-m7",
        compiler: CrossCompiler | None = None,
        opt: str = "-O3",
        *,
        stack_bytes: int = DEFAULT_STACK_BYTES,
        use_native: bool = True,
    ) -> M7Program:
        """Compile and link the program in `folder`. Raises what `ProgramInfo.load` and `build_image` raise."""
        info = ProgramInfo.load(folder).without_training()
        target = get_target(target) if isinstance(target, str) else target
        return M7Program(info, target, link_image(info, target, compiler, opt, stack_bytes), use_native=use_native)

    def run(
        self,
        inputs: Inputs,
        *,
        count: bool = False,
        observe: Observer | None = None,
        own_buffers: bool = False,
        checks: Checks = "bounds",
        fresh_arena: bool = True,
        limit: int | None = None,
    ) -> RunResult:
        """Run the program once on `inputs`.

        Inputs and outputs lie where the arena's plan has them, or, with `own_buffers`, in memory outside the target's
        (then the arena that `observe` sees does not hold them).
        `count` adds instructions, per op too, and the trace; it costs no time. `observe` sees the arena after each op.
        The arena is overwritten before the run unless `fresh_arena` is false. `limit` bounds the instructions.

        Raises EmulatorError for a wrong access or an endless loop, UsageError for inputs that do not fit the program.
        """
        values = self.info.bind(inputs)
        limit = limit or 200_000_000 + 64 * self.info.macs
        try:
            return self._run(values, self._emulator(checks), count, observe, own_buffers, fresh_arena, limit)
        except EmulatorError as error:
            if error.kind == "canary":  # find out who wrote there
                self._run(values, self._emulator("bounds"), False, None, own_buffers, True, limit)
            raise

    def invoke(self, arena: int, inputs: Sequence[int], outputs: Sequence[int]) -> int:
        """Call the entry function with these addresses; its status. For tests of what it refuses."""
        return _signed(self._emulator("bounds").call(self.info.entry, arena, *inputs, *outputs))

    def planned(self) -> tuple[list[int], list[int]]:
        """The addresses of inputs and outputs inside the arena, as the program's own functions give them."""
        if self._planned is None:
            call, prefix = self._emulator("bounds").call, self.info.prefix
            inputs = [call(f"{prefix}_input{i}", self.arena) for i in range(len(self.info.inputs))]
            outputs = [call(f"{prefix}_output{i}", self.arena) for i in range(len(self.info.outputs))]
            self._planned = inputs, outputs
        return self._planned

    def _emulator(self, checks: Checks) -> Emulator:
        """One emulator for each kind of checks, since code is translated differently when accesses are watched."""
        if checks not in self._emulators:
            self._emulators[checks] = Emulator(
                self.elf, self.target, kernels=self.kernels, checks=checks, use_native=self._use_native
            )
        return self._emulators[checks]

    def _run(
        self,
        values: list[Array],
        emulator: Emulator,
        count: bool,
        observe: Observer | None,
        own_buffers: bool,
        fresh_arena: bool,
        limit: int,
    ) -> RunResult:
        inputs, outputs = self._place(emulator) if own_buffers else self.planned()
        if fresh_arena:
            emulator.write(self.arena, bytes([_FRESH]) * self.info.arena_bytes)
        for address, value in zip(inputs, values, strict=True):
            emulator.write(address, value.tobytes())
        status = self._call(emulator, [self.arena, *inputs, *outputs], observe, limit)
        results = [
            np.frombuffer(emulator.read(address, tensor.bytes), tensor.dtype).reshape(tensor.shape)
            for address, tensor in zip(outputs, self.info.outputs, strict=True)
        ]
        stack = emulator.stack_used
        if not count:
            return RunResult(results, status, stack)
        trace = emulator.tracer.trace()
        return RunResult(results, status, stack, trace.instructions, trace.per_op(len(self.kernels)), trace)

    def _place(self, emulator: Emulator) -> tuple[list[int], list[int]]:
        """Buffers of the caller's, outside the memories of the target."""
        info = self.info
        buffers = [Buffer(f"input `{tensor.name}`", tensor.bytes, False) for tensor in info.inputs]
        buffers += [Buffer(f"output `{tensor.name}`", tensor.bytes, True) for tensor in info.outputs]
        addresses = emulator.map_buffers(buffers)
        return addresses[: len(info.inputs)], addresses[len(info.inputs) :]

    def _call(self, emulator: Emulator, args: list[int], observe: Observer | None, limit: int) -> int:
        failures: list[BaseException] = []

        def arena() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
            return np.frombuffer(emulator.read(self.arena, self.info.arena_bytes), np.uint8)

        def after_op(index: int) -> None:
            assert observe is not None
            try:
                observe(index, arena())
            except BaseException as failure:  # it cannot pass through the emulator
                failures.append(failure)
                emulator.stop()

        observer: OpObserver | None = after_op if observe else None
        try:
            status = _signed(emulator.call(self.info.entry, *args, limit=limit, observer=observer))
        except EmulatorError:
            if failures:
                raise failures[0] from None
            raise
        entered = emulator.tracer.entered
        if status == 0 and entered != len(self.kernels):
            raise ProgramError(
                f"`{self.info.entry}` called {entered} of {len(self.kernels)} kernels in the order of report.json",
                notes=[f"the kernel of {self.kernels[entered].op} did not come next"],
            )
        if observe and status == 0 and self.kernels:
            observe(len(self.kernels) - 1, arena())
        return status


def link_image(info: ProgramInfo, target: Target, compiler: CrossCompiler | None, opt: str, stack_bytes: int) -> Elf:
    """An image of a program for the emulator. Raises what `build_image` raises."""
    compiler = compiler or CrossCompiler.detect()
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        return Elf.read(build_image(info, target, compiler, Path(scratch), opt=opt, stack_bytes=stack_bytes))


def _kernel_span(elf: Elf, function: str, op: str) -> Span:
    if function not in elf.functions:
        raise ProgramError(f"{op} has its kernel in `{function}`, which the linked program does not contain")
    return elf.functions[function]


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
