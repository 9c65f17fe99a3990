"""Gradients of sums over windows and axes, and of softmax."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.nn_elementwise import Mul, Sub
from tinyir.ir.ops.nn_window import LogSoftmax, Mean, Softmax, Sum
from tinyir.ir.ops.tensor import Reshape


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
