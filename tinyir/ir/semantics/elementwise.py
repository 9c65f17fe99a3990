"""Integer arithmetic element by element, and the way between integers and floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .fixedpoint import wrap32

Array = npt.NDArray[Any]


def add(a: Array, b: Array) -> Array:
    """a + b in int32, wrapping."""
    return wrap32(a.astype(np.int64) + b).astype(np.int32)


def sub(a: Array, b: Array) -> Array:
    """a - b in int32, wrapping."""
    return wrap32(a.astype(np.int64) - b).astype(np.int32)


def mul(a: Array, b: Array) -> Array:
    """a * b in int32, wrapping."""
    return wrap32(a.astype(np.int64) * b).astype(np.int32)


def clamp(x: Array, *, lo: float, hi: float) -> Array:
    """min(max(x, lo), hi) in the type of x."""
    return np.asarray(np.minimum(np.maximum(x, x.dtype.type(lo)), x.dtype.type(hi)))


def lookup(x: Array, table: Array) -> Array:
    """table[x + 128] for int8 x."""
    return table[x.astype(np.int32) + 128]


def quantize(x: Array, *, scale: float, zero_point: int, dtype: npt.DTypeLike = np.int8) -> Array:
    """round(x / scale) + zero_point, ties away from zero, saturated to `dtype`."""
    limits = np.iinfo(dtype)
    quotient = (x / np.float32(scale)).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(quotient) + 0.5), quotient)
    return np.clip(rounded + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(x: Array, *, scale: float, zero_point: int) -> Array:
    """scale * (x - zero_point) in float32."""
    return np.asarray(np.float32(scale) * (x.astype(np.int32) - zero_point).astype(np.float32))
