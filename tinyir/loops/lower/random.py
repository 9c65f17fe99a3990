"""One element of a random draw."""

from __future__ import annotations

from tinyir.ir.ops.random import NextStep, Random
from tinyir.ir.shapes import broadcast_axes
from tinyir.loops.affine import Affine
from tinyir.loops.instrs import RANDOM
from tinyir.loops.ir import Bin, Const, Expr, Index
from tinyir.loops.lower.context import Lowering, Point
from tinyir.loops.lower.elementwise import element


@element.register
def _(op: Random, low: Lowering, point: Point) -> Expr:
    index, stride = Affine(), 1
    axes = broadcast_axes(op.type, low.point_space)
    for axis, extent in reversed(list(zip(axes, op.type.shape, strict=True))):
        index = index + point[axis] * stride if extent > 1 else index
        stride *= extent
    seed, step = (low.load(op.state, (Affine() + i,)) for i in (0, 1))
    return RANDOM(seed, step, Const(op.salt), Index(index))


@element.register
def _(op: NextStep, low: Lowering, point: Point) -> Expr:
    return Bin("+", low.operand(op.state, point), Index(point[0]))
