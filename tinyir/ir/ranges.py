"""Intervals of integer values: what an accumulator can hold, from its weights and the types before it."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.int_contraction import IntConv2D, IntDense, IntDepthwiseConv2D
from tinyir.ir.ops.int_elementwise import Add, Clamp, Mul, Requantize, Rescale, Sub, Widen
from tinyir.ir.ops.int_window import IntSum
from tinyir.ir.semantics import rescale
from tinyir.ir.types import DType

Interval = tuple[int, int]
Contraction = IntConv2D | IntDepthwiseConv2D | IntDense


def value_range(value: Value) -> Interval:
    """Bounds of every element of an integer value; those of its type where nothing better is known."""
    op = value.outer.defining_op
    bounds = _range_of(op) if op is not None else None
    if bounds is None:
        return value.type.storage.limits
    return bounds


@singledispatch
def _range_of(op: Op) -> Interval | None:
    array = constant_of(op.results[0]) if op.results else None
    if array is None or array.size == 0 or array.dtype.kind != "i":
        return None
    return int(array.min()), int(array.max())


@_range_of.register(IntConv2D)
@_range_of.register(IntDepthwiseConv2D)
@_range_of.register(IntDense)
def _(op: Contraction) -> Interval | None:
    bounds = _contraction_ranges(op)
    return None if bounds is None else (int(bounds[0].min()), int(bounds[1].max()))


def _contraction_ranges(op: Contraction) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """The least and the largest sum of each output channel: every tap at the end of its range that its weight asks
    for. A tap may also be padding, or lie outside of the image and be left out."""
    weights = constant_of(op.w)
    if weights is None:
        return None
    out = op.w.type.axis("O") if op.w.type.layout else 0
    rows = np.moveaxis(weights, out, 0).reshape(op.w.type.shape[out], -1).astype(np.int64)
    bias = constant_of(op.bias) if op.bias is not None else np.zeros(1, np.int64)
    if bias is None:
        return None
    lo, hi = value_range(op.x)
    padding = int(op.attrs.get("pad_value", 0))
    lo, hi = min(lo, padding, 0), max(hi, padding, 0)
    up, down = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    return up * lo + down * hi + bias, up * hi + down * lo + bias


def channel_ranges(value: Value) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Bounds for each channel of a contraction's result, or one for all elements of any other value."""
    op = value.outer.defining_op
    bounds = _contraction_ranges(op) if isinstance(op, Contraction) else None
    if bounds is None:
        lo, hi = value_range(value)
        return np.array([lo], np.int64), np.array([hi], np.int64)
    least, most = DType.I32.limits
    wraps = (bounds[0] < least) | (bounds[1] > most)
    return np.where(wraps, least, bounds[0]), np.where(wraps, most, bounds[1])


@_range_of.register
def _(op: Widen) -> Interval:
    lo, hi = value_range(op.x)
    return lo + op.offset, hi + op.offset


@_range_of.register(Requantize)
@_range_of.register(Clamp)
def _(op: Requantize | Clamp) -> Interval:
    return op.lo, op.hi


@_range_of.register
def _(op: Rescale) -> Interval:
    ends = rescale(np.array(value_range(op.x), np.int64), **op.attrs)
    return int(ends[0]), int(ends[1])


@_range_of.register
def _(op: Add) -> Interval:
    (a, b), (c, d) = value_range(op.a), value_range(op.b)
    return _wrapped((a + c, b + d))


@_range_of.register
def _(op: Sub) -> Interval:
    (a, b), (c, d) = value_range(op.a), value_range(op.b)
    return _wrapped((a - d, b - c))


@_range_of.register
def _(op: Mul) -> Interval:
    (a, b), (c, d) = value_range(op.a), value_range(op.b)
    products = (a * c, a * d, b * c, b * d)
    return _wrapped((min(products), max(products)))


@_range_of.register
def _(op: IntSum) -> Interval:
    lo, hi = value_range(op.x)
    count = op.x.type.elements // op.type.elements
    return _wrapped((lo * count + op.offset, hi * count + op.offset))


def _wrapped(bounds: Interval) -> Interval:
    least, most = DType.I32.limits
    return bounds if least <= bounds[0] and bounds[1] <= most else (least, most)
