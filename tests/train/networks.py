"""Small networks to train."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Op, Value
from tinyir.ir.ops.nn_activation import HardSwish, LeakyRelu, Logistic, Relu
from tinyir.ir.ops.nn_contraction import Conv2D, Dense, DepthwiseConv2D
from tinyir.ir.ops.nn_elementwise import Add, Mul
from tinyir.ir.ops.nn_window import AveragePool2D, MaxPool2D, Mean, Softmax
from tinyir.ir.ops.tensor import Concat, Pad, Reshape
from tinyir.ir.types import DType, TensorType


def dense_network(
    sizes: Sequence[int], activation: type[Op] = Logistic, *, last: type[Op] | None = None, seed: int = 0
) -> Module:
    """Dense layers with an `activation` between them and perhaps one at the end. Parameters are w0, b0, w1, ..."""
    rng = np.random.default_rng(seed)
    b = FuncBuilder()
    value = b.arg(TensorType((1, sizes[0]), DType.F32), "x")
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        w = rng.normal(scale=inputs**-0.5, size=(outputs, inputs)).astype(np.float32)
        bias = np.zeros(outputs, np.float32)
        value = b.add(Dense(value, b.const(w, f"w{k}"), b.const(bias, f"b{k}"), name=f"fc{k}"))
        if k + 2 < len(sizes):
            value = b.add(activation(value, name=f"act{k}"))
    return Module([b.ret(b.add(last(value, name="y")) if last else value)], {"name": "mlp"})


def digits_network(channels: Sequence[int] = (16, 32, 48), classes: int = 10, *, seed: int = 0) -> Module:
    """The network of examples/digits in float, with its batch normalisations as factors and offsets: a convolution,
    depthwise separable blocks, two of them residual, one with a stride, pooling, a dense layer."""
    layers = _Layers(seed)
    small, middle, large = channels
    x = layers.b.arg(TensorType((1, 8, 8, 1), DType.F32, "NHWC"), "x")
    x = layers.conv(x, small, 3, hi=6.0)
    x = layers.conv(layers.depthwise(x), middle, 1)
    x = layers.b.add(Relu(layers.b.add(Add(x, layers.conv(layers.depthwise(x), middle, 1, act=False)))))
    x = layers.conv(layers.depthwise(x, stride=2), large, 1)
    x = layers.b.add(Add(x, layers.conv(layers.depthwise(x), large, 1, act=False)))
    x = layers.b.add(AveragePool2D(x, kernel=(2, 2), stride=(2, 2)))
    x = layers.b.add(Reshape(x, shape=(1, 4 * large)))
    x = layers.b.add(Dense(x, layers.weights((classes, 4 * large), 4 * large), layers.zeros(classes), name="logits"))
    return Module([layers.b.ret(layers.b.add(Softmax(x)))], {"name": "digits"})


def detector_network(*, seed: int = 0) -> Module:
    """What small image classifiers have besides: max pooling, a depthwise multiplier, branches that are joined, margins
    of their own, other activations, a mean over the image."""
    layers = _Layers(seed)
    b = layers.b
    x = b.arg(TensorType((1, 12, 10, 3), DType.F32, "NHWC"), "x")
    x = layers.conv(b.add(Pad(x, pads=((0, 0), (0, 1), (0, 1), (0, 0)))), 6, 3, stride=2)
    x = b.add(MaxPool2D(x, kernel=(3, 3), stride=(2, 2), pad=((1, 1), (1, 1))))
    left = b.add(HardSwish(layers.depthwise(x, copies=2)))
    right = b.add(LeakyRelu(layers.conv(x, 4, 1, act=False), alpha=0.1))
    x = layers.conv(b.add(Concat(left, right, axis=3)), 8, 1)
    x = b.add(Mean(x, axes=(1, 2)))
    x = b.add(Dense(x, layers.weights((2, 8), 8), layers.zeros(2), name="logits"))
    return Module([b.ret(x)], {"name": "detector"})


class _Layers:
    """Layers with random weights, padded so that images keep their size."""

    def __init__(self, seed: int) -> None:
        self.b = FuncBuilder()
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def weights(self, shape: tuple[int, ...], taps: int, layout: str = "") -> Value:
        self._count += 1
        values = self._rng.normal(scale=(2 / taps) ** 0.5, size=shape).astype(np.float32)
        return self.b.const(values, f"w{self._count}", layout=layout)

    def zeros(self, channels: int, layout: str = "") -> Value:
        return self.b.const(np.zeros(channels, np.float32), f"b{self._count}", layout=layout)

    def conv(
        self, x: Value, channels: int, kernel: int, *, stride: int = 1, act: bool = True, hi: float = math.inf
    ) -> Value:
        inputs = x.type.size("C")
        w = self.weights((channels, kernel, kernel, inputs), kernel * kernel * inputs, "OHWI")
        pad = ((kernel // 2,) * 2,) * 2
        y = self._normalised(self.b.add(Conv2D(x, w, self.zeros(channels, "C"), stride=(stride, stride), pad=pad)))
        return self.b.add(Relu(y, hi=hi)) if act else y

    def depthwise(self, x: Value, *, stride: int = 1, copies: int = 1) -> Value:
        channels = copies * x.type.size("C")
        w = self.weights((3, 3, channels), 9, "HWO")
        y = DepthwiseConv2D(x, w, self.zeros(channels, "C"), stride=(stride, stride), pad=((1, 1), (1, 1)))
        return self.b.add(Relu(self._normalised(self.b.add(y)), hi=6.0))

    def _normalised(self, x: Value) -> Value:
        """A batch normalisation with its statistics fixed."""
        factor, offset = (
            self.b.const(self._rng.uniform(low, 1, x.type.size("C")).astype(np.float32), layout="C") for low in (0.5, 0)
        )
        return self.b.add(Add(self.b.add(Mul(x, factor)), offset))
