"""The compiled program as its `report.json` describes it, and what every way of running it shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyir.diagnostics import TinyIRError, UsageError

if TYPE_CHECKING:
    from tinyir.ir.core import Value
    from tinyir.runtime.trace import Trace

Array = NDArray[Any]
Inputs = Sequence[Array] | Mapping[str, Array]
"""Input tensors in the order of the program, or by name."""

Observer = Callable[[int, NDArray[np.uint8]], None]
"""Called after each op with its index and the bytes of the arena at that moment."""

DTYPES = ("int8", "uint8", "int16", "int32", "float32")


class ProgramError(TinyIRError):
    """A folder that does not hold a compiled program, or one that does not hold together."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of the program. `scale` and `zero_point` are None for real numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    scale: float | None = None
    zero_point: int | None = None

    @staticmethod
    def of(value: Value) -> TensorInfo:
        """What a value of the graph is to the caller of the program."""
        type, quant = value.type, value.type.quant
        scale, zero_point = (quant.scale, quant.zero_point) if quant is not None else (None, None)
        return TensorInfo(value.name, str(type.storage.numpy), type.shape, type.bytes, scale, zero_point)


@dataclass(frozen=True)
class StoredTensor:
    """Where an op leaves a result in the arena, until a later op overwrites it."""

    offset: int
    bytes: int
    dtype: str
    shape: tuple[int, ...]

    def read(self, arena: NDArray[np.uint8]) -> Array:
        """A copy of the tensor, out of the bytes of the arena."""
        return arena[self.offset : self.offset + self.bytes].copy().view(self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class OpInfo:
    """One op of the program: one call of the C function `function`, which ops may share. `constants` are the symbols of
    the arrays in flash that the call is given."""

    index: int
    name: str
    kind: str
    location: str
    macs: int
    live_bytes: int
    function: str
    outputs: tuple[StoredTensor, ...] = ()
    constants: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"op {self.index} `{self.name}`"


@dataclass(frozen=True)
class ParamInfo:
    """A parameter that is trained, and where it lies in the C struct NAME_params."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


@dataclass(frozen=True)
class TrainingInfo:
    """How a program trains: the C functions that set the parameters and make a step, and the op list of a step.

    `classes` is the number of labels, None where the target is a tensor, the last of `inputs`. `rng` names the
    parameter that holds a seed and the number of steps, where training draws random numbers. Checkpoints are marked
    with `identity`.
    """

    init: str
    step: str
    params_bytes: int
    params: tuple[ParamInfo, ...]
    classes: int | None
    rng: str | None
    inputs: tuple[TensorInfo, ...]
    ops: tuple[OpInfo, ...]
    macs: int
    identity: bytes

    @property
    def functions(self) -> tuple[str, ...]:
        """The C functions besides that of an inference."""
        return (self.init, self.step, self.save, self.load, *([self.seed] if self.seed else []))

    @property
    def seed(self) -> str | None:
        """The function that sets the seed, where training draws random numbers."""
        return self.init.removesuffix("init") + "seed" if self.rng is not None else None

    @property
    def save(self) -> str:
        return self.init.removesuffix("init") + "save"

    @property
    def load(self) -> str:
        return self.init.removesuffix("init") + "load"


@dataclass(frozen=True)
class ProgramInfo:
    """A folder with a compiled program: `report.json`, typed. Sizes are in bytes."""

    folder: Path
    name: str
    entry: str
    header: str
    sources: tuple[str, ...]
    arena_bytes: int
    arena_align: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: tuple[OpInfo, ...]
    macs: int
    report: Mapping[str, Any] = field(repr=False, compare=False)
    training: TrainingInfo | None = None

    @staticmethod
    def load(folder: Path | str) -> ProgramInfo:
        """Read `folder/report.json`. Raises ProgramError when it is missing or is not a report of a program."""
        folder = Path(folder)
        path = folder / "report.json"
        try:
            report = json.loads(path.read_text())
        except OSError as error:
            hint = "name the folder that `tinyir compile -o FOLDER` wrote"
            raise ProgramError(f"{path}: {error.strerror or error}", help=hint) from error
        except ValueError as error:
            raise ProgramError(f"{path}: not JSON: {error}") from error
        try:
            return _program(folder, report)
        except (KeyError, TypeError, ValueError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise ProgramError(f"{path}: not a report of a compiled program: {what}") from error

    def without_training(self) -> ProgramInfo:
        """This program, if its functions take no parameters of the caller's. Raises ProgramError."""
        if self.training is not None:
            raise ProgramError(f"`{self.name}` trains: its functions take parameters", help="use a trainer to run it")
        return self

    @property
    def prefix(self) -> str:
        """What the C names of the program begin with: `person` for `person_run` and `person_input0`."""
        return self.entry.removesuffix("_run")

    @property
    def source_paths(self) -> list[Path]:
        """The C files."""
        return [self.folder / source for source in self.sources]

    def op_at(self, index: int) -> str:
        """A phrase for messages: the op, or where the program is before the first one."""
        return str(self.ops[index]) if 0 <= index < len(self.ops) else "no op"

    def bind(self, inputs: Inputs) -> list[Array]:
        """`inputs` in order, contiguous. Raises UsageError where number, names, shapes or dtypes differ."""
        if isinstance(inputs, Mapping):
            wanted = [tensor.name for tensor in self.inputs]
            if sorted(inputs) != sorted(wanted):
                raise UsageError(f"inputs are named {', '.join(wanted)}, not {', '.join(inputs) or 'nothing'}")
            inputs = [inputs[name] for name in wanted]
        if len(inputs) != len(self.inputs):
            raise UsageError(f"`{self.name}` has {len(self.inputs)} inputs, {len(inputs)} were given")
        return [_bound(tensor, np.asarray(value)) for tensor, value in zip(self.inputs, inputs, strict=True)]


@dataclass(frozen=True)
class RunResult:
    """What one run of the program gave.

    `status` is what the entry function returned, 0 for success. What a way of running cannot tell is None:
    `stack_bytes` (deepest use of the stack) and the counts come from the emulator. `per_op[k]` are the instructions
    executed from the call of op k's kernel to the call of the next one; what precedes the first kernel counts to op 0.
    """

    outputs: list[Array]
    status: int
    stack_bytes: int | None = None
    instructions: int | None = None
    per_op: list[int] | None = None
    trace: Trace | None = field(default=None, repr=False)


def _bound(tensor: TensorInfo, value: Array) -> Array:
    if value.dtype != np.dtype(tensor.dtype) or value.shape != tensor.shape:
        raise UsageError(
            f"input `{tensor.name}` is {tensor.dtype}{list(tensor.shape)}, "
            f"an array of {value.dtype}{list(value.shape)} was given"
        )
    return np.ascontiguousarray(value)


def _program(folder: Path, report: Any) -> ProgramInfo:
    info = ProgramInfo(
        folder=folder,
        name=str(report["name"]),
        entry=str(report["entry"]),
        header=str(report["header"]),
        sources=tuple(str(source) for source in report["sources"]),
        arena_bytes=int(report["arena_bytes"]),
        arena_align=int(report["arena_align"]),
        inputs=tuple(_tensor(entry) for entry in report["inputs"]),
        outputs=tuple(_tensor(entry) for entry in report["outputs"]),
        ops=tuple(_op(entry) for entry in report["ops"]),
        macs=int(report["macs"]),
        report=report,
        training=_training(report["training"]) if "training" in report else None,
    )
    if [op.index for op in info.ops] != list(range(len(info.ops))):
        raise ValueError("ops[] are not numbered 0, 1, 2, ...")
    if info.arena_align < 1 or info.arena_align & (info.arena_align - 1):
        raise ValueError(f"arena_align {info.arena_align} is not a power of two")
    for op in info.ops:
        for stored in op.outputs:
            if stored.offset < 0 or stored.offset + stored.bytes > info.arena_bytes:
                raise ValueError(f"{op} leaves a result outside the arena")
    return info


def _training(entry: Any) -> TrainingInfo:
    return TrainingInfo(
        init=str(entry["init"]),
        step=str(entry["step"]),
        params_bytes=int(entry["params_bytes"]),
        params=tuple(
            ParamInfo(str(p["name"]), _dtype(p), tuple(map(int, p["shape"])), int(p["offset"]), int(p["bytes"]))
            for p in entry["params"]
        ),
        classes=None if entry["classes"] is None else int(entry["classes"]),
        rng=None if entry["rng"] is None else str(entry["rng"]),
        inputs=tuple(_tensor(tensor) for tensor in entry["inputs"]),
        ops=tuple(_op(op) for op in entry["ops"]),
        macs=int(entry["macs"]),
        identity=bytes.fromhex(entry["identity"]),
    )


def _tensor(entry: Any) -> TensorInfo:
    scale, zero_point = entry.get("scale"), entry.get("zero_point")
    tensor = TensorInfo(
        name=str(entry["name"]),
        dtype=_dtype(entry),
        shape=tuple(int(dim) for dim in entry["shape"]),
        bytes=int(entry["bytes"]),
        scale=None if scale is None else float(scale),
        zero_point=None if zero_point is None else int(zero_point),
    )
    _check_size(tensor.name, tensor)
    return tensor


def _op(entry: Any) -> OpInfo:
    return OpInfo(
        index=int(entry["index"]),
        name=str(entry["name"]),
        kind=str(entry["kind"]),
        location=str(entry["location"]),
        macs=int(entry["macs"]),
        live_bytes=int(entry["live_bytes"]),
        function=str(entry["function"]),
        outputs=tuple(_stored(entry["name"], stored) for stored in entry.get("outputs", ())),
        constants=tuple(str(symbol) for symbol in entry.get("constants", ())),
    )


def _stored(name: str, entry: Any) -> StoredTensor:
    shape = tuple(int(dim) for dim in entry["shape"])
    stored = StoredTensor(int(entry["offset"]), int(entry["bytes"]), _dtype(entry), shape)
    _check_size(name, stored)
    return stored


def _dtype(entry: Any) -> str:
    dtype = str(entry["dtype"])
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is none of {', '.join(DTYPES)}")
    return dtype


def _check_size(name: str, tensor: TensorInfo | StoredTensor) -> None:
    expected = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
    if tensor.bytes != expected:
        raise ValueError(f"{name}: {tensor.dtype}{list(tensor.shape)} takes {expected} bytes, not {tensor.bytes}")
