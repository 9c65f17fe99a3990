"""Gradients of convolutions and dense layers."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.nn_contraction import Conv2D, Dense, DepthwiseConv2D
from tinyir.ir.ops.nn_window import Sum


@gradient.register
def _(op: Dense, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """dx = g w, dw = g^T x, dbias = sum of g over the rows; of x what the weights meet, and no gradient elsewhere"""
    first, count = op.first_channel, op.w.type.shape[1]
    dx = b.channels_back(b.add(DenseInput(g, op.w)), op.x.type, first) if wants[0] else None
    dw = b.add(DenseWeight(g, b.channels(op.x, first, count))) if wants[1] else None
    if op.bias is None:
        return [dx, dw]
    return [dx, dw, b.sum_to(g, op.bias.type) if wants[2] else None]


@gradient.register
def _(op: Conv2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """dx and dw are convolutions with g, of the channels of x that the weights meet, and no gradient elsewhere; dbias =
    sum of g over all but the channels"""
    x, w, first = op.x.type, op.w.type, op.first_channel
    window = {name: value for name, value in op.attrs.items() if name != "first_channel"}
    dx = dw = None
    if wants[0]:
        sizes = {**{letter: x.size(letter) for letter in "NHW"}, "C": w.size("I")}
        type = x.with_shape(tuple(sizes[letter] for letter in x.layout), x.layout)
        part = b.add(Conv2DInput(g, op.w, size=(x.size("H"), x.size("W")), **window, types=type))
        dx = b.channels_back(part, x, first)
    if wants[1]:
        read = b.channels(op.x, first, w.size("I"))
        dw = b.add(Conv2DWeight(g, read, kernel=(w.size("H"), w.size("W")), **window, types=w))
    return _with_bias(op, b, g, wants, dx, dw)


@gradient.register
def _(op: DepthwiseConv2D, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """dx and dw are convolutions with g, channel by channel; dbias = sum of g over all but the channels"""
    x, w = op.x.type, op.w.type
    dx = dw = None
    if wants[0]:
        size = (x.size("H"), x.size("W"))
        dx = b.add(DepthwiseInput(g, op.w, size=size, channels=x.size("C"), **op.attrs, types=x))
    if wants[1]:
        dw = b.add(DepthwiseWeight(g, op.x, kernel=(w.size("H"), w.size("W")), **op.attrs, types=w))
    return _with_bias(op, b, g, wants, dx, dw)


def _with_bias(
    op: Conv2D | DepthwiseConv2D, b: Backward, g: Value, wants: tuple[bool, ...], dx: Value | None, dw: Value | None
) -> list[Value | None]:
    if op.bias is None:
        return [dx, dw]
    if not wants[2]:
        return [dx, dw, None]
    axes = tuple(i for i, letter in enumerate(g.type.layout) if letter != "C")
    return [dx, dw, b.add(Sum(g, axes=axes, types=op.bias.type))]
