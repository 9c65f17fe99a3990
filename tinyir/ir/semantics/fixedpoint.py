"""Fixed-point arithmetic of gemmlowp and TFLite, element by element on NumPy arrays.

Sources: gemmlowp `fixedpoint/fixedpoint.h` (SaturatingRoundingDoublingHighMul, RoundingDivideByPOT), TFLite
`kernels/internal/common.cc` (MultiplyByQuantizedMultiplier with double and with single rounding).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def wrap32(x: Array) -> Array:
    """int64 values reduced to int32 modulo 2^32, as int64."""
    return x.astype(np.int64).astype(np.int32).astype(np.int64)


def doubling_high_mul(a: Array, b: Array | int) -> Array:
    """round(a * b / 2^31), ties upward, saturated: SaturatingRoundingDoublingHighMul on int32 values in int64."""
    product = a.astype(np.int64) * b
    high = (product + (1 << 30)) >> 31
    return np.asarray(np.minimum(high, INT32_MAX))


def rounding_shift_right(x: Array, exponent: Array | int) -> Array:
    """x / 2^exponent rounded to nearest, ties away from zero: RoundingDivideByPOT."""
    x = x.astype(np.int64)
    mask = (np.int64(1) << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def multiply_quantized(x: Array, multiplier: Array | int, shift: Array | int, rounding: str = "double") -> Array:
    """x * multiplier / 2^31 * 2^shift, as TFLite rounds it.

    `x` holds int32 values; `multiplier` is a Q31 mantissa; a positive `shift` goes left. `rounding` is "double" (TFLite
    Micro) or "single". Returns int64 that hold int32 values.
    """
    x = x.astype(np.int64)
    multiplier, shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    if rounding == "single":
        total = 31 - shift
        return wrap32((x * multiplier + (np.int64(1) << (total - 1))) >> total)
    assert rounding == "double", rounding
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return rounding_shift_right(doubling_high_mul(wrap32(x << left), multiplier), right)


def requantize(
    acc: Array,
    multiplier: Array,
    shift: Array,
    *,
    zero_point: int,
    lo: int,
    hi: int,
    rounding: str,
    dtype: npt.DTypeLike = np.int8,
) -> Array:
    """int32 accumulators to quantised integers: clamp(multiply_quantized(acc) + zero_point, lo, hi).

    `multiplier` and `shift` broadcast against `acc`.
    """
    scaled = multiply_quantized(acc, multiplier, shift, rounding) + zero_point
    return np.asarray(np.clip(scaled, lo, hi).astype(dtype))


def rescale(x: Array, *, left_shift: int, multiplier: int, shift: int, rounding: str) -> Array:
    """multiply_quantized(x << left_shift), to int32: the operands of ADD and SUB brought to one scale."""
    shifted = wrap32(x.astype(np.int64) << left_shift)
    return multiply_quantized(shifted, multiplier, shift, rounding).astype(np.int32)


def widen(x: Array, *, offset: int) -> Array:
    """x + offset in int32; with offset = -zero_point the integer that the scale multiplies."""
    return np.asarray(x.astype(np.int32) + np.int32(offset))
