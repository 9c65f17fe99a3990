"""Gradients of sums over windows and axes, and of softmax."""

from __future__ import annotations

import numpy as np

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.grad_window import MaxPoolGradient, WindowSum
from tinyir.ir.ops.int_window import IntAveragePool2D
from tinyir.ir.ops.nn_elementwise import Mul, Sub
from tinyir.ir.ops.nn_window import AveragePool2D, LogSoftmax, MaxPool2D, Mean, Softmax, Sum
from tinyir.ir.ops.tensor import Reshape
from tinyir.ir.types import layout_order


def _last(op: Softmax | LogSoftmax) -> int:
    return op.y.type.axis("C") if op.y.type.layout else len(op.y.type.shape) - 1


@gradient.register
def _(op: LogSoftmax, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g - softmax(x) * (sum of g along the row)"""
    total = b.add(Sum(g, axes=(_last(op),), keep_dims=True))
    return [b.add(Sub(g, b.add(Mul(b.add(Softmax(op.x, types=op.y.type)), total))))]


@gradient.register
def _(op: Softmax, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """beta * y * (g - sum of g y along the row)"""
    total = b.add(Sum(b.add(Mul(g, op.y)), axes=(_last(op),), keep_dims=True))
    dx = b.add(Mul(op.y, b.add(Sub(g, total))))
    return [dx if op.beta == 1 else b.add(Mul(dx, b.number(op.beta)))]


@gradient.register(Sum)
@gradient.register(Mean)
def _(op: Sum | Mean, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g repeated along the axes that were summed away; for a mean divided by their extent"""
    x = op.x.type
    if isinstance(op, Mean):
        g = b.add(Mul(g, b.number(op.y.type.elements / x.elements)))
    shape = tuple(1 if i in op.axes else n for i, n in enumerate(x.shape))
    if g.type.shape != shape:
        g = b.add(Reshape(g, shape=shape, types=x.with_shape(shape, x.layout)))
    return [b.broadcast(g, x)]


@gradient.register
def _(op: MaxPool2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g to the first largest element of its window"""
    return [b.add(MaxPoolGradient(g, op.x, **op.attrs))]


@gradient.register
def _(op: AveragePool2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g, divided by the number of elements in its window, to each of them"""
    x = op.x.type
    share = b.add(Mul(g, window_shares(op, b)))
    size = (x.size("H"), x.size("W"))
    return [b.add(WindowSum(share, size=size, kernel=op.kernel, stride=op.stride, pad=op.pad, types=x))]


def window_shares(op: AveragePool2D | IntAveragePool2D, b: Backward) -> Value:
    """1 / how many elements of x lie in a window: one number, or with padding one for each window."""
    if not any(map(any, op.pad)):
        return b.number(1 / (op.kernel[0] * op.kernel[1]))
    counts = []
    for axis, letter in enumerate("HW"):
        first = np.arange(op.y.type.size(letter)) * op.stride[axis] - op.pad[axis][0]
        last = np.minimum(first + op.kernel[axis], op.x.type.size(letter))
        counts.append(last - np.maximum(first, 0))
    shares = (1 / np.outer(*counts)).astype(np.float32)[None, :, :, None]
    layout = op.y.type.layout
    return b.const(shares.transpose(layout_order("NHWC", layout)), layout=layout)
