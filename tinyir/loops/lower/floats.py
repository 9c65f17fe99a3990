"""One element of a float op, in the same steps as its reference in `ir/semantics`, so that the bits agree."""

from __future__ import annotations

import functools
import math

from tinyir.ir.ops.grad import HardSwishGradient, Inside, LeakyReluGradient
from tinyir.ir.ops.nn_activation import HardSwish, LeakyRelu, Logistic, Relu, Softplus, Tanh
from tinyir.ir.ops.nn_elementwise import Add, Clamp, Div, Mul, Sqrt, Sub
from tinyir.ir.ops.tensor import Broadcast
from tinyir.ir.ops.train import Accept, NextTurn, OneHot, Sgd, Turn
from tinyir.ir.types import DType
from tinyir.loops.instrs import (
    CHOOSE,
    CHOOSEF,
    EQUALF,
    FINITEF,
    HARD_SWISH_SLOPEF,
    INSIDEF,
    LEAKY_SLOPEF,
    LEAKYF,
    LOGISTICF,
    NEXT_TURN,
    SOFTPLUSF,
    SQRTF,
    TANHF,
    TURN,
    TURNF,
)
from tinyir.loops.ir import F32, I32, Bin, Const, Expr, Index, Stmt, Ty
from tinyir.loops.lower.context import Lowering, Point
from tinyir.loops.lower.contraction import widened
from tinyir.loops.lower.elementwise import clamp_expr, element, elements

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


@element.register
def _(op: Div, low: Lowering, point: Point) -> Expr:
    return Bin("/", low.operand(op.a, point), low.operand(op.b, point))


@element.register
def _(op: Sqrt, low: Lowering, point: Point) -> Expr:
    return SQRTF(low.operand(op.x, point))


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


@element.register
def _(op: Softplus, low: Lowering, point: Point) -> Expr:
    return SOFTPLUSF(low.operand(op.x, point))


@element.register
def _(op: Broadcast, low: Lowering, point: Point) -> Expr:
    return low.operand(op.x, point)


@element.register
def _(op: Inside, low: Lowering, point: Point) -> Expr:
    return INSIDEF(low.operand(op.g, point), widened(low.operand(op.y, point), F32), _number(op.lo), _number(op.hi))


@element.register
def _(op: LeakyReluGradient, low: Lowering, point: Point) -> Expr:
    return LEAKY_SLOPEF(low.operand(op.g, point), low.operand(op.x, point), _number(op.alpha))


@element.register
def _(op: HardSwishGradient, low: Lowering, point: Point) -> Expr:
    return HARD_SWISH_SLOPEF(low.operand(op.g, point), low.operand(op.x, point))


@element.register
def _(op: OneHot, low: Lowering, point: Point) -> Expr:
    return EQUALF(Index(point[1]), low.operand(op.label, point))


@element.register
def _(op: Sgd, low: Lowering, point: Point) -> Expr:
    step = Bin("*", low.operand(op.lr, point), low.operand(op.grad, point))
    return Bin("-", low.operand(op.param, point), step)


@element.register
def _(op: NextTurn, low: Lowering, point: Point) -> Expr:
    return NEXT_TURN(low.operand(op.turn, point), Const(op.count))


@element.register
def _(op: Turn, low: Lowering, point: Point) -> Expr:
    turn, at, a, b = low.operand(op.turn, point), Const(op.at), low.operand(op.a, point), low.operand(op.b, point)
    if op.type.elem is DType.F32:
        return TURNF(turn, at, a, b)
    return widened(TURN(turn, at, widened(a, I32), widened(b, I32)), Ty(op.type.storage))


@elements.register
def _(op: Accept, low: Lowering, point: Point, into: list[Stmt]) -> list[Expr]:
    finite: list[Expr] = [FINITEF(low.operand(probe, point)) for probe in op.probes]
    yes = low.let("finite", functools.reduce(lambda a, b: Bin("&", a, b), finite), into)
    pairs = [(low.operand(new, point), low.operand(old, point)) for new, old in zip(op.new, op.old, strict=True)]
    return [
        CHOOSEF(yes, new, old) if new.ty == F32 else widened(CHOOSE(yes, widened(new, I32), widened(old, I32)), new.ty)
        for new, old in pairs
    ]
