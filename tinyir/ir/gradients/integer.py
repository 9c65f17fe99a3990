"""Gradients through the integer graph of a quantised model, by the stored integers, in f32.

Rounding counts as the identity (straight through); what was limited hands nothing back. Scales are in the factors of
the ops themselves, so that nothing here needs a type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.gradients.window import window_shares
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.grad import DenseInput, DenseWeight, Inside
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.grad_window import MaxPoolGradient, WindowSum
from tinyir.ir.ops.int_contraction import FoldZeroPoint, IntConv2D, IntDense, IntDepthwiseConv2D
from tinyir.ir.ops.int_elementwise import (
    Add,
    Clamp,
    Dequantize,
    Lookup,
    Mul,
    Quantize,
    Requantize,
    Rescale,
    Sub,
    Widen,
)
from tinyir.ir.ops.int_window import IntAveragePool2D, IntMaxPool2D, IntSoftmax, IntSum
from tinyir.ir.ops.nn_elementwise import Mul as FloatMul
from tinyir.ir.ops.nn_elementwise import Sub as FloatSub
from tinyir.ir.ops.nn_window import Sum as FloatSum
from tinyir.ir.ops.tensor import Reshape, Storage, Typed
from tinyir.ir.types import DType

Gradients = list[Value | None]
Contraction = IntConv2D | IntDepthwiseConv2D | IntDense


# -- contractions -----------------------------------------------------------------------------------------------------


@gradient.register
def _(op: IntDense, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """dx = g w, dw = g^T (x - zero_point), dbias = sum of g over the rows"""
    first, count = op.first_channel, op.w.type.shape[1]
    type = op.x.type.with_elem(DType.F32)
    dx = b.channels_back(b.add(DenseInput(g, op.w)), type, first) if wants[0] else None
    dw = b.add(DenseWeight(g, b.channels(op.x, first, count), zero_point=_zero_point(op))) if wants[1] else None
    return [dx, dw, *_bias(op, b, g, wants)]


@gradient.register(IntConv2D)
@gradient.register(IntDepthwiseConv2D)
def _(op: IntConv2D | IntDepthwiseConv2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """dx and dw are convolutions with g, dw of x - zero_point; dbias = sum of g over all but the channels"""
    x, w = op.x.type.with_elem(DType.F32), op.w.type.with_elem(DType.F32)
    window: dict[str, Any] = {"stride": op.stride, "pad": op.pad, "dilation": op.dilation}
    size, kernel = (x.size("H"), x.size("W")), (w.size("H"), w.size("W"))
    dx = dw = None
    read = b.channels(op.x, op.first_channel, w.size("I")) if wants[1] and isinstance(op, IntConv2D) else op.x
    if wants[0] and isinstance(op, IntConv2D):
        part = x.with_shape(tuple(w.size("I") if letter == "C" else x.size(letter) for letter in x.layout), x.layout)
        dx = b.channels_back(b.add(Conv2DInput(g, op.w, size=size, **window, types=part)), x, op.first_channel)
    elif wants[0]:
        dx = b.add(DepthwiseInput(g, op.w, size=size, channels=x.size("C"), **window, types=x))
    if wants[1]:
        zero_point = _zero_point(op)
        reads_zero = op.pad_value == zero_point or op.pad == ((0, 0), (0, 0))
        op.require(reads_zero, f"pads with {op.pad_value}, and its input has the zero point {zero_point}")
        weight = Conv2DWeight if isinstance(op, IntConv2D) else DepthwiseWeight
        dw = b.add(weight(g, read, kernel=kernel, zero_point=zero_point, **window, types=w))
    return [dx, dw, *_bias(op, b, g, wants)]


def _zero_point(op: Contraction) -> int:
    """What the input stands for 0 with: what the bias has folded in."""
    fold = op.bias.defining_op if op.bias is not None else None
    return fold.zero_point if isinstance(fold, FoldZeroPoint) else 0


def _bias(op: Contraction, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    if op.bias is None:
        return []
    if not wants[2]:
        return [None]
    channel = g.type.axis("C") if g.type.layout else 1
    axes = tuple(i for i in range(len(g.type.shape)) if i != channel)
    return [b.add(FloatSum(g, axes=axes, types=op.bias.type.with_elem(DType.F32)))]


@gradient.register
def _(op: FoldZeroPoint, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """dbias = g. The weights get theirs from the contraction, which takes the zero point off its input."""
    return [None, g][: len(op.operands)]


# -- scales -----------------------------------------------------------------------------------------------------------


def _scaled(b: Backward, g: Value, factors: np.ndarray[Any, Any], layout: str = "") -> Value:
    """g times constant factors, one or one for each channel."""
    factors = np.asarray(factors, np.float32)
    return g if (factors == 1).all() else b.add(FloatMul(g, b.const(factors, layout=layout), types=g.type))


def _inside(b: Backward, g: Value, y: Value, lo: int, hi: int) -> Value:
    """g where y was not limited."""
    return b.add(Inside(g, y, lo=float(lo), hi=float(hi), types=g.type))


@gradient.register
def _(op: Requantize, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g times the factor where the result is not at a limit"""
    mantissa, shift = constant_of(op.multiplier), constant_of(op.shift)
    if mantissa is None or shift is None:
        raise op.fail("has no gradient rule for factors that are no constants")
    factors = mantissa.astype(np.float64) * 2.0 ** (shift.astype(np.float64) - 31)
    layout = op.multiplier.type.layout
    return [_scaled(b, _inside(b, g, op.y, op.lo, op.hi), factors, layout), None, None]


@gradient.register
def _(op: Rescale, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [_scaled(b, g, np.array(op.multiplier * 2.0 ** (op.left_shift + op.shift - 31)))]


@gradient.register
def _(op: Widen, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [b.sum_to(g, op.x.type)]


@gradient.register
def _(op: Quantize, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g / scale where the result is not at a limit"""
    return [_scaled(b, _inside(b, g, op.y, *op.type.storage.limits), np.array(1 / op.scale))]


@gradient.register
def _(op: Dequantize, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [_scaled(b, g, np.array(op.scale))]


@gradient.register(Storage)
@gradient.register(Typed)
def _(op: Storage | Typed, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [g]


# -- element by element -----------------------------------------------------------------------------------------------


@gradient.register
def _(op: Add, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [b.sum_to(g, v.type) if wanted else None for v, wanted in zip(op.operands, wants, strict=True)]


@gradient.register
def _(op: Sub, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [
        b.sum_to(g, op.a.type) if wants[0] else None,
        b.sum_to(_scaled(b, g, np.array(-1)), op.b.type) if wants[1] else None,
    ]


@gradient.register
def _(op: Mul, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g times the other operand"""
    return [
        b.sum_to(b.add(FloatMul(g, b.add(Dequantize(other, scale=1.0, zero_point=0)))), one.type) if wanted else None
        for one, other, wanted in zip(op.operands, reversed(op.operands), wants, strict=True)
    ]


@gradient.register
def _(op: Clamp, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    return [_inside(b, g, op.y, op.lo, op.hi)]


@gradient.register
def _(op: Lookup, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g times the slope of the table: that of the line nearest to five entries, for one step may be rounded away"""
    table = constant_of(op.table)
    if table is None:
        raise op.fail("has no gradient rule for a table that is no constant")
    around = np.pad(table.astype(np.float64), 2, mode="edge")
    slopes = sum(k * around[2 + k : 258 + k] for k in (-2, -1, 1, 2)) / 10
    slope = b.add(Lookup(op.x, b.const(np.asarray(slopes, np.float32)), types=g.type))
    return [b.add(FloatMul(g, slope)), None]


# -- sums -------------------------------------------------------------------------------------------------------------


@gradient.register
def _(op: IntSum, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g repeated along the axes that were summed away"""
    x = op.x.type
    shape = tuple(1 if i in op.axes else n for i, n in enumerate(x.shape))
    if g.type.shape != shape:
        g = b.add(Reshape(g, shape=shape, types=g.type.with_shape(shape, x.layout)))
    return [b.broadcast(g, x.with_elem(g.type.elem))]


@gradient.register
def _(op: IntAveragePool2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g, divided by the number of elements in its window, to each of them"""
    x = op.x.type.with_elem(DType.F32)
    share = b.add(FloatMul(_unlimited(op, b, g), window_shares(op, b)))
    size = (x.size("H"), x.size("W"))
    return [b.add(WindowSum(share, size=size, kernel=op.kernel, stride=op.stride, pad=op.pad, types=x))]


@gradient.register
def _(op: IntMaxPool2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """g to the first largest element of its window"""
    return [b.add(MaxPoolGradient(_unlimited(op, b, g), op.x, kernel=op.kernel, stride=op.stride, pad=op.pad))]


def _unlimited(op: IntAveragePool2D | IntMaxPool2D, b: Backward, g: Value) -> Value:
    """g where the pooling limited nothing."""
    free = (op.lo, op.hi) == op.type.storage.limits
    return g if free else _inside(b, g, op.y, op.lo, op.hi)


@gradient.register
def _(op: IntSoftmax, b: Backward, g: Value, wants: tuple[bool, ...]) -> Gradients:
    """256 scale p (g - sum of g p along the row), p = (y + 128) / 256 being the real result"""
    type = op.y.type
    row = type.axis("C") if type.layout else len(type.shape) - 1
    p = b.add(Dequantize(op.y, scale=1 / 256, zero_point=-128))
    total = b.add(FloatSum(b.add(FloatMul(g, p)), axes=(row,), keep_dims=True))
    return [_scaled(b, b.add(FloatMul(p, b.add(FloatSub(g, total)))), np.array(256 * op.scale)), None]
