"""Train with a compiled program: NumPy, the C on this machine, the C on an emulated Cortex-M7, all with one interface.

    trainer = HostTrainer.build(folder)
    for x, label in examples:
        outcome = trainer.step(x, label, lr=0.1)
    trainer.run(x)

The parameters are the trainer's. All three give the same bits.
"""

from __future__ import annotations

import ctypes
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyir.checkpoint import CheckpointError, checkpoint_bytes, identity, pack, unpack
from tinyir.diagnostics import ToolError, UsageError
from tinyir.runtime.elf import Elf
from tinyir.runtime.emulator import Buffer, Emulator
from tinyir.runtime.host import Guarded, after_op, load_library
from tinyir.runtime.image import DEFAULT_STACK_BYTES
from tinyir.runtime.m7 import link_image
from tinyir.runtime.numpy_host import NumpyProgram, StatementObserver
from tinyir.runtime.program import Array, Observer, ParamInfo, ProgramError, ProgramInfo, TensorInfo, TrainingInfo
from tinyir.runtime.toolchain import CrossCompiler, HostCompiler
from tinyir.runtime.trace import Checks, Kernel, Trace
from tinyir.target import Target, get_target

LABEL_STATUS, RATE_STATUS, LOSS_STATUS = 3, 4, 5
"""What a step returns for a label that no class has, a rate that is not finite, a loss that is not finite."""


@dataclass(frozen=True)
class StepResult:
    """What one step gave: `status` is 0, or why nothing changed; `loss` is that before the step, NaN where it was not
    computed. `stack_bytes` and `trace` come from the emulator."""

    status: int
    loss: float
    stack_bytes: int | None = None
    trace: Trace | None = None


class Trainer(ABC):
    """A program and its parameters."""

    @abstractmethod
    def step(self, x: Array, target: int | Array, lr: float) -> StepResult:
        """One step of training on one example. Raises UsageError for arrays of another type or shape."""

    @abstractmethod
    def run(self, x: Array) -> Array:
        """The model's output for `x`, with the parameters as they are. Raises UsageError as `step` does."""

    @property
    @abstractmethod
    def params(self) -> dict[str, Array]:
        """Copies of the parameters by name."""

    @abstractmethod
    def set_params(self, values: Mapping[str, Array]) -> None:
        """Replace the parameters. Raises UsageError for other names, types or shapes."""

    @abstractmethod
    def seed(self, value: int) -> None:
        """Set the seed of the random numbers that training draws, and start them anew; nothing where it draws none."""

    @abstractmethod
    def save(self) -> bytes:
        """A checkpoint of the parameters: the same bytes on every backend."""

    @abstractmethod
    def load(self, checkpoint: bytes) -> None:
        """Set the parameters to those of a checkpoint. Raises CheckpointError, and then keeps those it had."""


class NumpyTrainer(Trainer):
    """A program of the NumPy backend."""

    def __init__(self, files: Mapping[str, str | bytes] | Path) -> None:
        program = NumpyProgram(files)
        self._program, self._functions = program, program.functions
        if "train_step" not in self._functions:
            raise ProgramError(f"`{program.name}` does not train", help="compile it with training options")
        self._inputs = program.inputs
        count = len(_tuple(self._functions["params_init"]()))
        self._names = [tensor.name for tensor in program.inputs[-count:]]
        self._values = [array.copy() for array in _tuple(self._functions["params_init"]())]
        self._classes, self._rng = program.classes, program.rng
        self._fields = _fields(self._names, self._values)
        self._identity = identity(program.state_sha256, [(f.name, f.dtype, f.shape) for f in self._fields])

    def step(self, x: Array, target: int | Array, lr: float, *, observe: StatementObserver | None = None) -> StepResult:
        """As of `Trainer`; `observe` is given the result of every statement."""
        x = _fitted(self._inputs[0], x)
        if self._classes is None:
            output = self._program.outputs[0]
            given = _fitted(TensorInfo("target", "float32", output.shape, 4 * math.prod(output.shape)), target)
        elif 0 <= (label := _label(target)) < self._classes:
            given = np.array(label, np.int32)
        else:
            return StepResult(LABEL_STATUS, math.nan)
        with np.errstate(over="ignore"):
            rate = np.float32(lr)
        if not np.isfinite(rate):
            return StepResult(RATE_STATUS, math.nan)
        function = self._program.observed("train_step", observe) if observe else self._functions["train_step"]
        with np.errstate(all="ignore"):
            loss, *new = function(x, given, np.asarray(rate), *self._values)
        if not np.isfinite(loss):
            return StepResult(LOSS_STATUS, float(loss))
        self._values = new
        return StepResult(0, float(loss))

    def run(self, x: Array) -> Array:
        result: Array = self._functions["run"](_fitted(self._inputs[0], x), *self._values)
        return result

    @property
    def params(self) -> dict[str, Array]:
        return {name: value.copy() for name, value in zip(self._names, self._values, strict=True)}

    def set_params(self, values: Mapping[str, Array]) -> None:
        self._values = [array.copy() for array in _bound_params(self._fields, values)]

    def seed(self, value: int) -> None:
        if self._rng is not None:
            self._values[self._rng] = np.array([value & 0xFFFFFFFF, 0], np.uint32).view(np.int32)

    def save(self) -> bytes:
        return pack(self.params, self._fields, _end(self._fields), self._identity)

    def load(self, checkpoint: bytes) -> None:
        self.set_params(unpack(checkpoint, self._fields, _end(self._fields), self._identity))


def _fields(names: Sequence[str], values: Sequence[Array]) -> list[ParamInfo]:
    """The places of parameters in the C struct: one after the other, each at a multiple of 4 bytes."""
    fields: list[ParamInfo] = []
    for name, value in zip(names, values, strict=True):
        fields.append(ParamInfo(name, str(value.dtype), value.shape, _end(fields), value.nbytes))
    return fields


def _end(fields: Sequence[ParamInfo]) -> int:
    return (fields[-1].offset + fields[-1].bytes + 3) & ~3 if fields else 0


def _tuple(result: object) -> tuple[Array, ...]:
    return result if isinstance(result, tuple) else (result,)


class _CTrainer(Trainer):
    """What the C programs share: the memory of the parameters as bytes."""

    def __init__(self, info: ProgramInfo) -> None:
        self.info = info
        self.training = _training_of(info)

    @abstractmethod
    def _read_params(self) -> bytes: ...

    @abstractmethod
    def _write_params(self, data: bytes) -> None: ...

    @property
    def params(self) -> dict[str, Array]:
        data = self._read_params()
        return {
            p.name: np.frombuffer(data[p.offset : p.offset + p.bytes], p.dtype).reshape(p.shape).copy()
            for p in self.training.params
        }

    def set_params(self, values: Mapping[str, Array]) -> None:
        data = bytearray(self._read_params())
        for p, array in zip(self.training.params, _bound_params(self.training.params, values), strict=True):
            data[p.offset : p.offset + p.bytes] = array.tobytes()
        self._write_params(bytes(data))

    def save(self) -> bytes:
        size = checkpoint_bytes(self.training.params_bytes)
        status, data = self._with_bytes(self.training.save, bytes(size), writable=True)
        self._check(status)
        return data

    def load(self, checkpoint: bytes) -> None:
        status, _ = self._with_bytes(self.training.load, checkpoint, len(checkpoint), writable=False)
        if status:
            raise CheckpointError(status)

    def seed(self, value: int) -> None:
        if self.training.seed is not None:
            self._check(self._seed(self.training.seed, value & 0xFFFFFFFF))

    @abstractmethod
    def _seed(self, function: str, value: int) -> int:
        """Call `function` with the parameters and a seed; its status."""

    @abstractmethod
    def _with_bytes(self, function: str, data: bytes, *args: int, writable: bool) -> tuple[int, bytes]:
        """Call `function` with the parameters, a buffer that holds `data`, and `args`; its status, and the buffer."""

    def _check(self, status: int) -> None:
        if status:
            raise ToolError(f"the program returned {status}")

    def _bound(self, x: Array, target: int | Array) -> tuple[list[Array], list[int]]:
        """The arrays and the integers that a step is given."""
        labelled = self.training.classes is not None
        arrays = [x] if labelled else [x, target]
        fitted = [_fitted(tensor, array) for tensor, array in zip(self.training.inputs, arrays, strict=True)]
        return fitted, [_label(target)] if labelled else []


class HostTrainer(_CTrainer):
    """The C, in this process."""

    def __init__(self, info: ProgramInfo, library: ctypes.CDLL) -> None:
        super().__init__(info)
        self._library = library
        self._arena = Guarded("the arena", info.arena_bytes, max(info.arena_align, 16))
        self._params = Guarded("the parameters", self.training.params_bytes)
        self._check(int(library[self.training.init](ctypes.c_void_p(self._params.address))))

    @staticmethod
    def build(folder: Path | str, compiler: HostCompiler | None = None, opt: str = "-O2") -> HostTrainer:
        """Compile the program in `folder`. Raises ToolError with what the compiler said, or ProgramError."""
        info = ProgramInfo.load(folder)
        return HostTrainer(info, load_library(info, compiler, opt))

    def step(self, x: Array, target: int | Array, lr: float, *, observe: Observer | None = None) -> StepResult:
        """As of `Trainer`; `observe` sees the arena after each op."""
        arrays, labels = self._bound(x, target)
        loss = ctypes.c_float(math.nan)
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        args = (*pointers, *map(ctypes.c_int32, labels), ctypes.c_float(lr), ctypes.byref(loss))
        with after_op(self._library, observe and self._shown_to(observe)):
            status = self._call(self.training.step, *args)
        return StepResult(status, loss.value)

    def run(self, x: Array) -> Array:
        tensor = self.info.outputs[0]
        out = np.empty(tensor.shape, tensor.dtype)
        x = _fitted(self.info.inputs[0], x)
        status = self._call(self.info.entry, ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data))
        self._check(status)
        return out

    def _shown_to(self, observe: Observer) -> Callable[[int], None]:
        return lambda index: observe(index, self._arena.bytes.copy())

    def _call(self, function: str, *args: object) -> int:
        head = (ctypes.c_void_p(self._arena.address), ctypes.c_void_p(self._params.address))
        status = int(self._library[function](*head, *args))
        self._check_memory(self._arena, self._params)
        return status

    def _seed(self, function: str, value: int) -> int:
        return int(self._library[function](ctypes.c_void_p(self._params.address), ctypes.c_uint32(value)))

    def _with_bytes(self, function: str, data: bytes, *args: int, writable: bool) -> tuple[int, bytes]:
        buffer = Guarded("the checkpoint", len(data))
        buffer.bytes[:] = np.frombuffer(data, np.uint8)
        addresses = (ctypes.c_void_p(self._params.address), ctypes.c_void_p(buffer.address))
        status = int(self._library[function](*addresses, *map(ctypes.c_uint32, args)))
        self._check_memory(self._params, buffer)
        return status, buffer.bytes.tobytes()

    def _check_memory(self, *parts: Guarded) -> None:
        for memory in parts:
            damage = memory.damage()
            if damage:
                raise ToolError(f"something was written {damage}")

    def _read_params(self) -> bytes:
        return self._params.bytes.tobytes()

    def _write_params(self, data: bytes) -> None:
        self._params.bytes[:] = np.frombuffer(data, np.uint8)


class M7Trainer(_CTrainer):
    """The C, on an emulated Cortex-M7 with the memories of a target. The parameters lie in its RAM."""

    def __init__(self, info: ProgramInfo, target: Target, elf: Elf, checks: Checks = "bounds") -> None:
        super().__init__(info)
        self.target, self.elf = target, elf
        kernels = [Kernel(elf.functions[op.function], str(op)) for op in self.training.ops]
        self._emulator = Emulator(elf, target, kernels=kernels, checks=checks)
        self._arena, self._params = elf.symbol("tinyir_arena"), elf.symbol("tinyir_params")
        self._check(self._emulator.call(self.training.init, self._params))

    @staticmethod
    def build(
        folder: Path | str,
        target: Target | str = "cortex-m7",
        compiler: CrossCompiler | None = None,
        opt: str = "-O3",
        *,
        stack_bytes: int = DEFAULT_STACK_BYTES,
        checks: Checks = "bounds",
    ) -> M7Trainer:
        """Compile and link the program in `folder`. Raises what `ProgramInfo.load` and `build_image` raise."""
        info = ProgramInfo.load(folder)
        target = get_target(target) if isinstance(target, str) else target
        return M7Trainer(info, target, link_image(info, target, compiler, opt, stack_bytes), checks)

    def step(
        self, x: Array, target: int | Array, lr: float, *, count: bool = False, observe: Observer | None = None
    ) -> StepResult:
        """As of `Trainer`; with `count` the result has the trace of what was executed, and `observe` sees the arena
        after each op."""
        arrays, labels = self._bound(x, target)
        buffers = [Buffer(f"input `{t.name}`", t.bytes, False) for t in self.training.inputs]
        *addresses, at_loss = self._emulator.map_buffers([*buffers, Buffer("loss", 4, True)])
        for address, array in zip(addresses, arrays, strict=True):
            self._emulator.write(address, array.tobytes())
        self._emulator.write(at_loss, np.float32(math.nan).tobytes())
        args = [self._arena, self._params, *addresses, *(label & 0xFFFFFFFF for label in labels), at_loss]
        shown = observe and self._shown_to(observe)
        status = self._emulator.call(self.training.step, *args, floats=[lr], limit=self._limit, observer=shown)
        if shown and status == 0:
            shown(len(self.training.ops) - 1)
        loss = float(np.frombuffer(self._emulator.read(at_loss, 4), np.float32)[0])
        trace = self._emulator.tracer.trace() if count else None
        return StepResult(status, loss, self._emulator.stack_used, trace)

    def run(self, x: Array) -> Array:
        tensor = self.info.outputs[0]
        buffers = [Buffer("input", self.info.inputs[0].bytes, False), Buffer("output", tensor.bytes, True)]
        at_x, at_y = self._emulator.map_buffers(buffers)
        self._emulator.write(at_x, _fitted(self.info.inputs[0], x).tobytes())
        self._check(self._emulator.call(self.info.entry, self._arena, self._params, at_x, at_y, limit=self._limit))
        return np.frombuffer(self._emulator.read(at_y, tensor.bytes), tensor.dtype).reshape(tensor.shape)

    def _shown_to(self, observe: Observer) -> Callable[[int], None]:
        size = self.info.arena_bytes
        return lambda index: observe(index, np.frombuffer(self._emulator.read(self._arena, size), np.uint8))

    @property
    def _limit(self) -> int:
        return 200_000_000 + 64 * self.training.macs

    def _seed(self, function: str, value: int) -> int:
        return self._emulator.call(function, self._params, value)

    def _with_bytes(self, function: str, data: bytes, *args: int, writable: bool) -> tuple[int, bytes]:
        (address,) = self._emulator.map_buffers([Buffer("checkpoint", len(data), writable)])
        self._emulator.write(address, data)
        status = self._emulator.call(function, self._params, address, *args)
        return status, self._emulator.read(address, len(data))

    def _read_params(self) -> bytes:
        return self._emulator.read(self._params, self.training.params_bytes)

    def _write_params(self, data: bytes) -> None:
        self._emulator.write(self._params, data)


def _training_of(info: ProgramInfo) -> TrainingInfo:
    if info.training is None:
        raise ProgramError(f"`{info.name}` does not train", help="compile it with training options")
    return info.training


def _fitted(tensor: TensorInfo, value: int | Array) -> Array:
    """`value` as a contiguous array. Raises UsageError where it is not what `tensor` says."""
    array = np.asarray(value)
    if array.shape != tensor.shape or array.dtype != np.dtype(tensor.dtype):
        raise UsageError(f"`{tensor.name}` is {tensor.dtype}{list(tensor.shape)}, not {array.dtype}{list(array.shape)}")
    return np.ascontiguousarray(array).reshape(tensor.shape)


def _label(target: int | Array) -> int:
    """A label as an int32, where it is beyond that the nearest one, which no class has either. Raises UsageError."""
    array = np.asarray(target)
    if array.size != 1 or array.dtype.kind not in "iub":
        raise UsageError(f"a label is one whole number, not {array.dtype}{list(array.shape)}")
    return min(max(int(array.reshape(())), -(2**31)), 2**31 - 1)


def _bound_params(infos: Sequence[ParamInfo], values: Mapping[str, Array]) -> list[Array]:
    """The arrays of `values` in the order of `infos`. Raises UsageError where they do not fit."""
    names = [info.name for info in infos]
    if sorted(values) != sorted(names):
        raise UsageError(f"the parameters are {', '.join(names)}, not {', '.join(values)}")
    for info in infos:
        array = values[info.name]
        if array.shape != info.shape or array.dtype != np.dtype(info.dtype):
            raise UsageError(
                f"parameter `{info.name}` is {info.dtype}{list(info.shape)}, not {array.dtype}{list(array.shape)}"
            )
    return [np.asarray(values[name], order="C") for name in names]
