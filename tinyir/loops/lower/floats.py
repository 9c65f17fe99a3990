"""One element of a float op, in the same steps as its reference in `ir/semantics`, so that the bits agree."""

from __future__ import annotations

import math

from tinyir.ir.ops.nn_activation import HardSwish, LeakyRelu, Logistic, Relu, Tanh
from tinyir.ir.ops.nn_elementwise import Add, Clamp, Mul, Sub
from tinyir.loops.instrs import LEAKYF, LOGISTICF, TANHF
from tinyir.loops.ir import F32, Bin, Const, Expr
from tinyir.loops.lower.context import Lowering, Point
from tinyir.loops.lower.elementwise import clamp_expr, element

ANY = (-math.inf, math.inf)


def _number(value: float) -> Const:
    return Const(value, F32)


@element.register
def _(op: Add, low: Lowering, point: Point) -> Expr:
    return Bin("+", low.operand(op.a, point), low.operand(op.b, point))


@element.register
def _(op: Sub, low: Lowering, point: Point) -> Expr:
    return Bin("-", low.operand(op.a, point), low.operand(op.b, point))


@element.register
def _(op: Mul, low: Lowering, point: Point) -> Expr:
    return Bin("*", low.operand(op.a, point), low.operand(op.b, point))


@element.register(Clamp)
@element.register(Relu)
def _(op: Clamp | Relu, low: Lowering, point: Point) -> Expr:
    return clamp_expr(low.operand(op.x, point), op.lo, op.hi, ANY)


@element.register
def _(op: LeakyRelu, low: Lowering, point: Point) -> Expr:
    return LEAKYF(low.operand(op.x, point), _number(op.alpha))


@element.register
def _(op: HardSwish, low: Lowering, point: Point) -> Expr:
    x = low.operand(op.x, point)
    gate = clamp_expr(Bin("+", x, _number(3.0)), 0.0, 6.0, ANY)
    return Bin("/", Bin("*", x, gate), _number(6.0))


@element.register
def _(op: Logistic, low: Lowering, point: Point) -> Expr:
    return LOGISTICF(low.operand(op.x, point))


@element.register
def _(op: Tanh, low: Lowering, point: Point) -> Expr:
    return TANHF(low.operand(op.x, point))
