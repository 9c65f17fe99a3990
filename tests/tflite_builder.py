"""Writes small .tflite models for tests, with any operator and any mistake in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

Array = npt.NDArray[Any]

OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SOFTMAX": "SoftmaxOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "CONCATENATION": "ConcatenationOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESHAPE": "ReshapeOptions",
    "SQUEEZE": "SqueezeOptions",
}
"""The options that the kernels insist on."""

KINDS = {np.dtype(np.float32): "FLOAT32", np.dtype(np.int8): "INT8", np.dtype(np.int32): "INT32"}


@dataclass(frozen=True)
class Quant:
    """One scale and zero point, or one for each index of `axis`."""

    scale: float | Sequence[float]
    zero_point: int | Sequence[int] = 0
    axis: int = 0


class TFLiteBuilder:
    """Collects tensors and operators; `build` gives the bytes of the model.

    b = TFLiteBuilder()
    x = b.input((1, 8), Quant(0.1, 3))
    y = b.tensor((1, 8), Quant(0.2, 0))
    b.op("ADD", [x, x], [y])
    data = b.build([y])
    """

    def __init__(self) -> None:
        self.graph = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[], name="main")
        self.buffers = [schema.BufferT()]
        self.codes: list[Any] = []

    def tensor(
        self,
        shape: Sequence[int],
        quant: Quant | None = None,
        kind: str = "",
        data: Array | None = None,
        name: str = "",
    ) -> int:
        """A tensor's index. Its kind is INT8 if it has a scale, else FLOAT32, unless `kind` says otherwise."""
        index = len(self.graph.tensors)
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(schema.BufferT(data=np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)))
        kind = kind or ("INT8" if quant is not None else "FLOAT32")
        self.graph.tensors.append(
            schema.TensorT(
                shape=np.array(shape, np.int32),
                type=getattr(schema.TensorType, kind),
                buffer=buffer,
                name=name or f"t{index}",
                quantization=_quantization(quant),
            )
        )
        return index

    def input(self, shape: Sequence[int], quant: Quant | None = None, kind: str = "", name: str = "") -> int:
        """An input of the graph."""
        index = self.tensor(shape, quant, kind, name=name)
        self.graph.inputs.append(index)
        return index

    def const(self, array: Array, quant: Quant | None = None, name: str = "") -> int:
        """A constant, of the kind of the array."""
        return self.tensor(array.shape, quant, KINDS[array.dtype], array, name)

    def ints(self, *numbers: int) -> int:
        """A constant vector of int32."""
        return self.const(np.array(numbers, np.int32))

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], version: int = 1, **options: Any) -> None:
        """An operator; `options` are the fields of its options as the object API of the schema calls them."""
        code = getattr(schema.BuiltinOperator, kind)
        self.codes.append(schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version))
        operator = schema.OperatorT(
            opcodeIndex=len(self.codes) - 1,
            inputs=np.array(inputs, np.int32),
            outputs=np.array(outputs, np.int32),
        )
        if kind in OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[kind])
            operator.builtinOptions = getattr(schema, f"{OPTIONS[kind]}T")(**options)
        self.graph.operators.append(operator)

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(int(n) for n in self.graph.tensors[index].shape)

    def build(self, outputs: Sequence[int]) -> bytes:
        """The model whose outputs are `outputs`."""
        self.graph.outputs = np.array(outputs, np.int32)
        model = schema.ModelT(
            version=3, operatorCodes=self.codes, subgraphs=[self.graph], buffers=self.buffers, description="test"
        )
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _quantization(quant: Quant | None) -> Any:
    if quant is None:
        return None
    scales = np.atleast_1d(np.array(quant.scale, np.float32))
    zeros = np.broadcast_to(np.array(quant.zero_point, np.int64), scales.shape)
    return schema.QuantizationParametersT(scale=scales, zeroPoint=np.array(zeros), quantizedDimension=quant.axis)
