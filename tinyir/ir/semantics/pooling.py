"""Pooling windows, and sums and means over axes.

x is N,H,W,C for pooling. Margins do not count: a window is cut down to its part inside x, which is never empty.
Sources: TFLite `reference/integer_ops/pooling.h`, `reference/pooling.h`, `reference/reduce.h`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from .contraction import Pair, windows
from .fixedpoint import wrap32

Array = npt.NDArray[Any]
Pads = tuple[Pair, Pair]

LOWEST = np.finfo(np.float32).min


def _counts(x: Array, kernel: Pair, stride: Pair, pad: Pads) -> Array:
    """How many elements of each window lie inside x: [1, HO, WO, 1]."""
    ones = np.ones((1, *x.shape[1:3], 1), np.int64)
    return np.asarray(windows(ones, kernel, stride, (1, 1), pad, 0).sum(axis=(3, 4)))


def average_pool2d(x: Array, *, kernel: Pair, stride: Pair, pad: Pads, lo: int, hi: int) -> Array:
    """Mean of each window of int8, rounded to nearest, ties away from zero, clamped to lo..hi."""
    total = windows(x, kernel, stride, (1, 1), pad, 0).sum(axis=(3, 4), dtype=np.int64)
    count = _counts(x, kernel, stride, pad)
    rounded = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return np.asarray(np.clip(rounded, lo, hi).astype(x.dtype))


def max_pool2d(x: Array, *, kernel: Pair, stride: Pair, pad: Pads, lo: int, hi: int) -> Array:
    """Largest element of each window of int8, clamped to lo..hi."""
    lowest = int(np.iinfo(x.dtype).min)
    top = windows(x, kernel, stride, (1, 1), pad, lowest).max(axis=(3, 4))
    return np.asarray(np.clip(top, lo, hi).astype(x.dtype))


def average_pool2d_float(x: Array, *, kernel: Pair, stride: Pair, pad: Pads) -> Array:
    """Mean of each window in float32: the elements are added from 0 row by row, then divided by their number."""
    taps = windows(x, kernel, stride, (1, 1), pad, 0.0)
    total = np.zeros((*taps.shape[:3], x.shape[3]), np.float32)
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            total = total + taps[:, :, :, kh, kw, :]
    return np.asarray(total / _counts(x, kernel, stride, pad).astype(np.float32))


def max_pool2d_float(x: Array, *, kernel: Pair, stride: Pair, pad: Pads) -> Array:
    """Largest element of each window, row by row from the lowest float32; a NaN is passed over."""
    taps = windows(x, kernel, stride, (1, 1), pad, float(LOWEST))
    top = np.full((*taps.shape[:3], x.shape[3]), LOWEST, np.float32)
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            tap = taps[:, :, :, kh, kw, :]
            top = np.where(tap > top, tap, top)
    return top


def sum_axes(x: Array, *, axes: tuple[int, ...], keep_dims: bool, offset: int = 0) -> Array:
    """offset + sum over `axes`, in int32, wrapping."""
    total = x.astype(np.int64).sum(axis=axes, keepdims=keep_dims)
    return wrap32(np.asarray(total + offset)).astype(np.int32)


def sum_float(x: Array, *, axes: tuple[int, ...], keep_dims: bool) -> Array:
    """Sum over `axes` in float32: added from 0 in the order of memory."""
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*sorted(axes), *kept).reshape(prod(x.shape[a] for a in axes), -1)
    total = np.zeros(rows.shape[1], np.float32)
    for row in rows:
        total = total + row
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep_dims or i not in axes]
    return np.asarray(total).reshape(shape)


def mean_float(x: Array, *, axes: tuple[int, ...], keep_dims: bool) -> Array:
    """Mean over `axes` in float32: added from 0 in the order of memory, then divided by their number."""
    return np.asarray(sum_float(x, axes=axes, keep_dims=keep_dims) / np.float32(prod(x.shape[a] for a in axes)))
