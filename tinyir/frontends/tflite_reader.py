"""Reading a .tflite file without trusting it.

The generated accessors of the `tflite` package follow whatever offsets a file holds. Here they read through
`CheckedTable`, so a damaged file ends in one ModelError, and vectors are views, so it allocates no more than its size.
Tensors are read when they are asked for.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import ModelError

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
MAX_RANK = 6
MAX_ELEMENTS = 2**31 - 1
MAX_OPERANDS = 256
"""Per operator. Larger files than these hold are not for microcontrollers."""


def corrupt(what: str) -> ModelError:
    """The error for a file whose parts do not fit together."""
    return ModelError(f"corrupt model: {what}", help="the file is damaged or was cut short")


class CheckedTable:
    """What the generated accessors need of `flatbuffers.Table`, with every offset checked against the file."""

    def __init__(self, data: bytes, pos: int) -> None:
        self.Bytes = data
        self.Pos = pos

    def _require(self, start: int, size: int) -> None:
        if start < 0 or size < 0 or start + size > len(self.Bytes):
            raise corrupt(f"{size} bytes at offset {start} are outside of the file's {len(self.Bytes)}")

    def Get(self, flags: Any, off: int) -> Any:  # noqa: N802
        """The scalar at `off`."""
        self._require(off, flags.bytewidth)
        return flags.py_type(flags.packer_type.unpack_from(self.Bytes, off)[0])

    def _word(self, off: int) -> int:
        self._require(off, 4)
        return int.from_bytes(self.Bytes[off : off + 4], "little")

    def Offset(self, slot: int) -> int:  # noqa: N802
        """The offset of a field from the table's start; 0 where the file leaves it out."""
        self._require(self.Pos, 4)
        vtable = self.Pos - int.from_bytes(self.Bytes[self.Pos : self.Pos + 4], "little", signed=True)
        self._require(vtable, 4)
        if slot >= int.from_bytes(self.Bytes[vtable : vtable + 2], "little"):
            return 0
        self._require(vtable + slot, 2)
        return int.from_bytes(self.Bytes[vtable + slot : vtable + slot + 2], "little")

    def Indirect(self, off: int) -> int:  # noqa: N802
        """Where the offset stored at `off` points."""
        target = off + self._word(off)
        self._require(target, 4)
        return target

    def Vector(self, off: int) -> int:  # noqa: N802
        """Where the elements of the vector start whose offset is the field at `off`."""
        return self.Indirect(self.Pos + off) + 4

    def VectorLen(self, off: int) -> int:  # noqa: N802
        """How many elements that vector has. Raises ModelError for more than the file has bytes."""
        start = self.Vector(off)
        length = self._word(start - 4)
        self._require(start, length)
        return length

    def GetVectorAsNumpy(self, flags: Any, off: int) -> npt.NDArray[Any]:  # noqa: N802
        """That vector, as a view of the file."""
        start, length = self.Vector(off), self.VectorLen(off)
        self._require(start, length * flags.bytewidth)
        dtype = np.dtype(flags.packer_type.format)
        return np.frombuffer(self.Bytes, dtype, length, start) if length else np.empty(0, dtype)

    def String(self, off: int) -> bytes:  # noqa: N802
        """The string whose offset is stored at `off`."""
        start = self.Indirect(off)
        length = self._word(start)
        self._require(start + 4, length)
        return bytes(self.Bytes[start + 4 : start + 4 + length])

    def Union(self, table: Any, off: int) -> None:  # noqa: N802
        """Let `table` be what the field at `off` points to."""
        table.Bytes, table.Pos = self.Bytes, self.Indirect(self.Pos + off)


def _checked(accessor: Any) -> Any:
    """A generated accessor that reads through CheckedTable from now on."""
    accessor._tab = CheckedTable(accessor._tab.Bytes, accessor._tab.Pos)
    return accessor


def _vector(accessor: Any, name: str) -> npt.NDArray[Any]:
    """A vector of scalars; empty where the file leaves it out."""
    array = getattr(accessor, f"{name}AsNumpy")()
    return array if isinstance(array, np.ndarray) else np.empty(0, np.int32)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")[:256]


@cache
def _enum(name: str) -> dict[int, str]:
    """The names of an enumeration of the schema by their codes."""
    members = vars(getattr(importlib.import_module(f"tflite.{name}"), name))
    return {code: member for member, code in members.items() if isinstance(code, int)}


def enum_name(enum: str, code: int) -> str:
    """What the schema calls `code`, a member of `enum`."""
    return _enum(enum).get(code, f"{enum} {code}")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model; `data` are the bytes of a constant."""

    index: int
    name: str
    shape: tuple[int, ...]
    kind: str
    data: npt.NDArray[np.uint8] | None
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    oddity: str
    """What no operator here can deal with, or nothing."""

    def __str__(self) -> str:
        return f"tensor {self.index} ({json.dumps(self.name)})"

    def array(self) -> npt.NDArray[Any]:
        """The elements of a constant. Raises ModelError unless its bytes are as many as its shape asks for."""
        assert self.data is not None
        dtype = np.dtype(NUMPY_KINDS[self.kind])
        want = prod(self.shape) * dtype.itemsize
        if want != self.data.size:
            raise corrupt(f"{self} holds {self.data.size} bytes, but its shape {list(self.shape)} takes {want}")
        return np.frombuffer(self.data, dtype).reshape(self.shape)


NUMPY_KINDS = {"FLOAT32": "<f4", "INT32": "<i4", "INT64": "<i8", "INT8": "i1"}
"""The element types of constants that some operator takes."""


@dataclass(frozen=True)
class Operator:
    """An operator of the model; -1 stands for an optional operand that is left out."""

    index: int
    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    accessor: Any

    def __str__(self) -> str:
        return f"op {self.index} {self.kind} version {self.version}"

    def options(self, kind: str) -> Any:
        """The generated accessor of its options. Raises ModelError if it has none of this kind."""
        have = enum_name("BuiltinOptions", self.accessor.BuiltinOptionsType())
        table = self.accessor.BuiltinOptions()
        if have != kind or table is None:
            raise corrupt(f"op {self.index} ({self.kind}) has no {kind}")
        options = getattr(importlib.import_module(f"tflite.{kind}"), kind)()
        options.Init(table.Bytes, table.Pos)
        return _checked(options)


class ModelReader:
    """The first subgraph of a model. Raises ModelError for whatever is not in order."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 8 or data[4:8] != IDENTIFIER:
            raise ModelError(
                "not a TFLite model",
                notes=['the file does not have the identifier "TFL3"'],
                help="tinyir reads .tflite files and .tir files",
            )
        from tflite.Model import Model

        CheckedTable(data, 0).Indirect(0)
        self._model = _checked(Model.GetRootAs(data, 0))
        if self._model.Version() != SCHEMA_VERSION:
            raise ModelError(f"the model has schema version {self._model.Version()}, tinyir reads {SCHEMA_VERSION}")
        if self._model.SubgraphsLength() < 1:
            raise corrupt("it has no subgraph")
        self._graph = _checked(self._model.Subgraphs(0))
        self._tensors: dict[int, Tensor] = {}
        self._words = len(data) // 4
        self.inputs = self._tensor_indices(self._graph, "Inputs")
        self.outputs = self._tensor_indices(self._graph, "Outputs")

    def operators(self) -> list[Operator]:
        """The operators in order."""
        return [self._operator(i) for i in range(self._graph.OperatorsLength())]

    def _operator(self, index: int) -> Operator:
        accessor = _checked(self._graph.Operators(index))
        kind, version = self._opcode(index, accessor.OpcodeIndex())
        inputs = self._tensor_indices(accessor, "Inputs", optional=True)
        return Operator(index, kind, version, inputs, self._tensor_indices(accessor, "Outputs"), accessor)

    def _opcode(self, op: int, index: int) -> tuple[str, int]:
        if not 0 <= index < self._model.OperatorCodesLength():
            raise corrupt(f"op {op} has the operator code {index} of {self._model.OperatorCodesLength()}")
        code = _checked(self._model.OperatorCodes(index))
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = enum_name("BuiltinOperator", number)
        return (f"CUSTOM {json.dumps(_text(code.CustomCode()))}" if kind == "CUSTOM" else kind), code.Version()

    def _tensor_indices(self, accessor: Any, name: str, optional: bool = False) -> tuple[int, ...]:
        indices = _vector(accessor, name)
        if len(indices) > MAX_OPERANDS:
            raise corrupt(f"{len(indices)} tensors in one list")
        self._spend(len(indices))
        count, least = self._graph.TensorsLength(), -1 if optional else 0
        for index in indices:
            if not least <= index < count:
                raise corrupt(f"a tensor index of {index}, with {count} tensors")
        return tuple(int(index) for index in indices)

    def _spend(self, words: int) -> None:
        """Count lists of numbers against the size of the file, in which no two share their bytes."""
        self._words -= words
        if self._words < 0:
            raise corrupt("its lists overlap")

    def tensor(self, index: int) -> Tensor:
        """The tensor with this index, which must be one of an operator's or the graph's."""
        if index not in self._tensors:
            self._tensors[index] = self._read_tensor(index)
        return self._tensors[index]

    def _read_tensor(self, index: int) -> Tensor:
        accessor = _checked(self._graph.Tensors(index))
        scales, zero_points, axis = _quantization(index, accessor)
        self._spend(len(scales))
        return Tensor(
            index=index,
            name=_text(accessor.Name()),
            shape=_shape(index, accessor),
            kind=enum_name("TensorType", accessor.Type()),
            data=self._buffer(index, accessor),
            scales=scales,
            zero_points=zero_points,
            axis=axis,
            oddity="a variable" if accessor.IsVariable() else "sparse" if accessor.Sparsity() is not None else "",
        )

    def _buffer(self, tensor: int, accessor: Any) -> npt.NDArray[np.uint8] | None:
        index = accessor.Buffer()
        if not 0 <= index < self._model.BuffersLength():
            raise corrupt(f"tensor {tensor} has the buffer {index} of {self._model.BuffersLength()}")
        buffer = _checked(self._model.Buffers(index))
        if buffer.Offset() > 1:
            raise ModelError(f"tensor {tensor} keeps its data outside of the flatbuffer, which tinyir does not read")
        data = _vector(buffer, "Data")
        return data if data.size else None


def _shape(index: int, accessor: Any) -> tuple[int, ...]:
    dims = _vector(accessor, "Shape")
    if len(dims) > MAX_RANK:
        raise corrupt(f"tensor {index} has {len(dims)} axes; tinyir takes up to {MAX_RANK}")
    shape = tuple(int(n) for n in dims)
    if any(n < 0 for n in shape) or prod(shape) > MAX_ELEMENTS:
        raise corrupt(f"tensor {index} has the shape {list(shape)}")
    return shape


def _quantization(index: int, accessor: Any) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Scales, as many zero points, and the axis of a tensor. Raises ModelError for scales that are none."""
    params = accessor.Quantization()
    if params is None:
        return (), (), 0
    params = _checked(params)
    scales, zeros = _vector(params, "Scale"), _vector(params, "ZeroPoint")
    if not len(scales) or not len(zeros):
        return (), (), 0
    if len(zeros) not in (1, len(scales)):
        raise corrupt(f"tensor {index} has {len(scales)} scales and {len(zeros)} zero points")
    wrong = scales[~(np.isfinite(scales) & (scales > 0))]
    if len(wrong):
        raise ModelError(f"tensor {index} has the scale {wrong[0]}", help="scales are finite and above 0")
    zero_points = np.broadcast_to(zeros, scales.shape)
    return tuple(scales.tolist()), tuple(zero_points.tolist()), params.QuantizedDimension()
