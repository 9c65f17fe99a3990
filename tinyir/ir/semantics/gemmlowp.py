"""Fixed-point exp, tanh, logistic and reciprocal, on raw int32 values held in int64 arrays.

Source: gemmlowp `fixedpoint/fixedpoint.h`. A number of format Qm.n has m integer and n = 31 - m fraction bits; the
constants are the Q0.31 forms of the real numbers named beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .fixedpoint import INT32_MAX, INT32_MIN, doubling_high_mul, rounding_shift_right

Array = npt.NDArray[Any]

ONE = INT32_MAX
"""The largest Q0.31 number stands for 1."""

EXP_MINUS_EIGHTH, ONE_THIRD = 1895147668, 715827883
EXP_MINUS_POWER = {-2: 1672461947, -1: 1302514674, 0: 790015084, 1: 290630308, 2: 39332535, 3: 720401, 4: 242}
"""exp(-2^k) for each exponent k."""

Q2_48_OVER_17, Q2_32_OVER_17 = 1515870810, 1010580540


def shift_left_saturated(x: Array, amount: int) -> Array:
    """x * 2^amount, saturated to int32: SaturatingRoundingMultiplyByPOT with a positive exponent."""
    return np.asarray(np.clip(x << amount, INT32_MIN, INT32_MAX))


def _exp_near_zero(a: Array) -> Array:
    """exp(a) for a in [-1/4, 0): a Taylor series around -1/8 (exp_on_interval_between_negative_one_quarter_and_0)."""
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3 = doubling_high_mul(x2, x)
    x4_over_4 = rounding_shift_right(doubling_high_mul(x2, x2), 2)
    sixth = doubling_high_mul(x4_over_4 + x3, ONE_THIRD)
    tail = rounding_shift_right(sixth + x2, 1)
    return EXP_MINUS_EIGHTH + doubling_high_mul(x + tail, EXP_MINUS_EIGHTH)


def exp_of_negative(a: Array, integer_bits: int) -> Array:
    """exp(a) in Q0.31 for a <= 0 with `integer_bits` <= 5 (exp_on_negative_values)."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(shift_left_saturated(low, integer_bits))
    remainder = low - a
    for power, factor in EXP_MINUS_POWER.items():
        if power < integer_bits:
            taken = (remainder & (1 << (fraction_bits + power))) != 0
            result = np.where(taken, doubling_high_mul(result, factor), result)
    return np.where(a == 0, ONE, result)


def _newton_reciprocal(half_denominator: Array) -> Array:
    """1 / half_denominator in Q2.29, from three Newton steps."""
    x = Q2_48_OVER_17 + doubling_high_mul(half_denominator, -Q2_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, x)
        x = x + shift_left_saturated(doubling_high_mul(x, error), 2)
    return x


def reciprocal_of_one_plus(a: Array) -> Array:
    """1 / (1 + a) in Q0.31 for a in [0, 1) (one_over_one_plus_x_for_x_in_0_1)."""
    return shift_left_saturated(_newton_reciprocal((a + ONE + 1) >> 1), 1)


def tanh(a: Array, integer_bits: int) -> Array:
    """tanh(a) in Q0.31 (tanh, one_minus_x_over_one_plus_x_for_x_in_0_1)."""
    e = exp_of_negative(-np.abs(a), integer_bits + 1)
    t = shift_left_saturated(_newton_reciprocal((e + ONE + 1) >> 1) - (1 << 29), 2)
    return np.sign(a) * t


def logistic(a: Array, integer_bits: int) -> Array:
    """1 / (1 + exp(-a)) in Q0.31."""
    positive = reciprocal_of_one_plus(exp_of_negative(-np.abs(a), integer_bits))
    return np.where(a == 0, 1 << 30, np.where(a > 0, positive, ONE - positive))
