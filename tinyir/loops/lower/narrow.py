"""Gradients as integers with a power of two, in the same steps as `ir/semantics/block_floats.py`."""

from __future__ import annotations

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.grad_narrow import STEP_EXPONENTS, Exponent, Narrow, NextExponent, Peak, WidenGradient
from tinyir.loops.instrs import EXPONENTF, FLOORI, NEXT_EXPONENT, POWER_OF_TWO, ROUND_AWAY, SSAT, UNITF
from tinyir.loops.ir import F32, I32, Bin, Body, Cast, Const, Expr, Local, Set, Ty, Var
from tinyir.loops.lower.context import Lowering, Point, nest
from tinyir.loops.lower.contraction import Finish, widened
from tinyir.loops.lower.elementwise import element


def lower_exponent(low: Lowering, op: Op, finish: Finish) -> Body:
    """The largest exponent of an element."""
    assert isinstance(op, Exponent)
    point, loops = low.space(op.g.type)
    return _largest(low, loops, STEP_EXPONENTS[0], EXPONENTF(low.load(op.g, point)), finish)


def lower_peak(low: Lowering, op: Op, finish: Finish) -> Body:
    """The largest of q and -1 - q."""
    assert isinstance(op, Peak)
    point, loops = low.space(op.q.type)
    q = Cast(low.load(op.q, point), I32)
    return _largest(low, loops, 0, Bin("max", q, Bin("-", Const(-1), q)), finish)


def _largest(low: Lowering, loops: list[tuple[str, int]], least: int, term: Expr, finish: Finish) -> Body:
    top = Local(low.unique("top"), I32)
    find = nest(loops, (Set(top.name, Bin("max", top, term)),))
    return (Var(top.name, I32, Const(least)), *find, *finish((), top))


@element.register
def _(op: Narrow, low: Lowering, point: Point) -> Expr:
    n = Bin("-", Const(0), _exponent(low, op.exponent, op.base, point))
    scaled = Bin("*", low.operand(op.g, point), POWER_OF_TWO(n))
    if op.words is None:
        rounded: Expr = ROUND_AWAY(scaled)
    else:
        rounded = FLOORI(Bin("+", UNITF(low.operand(op.words, point)), scaled))
    return Cast(SSAT(rounded, Const(op.bits)), Ty(op.type.storage))


@element.register
def _(op: WidenGradient, low: Lowering, point: Point) -> Expr:
    x = Cast(widened(low.operand(op.x, point), I32), F32)
    return Bin("*", x, POWER_OF_TWO(_exponent(low, op.exponent, op.base, point)))


@element.register
def _(op: NextExponent, low: Lowering, point: Point) -> Expr:
    exponent, peak, base = (low.operand(value, point) for value in (op.exponent, op.peak, op.base))
    return NEXT_EXPONENT(exponent, peak, base, Const(op.limit), Const(op.low))


def _exponent(low: Lowering, tensor: Value, step: Value, point: Point) -> Expr:
    return Bin("+", low.operand(tensor, point), low.operand(step, point))
