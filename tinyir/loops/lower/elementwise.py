"""One element of an elementwise op, as an expression of its operands at the same point."""

from __future__ import annotations

from functools import singledispatch

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.int_elementwise import (
    Add,
    Clamp,
    Dequantize,
    Lookup,
    Mul,
    Quantize,
    Requantize,
    Rescale,
    Sub,
    Widen,
)
from tinyir.ir.types import DType
from tinyir.loops.instrs import DIV, MAXF, MINF, MULTIPLY_QUANTIZED, MULTIPLY_QUANTIZED_SINGLE, ROUND_AWAY, SSAT8
from tinyir.loops.ir import F32, I32, Bin, Cast, Const, Expr, Gather, Stmt, Ty
from tinyir.loops.lower.context import Lowering, Point
from tinyir.loops.lower.requant import lower_requantize, lower_sum_of_bytes

__all__ = ["DIV", "clamp_expr", "element", "elements"]


@singledispatch
def element(op: Op, low: Lowering, point: Point) -> Expr:
    """The value of `op` at `point` of its result."""
    raise op.fail("has no lowering to loops")


@singledispatch
def elements(op: Op, low: Lowering, point: Point, into: list[Stmt]) -> list[Expr]:
    """The values of all results of `op` at `point`, which they share; `into` takes the locals they need."""
    return [element(op, low, point)]


def clamp_expr(value: Expr, lo: float, hi: float, limits: tuple[float, float]) -> Expr:
    """`value` limited to lo..hi; a side that `limits` of the value already keeps is left out. Float limits as written:
    a NaN stays a NaN."""
    if value.ty.dtype is DType.F32:
        value = MAXF(value, Const(float(lo), F32)) if lo > limits[0] else value
        return MINF(value, Const(float(hi), F32)) if hi < limits[1] else value
    if (lo, hi) == (-128, 127) and (limits[0] < lo or limits[1] > hi):
        return SSAT8(value)
    value = Bin("max", value, Const(int(lo), value.ty)) if lo > limits[0] else value
    return Bin("min", value, Const(int(hi), value.ty)) if hi < limits[1] else value


def _at(low: Lowering, op: Op, value: Value, point: Point) -> Expr:
    return low.operand(value, point)


def _wide(low: Lowering, op: Op, value: Value, point: Point) -> Expr:
    expr = _at(low, op, value, point)
    return expr if expr.ty == I32 else Cast(expr, I32)


@element.register
def _(op: Widen, low: Lowering, point: Point) -> Expr:
    x = _wide(low, op, op.x, point)
    return Bin("+", x, Const(op.offset)) if op.offset else x


@element.register
def _(op: Rescale, low: Lowering, point: Point) -> Expr:
    x = _wide(low, op, op.x, point)
    if op.left_shift:
        x = Bin("<<", x, Const(op.left_shift))
    instr = MULTIPLY_QUANTIZED if op.rounding == "double" else MULTIPLY_QUANTIZED_SINGLE
    return instr(x, Const(op.multiplier), Const(op.shift))


@element.register
def _(op: Requantize, low: Lowering, point: Point) -> Expr:
    found = lower_sum_of_bytes(op, low, point)
    scaled, limits = found or lower_requantize(op, low, _wide(low, op, op.acc, point), point)
    return Cast(clamp_expr(scaled, op.lo, op.hi, limits), Ty(op.type.storage))


@element.register
def _(op: Add, low: Lowering, point: Point) -> Expr:
    return Bin("+", _wide(low, op, op.a, point), _wide(low, op, op.b, point))


@element.register
def _(op: Sub, low: Lowering, point: Point) -> Expr:
    return Bin("-", _wide(low, op, op.a, point), _wide(low, op, op.b, point))


@element.register
def _(op: Mul, low: Lowering, point: Point) -> Expr:
    return Bin("*", _wide(low, op, op.a, point), _wide(low, op, op.b, point))


@element.register
def _(op: Clamp, low: Lowering, point: Point) -> Expr:
    x = _at(low, op, op.x, point)
    return clamp_expr(x, op.lo, op.hi, op.x.type.storage.limits)


@element.register
def _(op: Lookup, low: Lowering, point: Point) -> Expr:
    x = _wide(low, op, op.x, point)
    table = constant_of(op.table)
    assert table is not None
    return Gather(low.buffer(op.table), Bin("+", x, Const(128)), Ty(op.type.storage))


@element.register
def _(op: Quantize, low: Lowering, point: Point) -> Expr:
    x = _at(low, op, op.x, point)
    rounded = ROUND_AWAY(Bin("/", x, Const(op.scale, F32)))
    lo, hi = op.type.storage.limits
    limited = clamp_expr(rounded, lo - op.zero_point, hi - op.zero_point, DType.I32.limits)
    return Cast(Bin("+", limited, Const(op.zero_point)), Ty(op.type.storage))


@element.register
def _(op: Dequantize, low: Lowering, point: Point) -> Expr:
    x = _wide(low, op, op.x, point)
    centred = Bin("-", x, Const(op.zero_point)) if op.zero_point else x
    return Bin("*", Const(op.scale, F32), Cast(centred, F32))
