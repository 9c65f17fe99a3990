"""exp, log, tanh, logistic and softplus in float32, as fixed sequences of additions, multiplications and divisions.

Every operation is rounded to float32 by itself (no fused multiply-add), so `runtime/tinyir_float.h`, which has the
same steps, gives the same bits on every machine. Largest errors, measured over every seventh float32: exp 0.96 ulp,
tanh 1.31, logistic 2.35. The polynomials are minimax fits made for this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

f32 = np.float32

LOG2_E = f32(1.4426950408889634)
LN2_HIGH, LN2_LOW = f32(0.693359375), f32(-2.1219444e-4)
"""ln 2 in two parts; the first has so few bits that multiples of it are exact."""

ROUND = f32(12582912.0)
"""1.5 * 2^23: adding it and taking it off again rounds to the nearest integer, ties to even."""

EXP_TERMS = (
    0.00019790134683717042,
    0.0013944868696853518,
    0.008333498612046242,
    0.041666291654109955,
    0.1666666567325592,
    0.5,
)
"""exp(r) - 1 - r = r^2 * polynomial for |r| <= ln(2) / 2, highest power first."""

TANH_TERMS = (
    -0.005717045161873102,
    0.02065058797597885,
    -0.05374349653720856,
    0.13331490755081177,
    -0.3333328366279602,
)
"""tanh(x) - x = x^3 * polynomial(x^2) for |x| < 0.625, highest power first."""

TANH_SWITCH = f32(0.625)

LOG_TERMS = (2 / 9, 2 / 7, 2 / 5, 2 / 3)
"""2 atanh(s) - 2s = s^3 * polynomial(s^2), highest power first: the series, whose next term is below 1e-9 here."""

SOFTPLUS_TERMS = (2 / 17, 2 / 15, 2 / 13, 2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3)
"""The same for s up to 1/3."""

SQRT_HALF_BITS = 0x3F3504F3
SMALLEST_NORMAL, TWO_23 = f32(2.0**-126), f32(2.0**23)


def _polynomial(terms: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, f32(terms[0]))
    for term in terms[1:]:
        total = total * x + f32(term)
    return total


def _power_of_two(n: Array) -> Array:
    """2^n for n in -126..127."""
    return ((n + 127) << 23).astype(np.int32).view(np.float32)


def _number(x: Array) -> Array:
    """`x` with 0 for NaN, so that no NaN goes through arithmetic."""
    return np.where(np.isnan(x), f32(0), x)


def exp(x: Array) -> Array:
    """e^x: inf above 88.72, subnormal below -87.33, 0 below -103.97; a NaN comes back as it is."""
    x = np.asarray(x, np.float32)
    number = _number(x)
    bounded = np.where(number > f32(100), f32(100), np.where(number < f32(-110), f32(-110), number))
    whole = (bounded * LOG2_E + ROUND) - ROUND
    r = (bounded - whole * LN2_HIGH) - whole * LN2_LOW
    mantissa = (_polynomial(EXP_TERMS, r) * (r * r) + r) + f32(1)
    exponent = whole.astype(np.int32)
    half = exponent >> 1
    with np.errstate(over="ignore", under="ignore"):
        result = (mantissa * _power_of_two(half)) * _power_of_two(exponent - half)
    return np.where(np.isnan(x), x, result)


def log(x: Array) -> Array:
    """Natural logarithm: -inf for 0, NaN below; a NaN comes back as it is.

    x = 2^n * m with m between sqrt(1/2) and sqrt(2); log m = 2 atanh(s) with s = (m - 1) / (m + 1), as its series.
    """
    x = np.asarray(x, np.float32)
    valid = np.isfinite(x) & (x > 0)
    number = np.where(valid, x, f32(1))
    small = number < SMALLEST_NORMAL
    bits = (number * np.where(small, TWO_23, f32(1))).view(np.int32)
    n = (bits - SQRT_HALF_BITS) >> 23
    f = (bits - (n << 23)).astype(np.int32).view(np.float32) - f32(1)
    s = f / (f + f32(2))
    square = s * s
    fraction = (_polynomial(LOG_TERMS, square) * square) * s + (s + s)
    whole = (n - np.where(small, 23, 0)).astype(np.float32)
    result = (whole * LN2_LOW + fraction) + whole * LN2_HIGH
    special = np.where(x == 0, f32(-np.inf), np.where(x == f32(np.inf), x, f32(np.nan)))
    return np.where(valid, result, np.where(np.isnan(x), x, special)).astype(np.float32)


def softplus(x: Array) -> Array:
    """log(1 + e^x); a NaN comes back as it is.

    It is max(x, 0) + log(1 + e) with e = e^-|x|; log(1 + e) = 2 atanh(e / (2 + e)), as its series.
    """
    x = np.asarray(x, np.float32)
    e = exp(-np.abs(_number(x)))
    s = e / (f32(2) + e)
    square = s * s
    tail = (_polynomial(SOFTPLUS_TERMS, square) * square) * s + (s + s)
    return np.where(np.isnan(x), x, np.where(x > f32(0), x, f32(0)) + tail)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent: odd, 1 above 9.02; a NaN comes back as it is."""
    x = np.asarray(x, np.float32)
    size = np.abs(_number(x))
    near = np.where(size < TANH_SWITCH, size, f32(0))
    square = near * near
    small = (_polynomial(TANH_TERMS, square) * square) * near + near
    with np.errstate(over="ignore"):
        large = f32(1) - f32(2) / (exp(size + size) + f32(1))
    result = np.copysign(np.where(size < TANH_SWITCH, small, large), x)
    return np.where(np.isnan(x), x, result)


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x), as e^x / (1 + e^x) for negative x; a NaN comes back as it is."""
    x = np.asarray(x, np.float32)
    e = exp(-np.abs(_number(x)))
    result = np.where(x < f32(0), e, f32(1)) / (f32(1) + e)
    return np.where(np.isnan(x), x, result)
