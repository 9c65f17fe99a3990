"""What every gradient rule works with."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from tinyir.ir.builder import Builder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.nn_window import Sum
from tinyir.ir.ops.tensor import Broadcast, Pad, Reshape, Slice
from tinyir.ir.shapes import broadcast_axes
from tinyir.ir.types import TensorType


class Backward(Builder):
    """A builder at the end of the backward graph, with what rules have in common."""

    def add(self, op: Op) -> Value:
        return self.insert(op).result

    def number(self, value: float) -> Value:
        """A float constant."""
        return self.const(np.array(value, np.float32))

    def sum_to(self, g: Value, type: TensorType) -> Value:
        """The gradient `g` of an operand of `type` that was broadcast: summed along the axes it was repeated on."""
        if g.type.shape == type.shape:
            return g
        axes = broadcast_axes(type, g.type)
        extents = {axis: type.shape[i] for i, axis in enumerate(axes)}
        repeated = tuple(i for i, n in enumerate(g.type.shape) if n != 1 and extents.get(i, 1) == 1)
        if repeated:
            g = self.add(Sum(g, axes=repeated, keep_dims=True))
        return (
            g
            if g.type.shape == type.shape
            else self.add(Reshape(g, shape=type.shape, types=type.with_elem(g.type.elem)))
        )

    def broadcast(self, g: Value, type: TensorType) -> Value:
        """`g` repeated to the shape of `type`."""
        return g if g.type.shape == type.shape else self.add(Broadcast(g, shape=type.shape, types=type))

    def channels(self, x: Value, first: int, count: int) -> Value:
        """`count` channels of `x` (columns of a matrix) from `first` on; -1 stands for all."""
        shape, axis = x.type.shape, _channel_axis(x.type)
        if first == -1:
            return x
        begin = tuple(first if i == axis else 0 for i in range(len(shape)))
        size = tuple(count if i == axis else n for i, n in enumerate(shape))
        return self.add(Slice(x, begin=begin, size=size, stride=(1,) * len(shape)))

    def channels_back(self, g: Value, type: TensorType, first: int) -> Value:
        """The gradient `g` of what `channels` took of a value of `type`, with zeros for the rest."""
        axis = _channel_axis(type)
        first = max(first, 0)
        rest = type.shape[axis] - first - g.type.shape[axis]
        pads = tuple((first, rest) if i == axis else (0, 0) for i in range(len(type.shape)))
        return self.add(Pad(g, pads=pads, types=type)) if first or rest else g


def _channel_axis(type: TensorType) -> int:
    return type.axis("C") if type.layout else 1


@singledispatch
def gradient(op: Op, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """The gradients of the operands of `op`, in order, from the gradient `g` of its one result.

    An operand that `wants` no gradient gets None, and no code is made for it. Raises IRError for an op without a rule.
    """
    raise op.fail("has no gradient rule", help="freeze what lies before it, or add a rule in tinyir/ir/gradients")
