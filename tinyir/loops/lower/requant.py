"""Requantisation at the price of a few instructions: LSL, SMMLA and SSAT where `staircase` proves that enough."""

from __future__ import annotations

import numpy as np

from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.ranges import Interval, channel_ranges
from tinyir.ir.types import DType
from tinyir.loops.instrs import MULTIPLY_QUANTIZED, MULTIPLY_QUANTIZED_SINGLE, SMMLA, SMMLAR, SSAT_ASR
from tinyir.loops.ir import I32, Bin, Cast, Const, Expr
from tinyir.loops.lower.context import Array, Lowering, Point
from tinyir.loops.lower.pairs import operands_of, pair_form
from tinyir.loops.lower.staircase import Form, Wanted, cheapest


def wanted_by(op: Requantize) -> Wanted | None:
    """The op's constants and the ranges of its accumulators, for each channel; None where they are no constants, or
    the results no int8."""
    multiplier, exponent = constant_of(op.multiplier), constant_of(op.shift)
    if multiplier is None or exponent is None or op.type.storage is not DType.I8:
        return None
    columns = [np.asarray(c, np.int64).reshape(-1, 1) for c in (multiplier, exponent, *channel_ranges(op.acc))]
    # Ranges by channel serve only factors that are by channel too.
    count = max(columns[0].size, columns[1].size)
    if columns[2].size > count:
        columns[2:] = columns[2].min(keepdims=True), columns[3].max(keepdims=True)
    scale, power, lo, hi = (np.broadcast_to(c, (count, 1)) for c in columns)
    return Wanted(scale, power, lo, hi, op.zero_point, op.lo, op.hi, op.rounding)


def lower_requantize(op: Requantize, low: Lowering, acc: Expr, point: Point) -> tuple[Expr, Interval]:
    """The scaled value with the zero point added, not yet clamped; and its limits. `acc` may be read twice."""
    wanted = wanted_by(op)
    form = cheapest(wanted) if wanted is not None else None
    if wanted is None or form is None:
        instr = MULTIPLY_QUANTIZED if op.rounding == "double" else MULTIPLY_QUANTIZED_SINGLE
        scaled = instr(acc, low.operand(op.multiplier, point), low.operand(op.shift, point))
        return (Bin("+", scaled, Const(op.zero_point)) if op.zero_point else scaled), DType.I32.limits
    limits = int(form(wanted.lo).min()), int(form(wanted.hi).max())
    like = op.multiplier if op.multiplier.type.elements >= op.shift.type.elements else op.shift

    def table(column: Array, hint: str) -> Expr:
        return low.channel_table(like, column.reshape(-1).astype(np.int32), hint, point)

    total = _product(form, acc, table(form.multiplier, "multiplier"), table(form.addend, "addend"))
    if not form.one_shift:
        return Bin(">>", total, table(form.shift, "shift")), limits
    least, most = DType.I8.limits
    return SSAT_ASR(total, Const(int(form.shift[0, 0]))), (max(limits[0], least), min(limits[1], most))


def _product(form: Form, acc: Expr, multiplier: Expr, addend: Expr) -> Expr:
    """hi32((acc << left) * multiplier) + addend, with its roundings."""
    shifted = Bin("<<", acc, Const(form.left)) if form.left else acc
    total = (SMMLAR if form.rounded else SMMLA)(shifted, multiplier, addend)
    return Bin("+", total, Bin(">>", acc, Const(31))) if form.signed else total


def lower_sum_of_bytes(op: Requantize, low: Lowering, point: Point) -> tuple[Expr, Interval] | None:
    """The same for a sum of two rescaled int8 values, straight from the two; None where there is no such form."""
    sides = operands_of(op, low.group.ops)
    form = pair_form(op, *sides) if sides is not None else None
    if sides is None or form is None:
        return None
    x, y = (low.operand(side.value, point) for side in sides)
    x, y = (v if v.ty == I32 else Cast(v, I32) for v in (x, y))
    total = Bin("+", Bin("*", x, Const(form.x)), Const(form.addend))
    total = Bin("+", Bin("*", y, Const(form.y)), total)
    return SSAT_ASR(total, Const(form.shift)), DType.I8.limits
