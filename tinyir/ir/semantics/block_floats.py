"""Gradients as integers with a power of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def exponent(g: Array) -> Array:
    """The smallest n of -30..30 with |g| < 2^n, from the exponents of the floats; 30 where there is none."""
    biased = g.view(np.int32) >> 23 & 255
    return np.asarray(np.clip(biased - 126, -30, 30).max(initial=-30), np.int32)


def power_of_two(n: Array) -> Array:
    """2^n in float32, for n in -126..127."""
    return np.asarray((n.astype(np.int32) + 127) << 23, np.int32).view(np.float32)


def _limited(x: Array) -> Array:
    """Floats without a fraction as int64, within int32; 0 for NaN."""
    return np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), -(2.0**31), 2.0**31 - 1).astype(np.int64)


def narrow(g: Array, exponent: Array, base: Array, words: Array | None = None, *, bits: int, wide: bool) -> Array:
    """g / 2^(exponent + base) in whole numbers, limited to `bits` bits; int16 if `wide`, else int8."""
    scaled = g * power_of_two(-(exponent + base))
    if words is None:
        exact = scaled.astype(np.float64)
        rounded = _limited(np.copysign(np.floor(np.abs(exact) + 0.5), exact))
    else:
        unit = (words.view(np.uint32) >> np.uint32(8) | np.uint32(1)).astype(np.float32) * np.float32(2.0**-24)
        rounded = _limited(np.floor(unit + scaled))
    limit = 1 << (bits - 1)
    return np.asarray(np.clip(rounded, -limit, limit - 1).astype(np.int16 if wide else np.int8))


def widen_gradient(x: Array, exponent: Array, base: Array) -> Array:
    """x * 2^(exponent + base) in float32."""
    return np.asarray(x.astype(np.int32).astype(np.float32) * power_of_two(exponent + base))


def peak(q: Array) -> Array:
    """The largest of q and -1 - q."""
    wide = q.astype(np.int32)
    return np.asarray(np.maximum(wide, ~wide).max(initial=0), np.int32)


def next_exponent(exponent: Array, peak: Array, base: Array, *, limit: int, low: int) -> Array:
    """exponent + 1 from the limit on, - 1 below `low` unless the step is that of no gradient; within -96..96."""
    change = np.where(peak >= limit, 1, np.where((peak < low) & (base > -30), -1, 0))
    return np.asarray(np.clip(exponent + change, -96, 96).astype(np.int32))
