"""One element of an update of stored integers, in the same steps as `ir/semantics/training_int.py`."""

from __future__ import annotations

from tinyir.ir.ops.train_int import SgdInt
from tinyir.ir.types import DType
from tinyir.loops.instrs import CHOOSE, FINITEF, FLOORI, ROUND_AWAY, SATURATED_SUM, TRUNCATED_SUM, TRUNCI, UNITF
from tinyir.loops.ir import F32, I32, Bin, Cast, Const, Expr, Ty
from tinyir.loops.lower.context import Lowering, Point
from tinyir.loops.lower.contraction import widened
from tinyir.loops.lower.elementwise import element


@element.register
def _(op: SgdInt, low: Lowering, point: Point) -> Expr:
    param = widened(low.operand(op.param, point), I32)
    step = Bin("-", Const(0.0, F32), Bin("*", low.operand(op.lr, point), low.operand(op.grad, point)))
    finite = FINITEF(step)
    total, change = param, Const(0)  # type: tuple[Expr, Expr]
    if op.words is not None:
        change = CHOOSE(finite, FLOORI(Bin("+", UNITF(low.operand(op.words, point)), step)), change)
    elif op.rounding == "nearest":
        change = CHOOSE(finite, ROUND_AWAY(step), change)
    elif op.param.type.elem is DType.I8:
        total = CHOOSE(finite, TRUNCATED_SUM(param, step), param)
    else:
        change = CHOOSE(finite, TRUNCI(step), change)
    new = SATURATED_SUM(total, change, Const(op.lo), Const(op.hi))
    return widened(new, Ty(op.type.storage)) if op.type.storage is DType.I32 else Cast(new, Ty(op.type.storage))
