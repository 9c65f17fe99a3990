"""Requantisation at the price of a few instructions.

With acc * M / 2^(31+s) to be rounded as gemmlowp does (double rounding; M in Q31, s >= 0 the right shift) and
|acc| < 2^29, all constants move into the upper word of 4 * acc * M, and one SMMLA, one ASR and one SSAT do it:

    q = (hi32(4 * acc * M) + 2^s + n + (zero_point << (s + 1))) >> (s + 1)

n is the nudge of the first rounding: 0 for single rounding and for s = 0; else +1 for acc >= 0 and -1 for acc < 0.
Where the clamp's lower end is the zero point (ReLU), a negative acc ends at the clamp with either nudge, so n = 1
always. tests/loops/test_requant.py compares with gemmlowp's two roundings around every threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.quant import per_axis_values
from tinyir.ir.ranges import value_range
from tinyir.loops.instrs import MULTIPLY_QUANTIZED, MULTIPLY_QUANTIZED_SINGLE, REQUANT, REQUANT_SIGNED
from tinyir.loops.ir import Bin, Const, Expr
from tinyir.loops.lower.context import Array, Lowering, Point

ACC_LIMIT = 1 << 29
SHIFT_LIMIT = 21
"""The addend, with the zero point shifted to its place, must fit a word beside hi32(4 * acc * M)."""


@dataclass(frozen=True)
class Form:
    """Tables for one of the two short forms: per channel the multiplier, the addend and the shift."""

    signed: bool
    multiplier: Array
    addend: Array
    shift: Array


def short_form(op: Requantize) -> Form | None:
    """The short form of a requantisation, or None where its conditions do not hold."""
    multipliers, exponents = constant_of(op.multiplier), constant_of(op.shift)
    lo, hi = value_range(op.acc)
    if multipliers is None or exponents is None or max(-lo, hi) >= ACC_LIMIT:
        return None
    count = max(multipliers.size, exponents.size)
    pairs = zip(
        per_axis_values(multipliers.reshape(-1).tolist(), count),
        per_axis_values(exponents.reshape(-1).tolist(), count),
        strict=True,
    )
    # A multiplier of 0 (a scale flushed to zero) may take any shift; 1 suits both nudges.
    shifts = [(m, -e if m else 1) for m, e in pairs]
    if any(not 0 <= s <= SHIFT_LIMIT for _, s in shifts):
        return None
    double = op.rounding == "double"
    signed = double and op.lo != op.zero_point and lo < 0
    if signed and any(s == 0 for _, s in shifts):
        return None
    nudge = [1 if double and not signed and s > 0 else 0 for _, s in shifts]
    addends = [(1 << s) + n + (op.zero_point << (s + 1)) for (_, s), n in zip(shifts, nudge, strict=True)]
    return Form(
        signed,
        np.array([m for m, _ in shifts], np.int32),
        np.array(addends, np.int32),
        np.array([s + 1 for _, s in shifts], np.int32),
    )


def lower_requantize(op: Requantize, low: Lowering, acc: Expr, point: Point) -> Expr:
    """The scaled value with the zero point added, not yet clamped."""
    form = short_form(op)
    if form is None:
        instr = MULTIPLY_QUANTIZED if op.rounding == "double" else MULTIPLY_QUANTIZED_SINGLE
        tables = (low.operand(op.multiplier, point), low.operand(op.shift, point))
        scaled = instr(acc, *tables)
        return Bin("+", scaled, Const(op.zero_point)) if op.zero_point else scaled
    instr = REQUANT_SIGNED if form.signed else REQUANT
    return instr(
        acc,
        low.channel_table(op.multiplier, form.multiplier, "multiplier", point),
        low.channel_table(op.multiplier, form.addend, "addend", point),
        low.channel_table(op.multiplier, form.shift, "shift", point),
    )
