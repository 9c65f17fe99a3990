"""Gradients of convolutions and dense layers."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.nn_contraction import Dense


@gradient.register
def _(op: Dense, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """dx = g w, dw = g^T x, dbias = sum of g over the rows; of x what the weights meet, and no gradient elsewhere"""
    dx = b.add(DenseInput(g, op.w)) if wants[0] else None
    x: Value = op.x
    if op.first_channel != -1:
        columns = (op.first_channel, op.w.type.shape[1])
        x = b.channels(x, 1, *columns) if wants[1] else x
        dx = b.channels_back(dx, op.x.type, 1, *columns) if dx is not None else None
    dw = b.add(DenseWeight(g, x)) if wants[1] else None
    if op.bias is None:
        return [dx, dw]
    return [dx, dw, b.sum_to(g, op.bias.type) if wants[2] else None]
