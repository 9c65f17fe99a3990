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


def add_float(a: Array, b: Array) -> Array:
    """a + b in float32."""
    return np.asarray(a + b)


def sub_float(a: Array, b: Array) -> Array:
    """a - b in float32."""
    return np.asarray(a - b)


def mul_float(a: Array, b: Array) -> Array:
    """a * b in float32."""
    return np.asarray(a * b)


def div_float(a: Array, b: Array) -> Array:
    """a / b in float32."""
    return np.asarray(a / b)


def sqrt_float(x: Array) -> Array:
    """The square root of x in float32."""
    return np.asarray(np.sqrt(x))


def clamp(x: Array, *, lo: float, hi: float) -> Array:
    """lo where x < lo, hi where x > hi, else x itself (a NaN, a -0.0), in the type of x."""
    least, most = x.dtype.type(lo), x.dtype.type(hi)
    return np.where(x < least, least, np.where(x > most, most, x))


def hard_swish_float(x: Array) -> Array:
    """x * clamp(x + 3, 0, 6) / 6 in float32, in this order (TFLite `reference/hard_swish.h`)."""
    return np.asarray(x * clamp(x + np.float32(3), lo=0, hi=6) / np.float32(6))


def leaky_relu_float(x: Array, *, alpha: float) -> Array:
    """x where x > 0, else x * alpha, in float32 (TFLite `reference/leaky_relu.h`)."""
    return np.where(x > 0, x, x * np.float32(alpha))


def lookup(x: Array, table: Array) -> Array:
    """table[x + 128] for int8 x."""
    return table[x.astype(np.int32) + 128]


def quantize(x: Array, *, scale: float, zero_point: int, dtype: npt.DTypeLike = np.int8) -> Array:
    """round(x / scale) + zero_point, ties away from zero, saturated to `dtype`; a NaN becomes the zero point."""
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore"):
        quotient = (x / np.float32(scale)).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(quotient) + 0.5), quotient)
    rounded = np.where(np.isnan(rounded), 0.0, rounded)
    return np.asarray(np.clip(rounded + zero_point, limits.min, limits.max).astype(dtype))


def dequantize(x: Array, *, scale: float, zero_point: int) -> Array:
    """scale * (x - zero_point) in float32."""
    return np.asarray(np.float32(scale) * (x.astype(np.int32) - zero_point).astype(np.float32))
