"""TFLite tensors as IR types, and the tools with which the rules in `tflite_ops.py` convert one operator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.frontends.tflite_reader import ModelReader, Operator, Tensor, corrupt, enum_name
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.nn_elementwise import Clamp
from tinyir.ir.ops.tensor import Reshape, Storage, Typed
from tinyir.ir.types import DType, ElemType, QType, TensorType

Array = npt.NDArray[Any]


class UnsupportedError(Exception):
    """Why an operator cannot be converted, as the rest of a sentence about it."""


def image_layout(rank: int) -> str:
    """The layout of activations: axes have names only where there are four."""
    return "NHWC" if rank == 4 else ""


def tensor_type(tensor: Tensor) -> TensorType:
    """The type of an activation: float32, or int8 with one scale. Raises UnsupportedError, ModelError."""
    if 0 in tensor.shape:
        raise UnsupportedError(f"{tensor} has no elements: {list(tensor.shape)}")
    if tensor.oddity:
        raise UnsupportedError(f"{tensor} is {tensor.oddity}")
    if len(tensor.scales) > 1:
        raise UnsupportedError(f"{tensor} is no constant and has {len(tensor.scales)} scales")
    return TensorType(tensor.shape, element_type(tensor), image_layout(len(tensor.shape)))


def element_type(tensor: Tensor, axis: int = 0) -> ElemType:
    """float32, or int8 with its scale or scales along `axis`. Raises UnsupportedError, ModelError."""
    if tensor.kind == "FLOAT32":
        return DType.F32
    if tensor.kind != "INT8":
        raise UnsupportedError(f"{tensor} is {tensor.kind}, neither FLOAT32 nor INT8")
    if not tensor.scales:
        raise UnsupportedError(f"{tensor} is INT8 without a scale and a zero point")
    least, most = DType.I8.limits
    if not all(least <= zero_point <= most for zero_point in tensor.zero_points):
        raise corrupt(f"{tensor} has a zero point outside of int8")
    if len(tensor.scales) == 1:
        return QType(DType.I8, tensor.scales, tensor.zero_points)
    return QType(DType.I8, tensor.scales, tensor.zero_points, axis)


def sanitized(name: str) -> str:
    """A tensor name as the name of a value: its last letters and digits, joined by underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[-48:].strip("_")


ACTIVATIONS = {
    0: None,
    1: (0.0, np.inf),
    2: (-1.0, 1.0),
    3: (0.0, 6.0),
}
"""The fused activations (ActivationFunctionType) that clamp; TFLite Micro takes no notice of others."""


@dataclass
class Conversion:
    """One operator under conversion: its operands as values, its options, and where its results go."""

    op: Operator
    reader: ModelReader
    b: FuncBuilder
    values: dict[int, Value]

    # -- operands ---------------------------------------------------------------------------------------------------

    def has(self, position: int) -> bool:
        """Whether operand `position` is there."""
        return position < len(self.op.inputs) and self.op.inputs[position] >= 0

    def tensor(self, position: int) -> Tensor:
        """The tensor of operand `position`. Raises ModelError where it is left out."""
        if not self.has(position):
            raise corrupt(f"op {self.op.index} ({self.op.kind}) lacks operand {position}")
        return self.reader.tensor(self.op.inputs[position])

    def operand(self, position: int) -> Value:
        """Operand `position` as a value: an activation, or a constant of the same types."""
        tensor = self.tensor(position)
        if tensor.index not in self.values:
            type = tensor_type(tensor)
            name = f"{self.op.kind.lower()}_{self.op.index}_c{position}"
            self.values[tensor.index] = self.b.const(tensor.array(), name, type.elem, type.layout)
        return self.values[tensor.index]

    def numbers(self, position: int, role: str) -> list[int]:
        """The integers of the constant operand `position`, flattened. Raises UnsupportedError unless it is one."""
        tensor = self.tensor(position)
        if tensor.data is None:
            raise UnsupportedError(f"{role}, {tensor}, is not a constant")
        if tensor.kind not in ("INT32", "INT64"):
            raise UnsupportedError(f"{role}, {tensor}, is {tensor.kind}, neither INT32 nor INT64")
        return [int(n) for n in tensor.array().reshape(-1)]

    def weights(self, position: int, kind: str, axis: int) -> tuple[Array, ElemType]:
        """The constant operand `position` and its element type, with one scale or one for each index of `axis`."""
        tensor = self.tensor(position)
        if tensor.data is None:
            raise UnsupportedError(f"the weights, {tensor}, are not constant")
        elem = element_type(tensor, axis)
        if isinstance(elem, QType) and elem.per_axis:
            extent = tensor.shape[axis] if axis < len(tensor.shape) else 0
            if tensor.axis != axis or extent != len(elem.scales):
                raise UnsupportedError(
                    f"the weights, {tensor}, have {len(elem.scales)} scales along axis {tensor.axis}"
                )
        if len(tensor.shape) != {"conv2d": 4, "depthwise_conv2d": 4, "dense": 2}[kind]:
            raise UnsupportedError(f"the weights, {tensor}, have {len(tensor.shape)} axes")
        return tensor.array(), elem

    def bias(self, position: int, name: str, layout: str = "") -> Value | None:
        """The constant bias, of type f32 or i32; None where it is left out."""
        if not self.has(position):
            return None
        tensor = self.tensor(position)
        if tensor.data is None:
            raise UnsupportedError(f"the bias, {tensor}, is not a constant")
        if tensor.kind not in ("FLOAT32", "INT32"):
            raise UnsupportedError(f"the bias, {tensor}, is {tensor.kind}, neither FLOAT32 nor INT32")
        return self.b.const(tensor.array().reshape(-1), name, layout=layout)

    # -- results ----------------------------------------------------------------------------------------------------

    def name(self, kind: str, position: int = 0) -> str:
        """The name of result `position`: that of its tensor if it is an output of the graph, else `kind` and index."""
        index = self.op.outputs[position]
        if index in self.reader.outputs:
            from_model = sanitized(self.reader.tensor(index).name)
            if from_model:
                return from_model
        return f"{kind}_{self.op.index}" + (f"_{position}" if len(self.op.outputs) > 1 else "")

    def result_type(self, position: int = 0) -> TensorType:
        """What the model says of result `position`."""
        return tensor_type(self.reader.tensor(self.op.outputs[position]))

    def define(self, value: Value, position: int = 0) -> None:
        """Let `value` be result `position`."""
        self.values[self.op.outputs[position]] = value

    def result(self, kind: str, op_class: type[Op], *operands: Value | None, fused: int = 0, **attrs: Any) -> None:
        """Let the only result be that of a new op, then clamped by the `fused` activation."""
        given = [value for value in operands if value is not None]
        self.define(self.activated(kind, fused, op_class, given, self.result_type(), attrs))

    def activated(
        self,
        kind: str,
        fused: int,
        op_class: type[Op],
        operands: Sequence[Value],
        type: TensorType,
        attrs: dict[str, Any],
    ) -> Value:
        """A new op of `type`, then clamped by the `fused` activation."""
        if fused not in ACTIVATIONS:
            raise UnsupportedError(f"the fused activation {enum_name('ActivationFunctionType', fused)}")
        limits = ACTIVATIONS[fused]
        if limits is None:
            return self.b.add(op_class(*operands, types=type, name=self.name(kind), **attrs))
        value = self.b.add(op_class(*operands, types=type, name=f"{kind}_{self.op.index}", **attrs))
        return self.b.add(Clamp(value, lo=limits[0], hi=limits[1], types=type, name=self.name(kind)))

    def moved(self, kind: str, op_class: type[Op], x: Value, position: int = 0, **attrs: Any) -> None:
        """Let result `position` be a new op that only moves elements of `x`. TFLite copies the stored integers even
        where the result has another scale."""
        type = self.result_type(position)
        moved = op_class(x, types=type.with_elem(x.type.elem), name=self.name(kind, position), **attrs)
        self.define(self.relabelled(self.b.add(moved), type), position)

    def relabelled(self, value: Value, type: TensorType) -> Value:
        """`value` with the element type of `type`, its stored integers unchanged."""
        if value.type.elem == type.elem:
            return value
        if not isinstance(value.type.elem, QType) or not isinstance(type.elem, QType):
            raise UnsupportedError(f"it turns {value.type.elem} into {type.elem}")
        stored = self.b.add(Storage(value))
        return self.b.add(Typed(stored, types=value.type.with_elem(type.elem), name=value.name))

    def reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """`value` under another shape, in the layout of its rank; itself where nothing changes."""
        if value.type.shape == shape:
            return value
        type = value.type.with_shape(shape, image_layout(len(shape)))
        return self.b.add(Reshape(value, shape=shape, types=type))
