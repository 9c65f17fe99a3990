"""Run a compiled program on this machine: the same C, built as a shared library and called through ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyir.diagnostics import ToolError
from tinyir.runtime.program import Array, Inputs, Observer, ProgramInfo, RunResult, TensorInfo
from tinyir.runtime.toolchain import HERE, CompileOptions, HostCompiler

_GUARD_BYTES = 1024
_GUARD, _FRESH = 0x5C, 0xA5
_AFTER_OP = ctypes.CFUNCTYPE(None, ctypes.c_int)


class GuardError(ToolError):
    """The program wrote beside the arena or a buffer that it was given. `op` is the last op that may have done so."""

    def __init__(self, message: str, op: int | None) -> None:
        super().__init__(message)
        self.op = op


class Guarded:
    """Memory for a program, `align` bytes aligned, with a zone on either side that nobody may write."""

    def __init__(self, name: str, size: int, align: int = 16) -> None:
        self.name = name
        whole = np.full(size + 2 * _GUARD_BYTES + align, _GUARD, np.uint8)
        begin = _GUARD_BYTES + -(whole.ctypes.data + _GUARD_BYTES) % align
        self._whole, self._begin = whole, begin
        self.bytes: NDArray[np.uint8] = whole[begin : begin + size]

    @property
    def address(self) -> int:
        """Where the memory begins."""
        return self.bytes.ctypes.data

    def damage(self) -> str | None:
        """Where a zone was overwritten, as text; None when both are whole."""
        end = self._begin + len(self.bytes)
        changed = np.flatnonzero(self._whole != _GUARD)
        outside = changed[(changed < self._begin) | (changed >= end)]
        if not len(outside):
            return None
        at = int(outside[0])
        self._whole[outside] = _GUARD
        if at < self._begin:
            return f"{self._begin - at:,} bytes before {self.name}"
        return f"{at - end:,} bytes past the end of {self.name}"


class HostProgram:
    """A program in this process. Not to be run by two threads at once when an observer is given."""

    def __init__(self, info: ProgramInfo, library: ctypes.CDLL) -> None:
        self.info = info
        self._library = library
        self._arena = Guarded("the arena", info.arena_bytes, max(info.arena_align, 16))
        self._entry = _function(library, info.entry, ctypes.c_int, 1 + len(info.inputs) + len(info.outputs))

    @staticmethod
    def build(folder: Path | str, compiler: HostCompiler | None = None, opt: str = "-O2") -> HostProgram:
        """Compile the program in `folder`. Raises ToolError with what the compiler said, or ProgramError."""
        info = ProgramInfo.load(folder).without_training()
        return HostProgram(info, load_library(info, compiler, opt))

    def run(
        self,
        inputs: Inputs,
        *,
        observe: Observer | None = None,
        own_buffers: bool = False,
        fresh_arena: bool = True,
    ) -> RunResult:
        """Run the program once on `inputs`, in the places planned for them or in buffers of their own.

        `observe` sees the arena after each op. The arena is overwritten before the run unless `fresh_arena` is false.
        Raises GuardError for a write beside the arena or a buffer, UsageError for inputs that do not fit.
        """
        values = self.info.bind(inputs)
        if fresh_arena:
            self._arena.bytes[:] = _FRESH
        memory = [self._arena]
        if own_buffers:
            memory += [Guarded(f"`{t.name}`", t.bytes) for t in (*self.info.inputs, *self.info.outputs)]
            addresses = [buffer.address for buffer in memory[1:]]
        else:
            addresses = self._planned()
        for address, value in zip(addresses, values, strict=False):
            ctypes.memmove(address, value.ctypes.data, value.nbytes)
        status = self._call([self._arena.address, *addresses], memory, observe)
        outputs = [_array_at(a, t) for a, t in zip(addresses[len(values) :], self.info.outputs, strict=True)]
        return RunResult(outputs, status)

    def invoke(self, arena: int, inputs: list[int], outputs: list[int]) -> int:
        """Call the entry function with these addresses; its status. For tests of what it refuses."""
        return int(self._entry(arena, *inputs, *outputs))

    def _planned(self) -> list[int]:
        names = [f"input{i}" for i in range(len(self.info.inputs))]
        names += [f"output{i}" for i in range(len(self.info.outputs))]
        functions = [_function(self._library, f"{self.info.prefix}_{name}", ctypes.c_void_p, 1) for name in names]
        return [int(function(self._arena.address)) for function in functions]

    def _call(self, args: list[int], memory: list[Guarded], observe: Observer | None) -> int:
        def look(index: int) -> None:
            assert observe is not None
            self._check(memory, index)
            observe(index, self._arena.bytes.copy())

        with after_op(self._library, look if observe else None):
            status = int(self._entry(*args))
        self._check(memory, None)
        return status

    def _check(self, memory: list[Guarded], op: int | None) -> None:
        for part in memory:
            damage = part.damage()
            if damage:
                during = "" if op is None else f", in {self.info.op_at(op)}"
                raise GuardError(f"something was written {damage}{during}", op)


def load_library(info: ProgramInfo, compiler: HostCompiler | None, opt: str) -> ctypes.CDLL:
    """Compile a program for this process, with a hook behind each op. Raises ToolError with what the compiler said."""
    compiler = compiler or HostCompiler.detect()
    with tempfile.TemporaryDirectory(prefix="tinyir-", ignore_cleanup_errors=True) as scratch:
        sources = [*info.source_paths, HERE / "host_hook.c"]
        options = CompileOptions(opt, (info.folder,))
        path = compiler.shared_library(sources, Path(scratch) / "program.so", options, HERE / "host_hook.h")
        return ctypes.CDLL(str(path))


@contextlib.contextmanager
def after_op(library: ctypes.CDLL, look: Callable[[int], None] | None) -> Iterator[None]:
    """Inside, `look` is told the number of each op that the program in `library` has done; what it raises comes out at
    the end."""
    failures: list[BaseException] = []

    def told(index: int) -> None:
        assert look is not None
        try:
            if not failures:
                look(index)
        except BaseException as failure:  # it cannot pass through C
            failures.append(failure)

    callback = _AFTER_OP(told)
    hook = ctypes.c_void_p.in_dll(library, "tinyir_after_op")
    hook.value = ctypes.cast(callback, ctypes.c_void_p).value if look else None
    try:
        yield
    finally:
        hook.value = None
    if failures:
        raise failures[0]


def _function(library: ctypes.CDLL, name: str, result: Any, n_arguments: int) -> Any:
    try:
        function = getattr(library, name)
    except AttributeError as error:
        raise ToolError(f"the program has no function `{name}`") from error
    function.restype, function.argtypes = result, (ctypes.c_void_p,) * n_arguments
    return function


def _array_at(address: int, tensor: TensorInfo) -> Array:
    return np.frombuffer(ctypes.string_at(address, tensor.bytes), tensor.dtype).reshape(tensor.shape)
