"""Convolutions and dense layers, on float or quantised tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.expand import accumulators, quant_of, requantize, require_multipliers
from tinyir.ir.ops.int_contraction import (
    IntConv2D,
    IntDense,
    IntDepthwiseConv2D,
    channels_read,
    dense_result,
    given,
)
from tinyir.ir.ops.windows import Pads, Pair, conv_result, depthwise_result
from tinyir.ir.quant import contraction_multipliers
from tinyir.ir.types import DType, TensorType

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder


@define_op("nn.conv2d", Trait.PURE, Trait.CONTRACTION)
class Conv2D(Op):
    """y[n,h,w,o] = bias[o] + sum over kh, kw, i of x[n, h*stride + kh*dilation - pad, ..., i] * w[o,kh,kw,i].

    With `first_channel` the weights meet the channels of a float x from there on: a layer whose weights are trained in
    part is the sum of two. On quantised tensors the sum is exact and requantised as TFLite does
    (`reference/integer_ops/conv.h`).
    """

    x: Value = operand("axes N, H, W, C")
    w: Value = operand("axes O, H, W, I")
    bias: Value | None = operand("axis C", optional=True)
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); x reads as real 0 there", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    first_channel: int = attr("the first channel of x that w meets; -1: x has no others", default=-1)
    y: Value = result("axes N, H, W, C")

    def infer(self) -> TensorType:
        x = channels_read(self, self.x.type, self.w.type, self.first_channel)
        return conv_result(self, x, self.w.type, self.x.type.elem)

    def verify(self) -> None:
        _verify_kinds(self)
        if self.x.type.quant is not None:
            x, w, y = (quant_of(self, value) for value in (self.x, self.w, self.y))
            self.require(set(w.zero_points) == {0}, "needs weights with the zero point 0")
            self.require(w.axis in (None, self.w.type.axis("O")), "needs one weight scale, or one per output channel")
            require_multipliers(self, contraction_multipliers(x, w, y))

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "OHWI", "C", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.conv2d_float, given(self.attrs))

    def macs(self) -> int:
        return self.type.elements * self.w.type.elements // self.w.type.size("O")

    def expand(self, b: Builder) -> Value | None:
        return _expand_conv(self, IntConv2D, b)


@define_op("nn.depthwise_conv2d", Trait.PURE, Trait.CONTRACTION)
class DepthwiseConv2D(Op):
    """As nn.conv2d, but output channel o reads input channel o // (O / C) alone
    (`reference/integer_ops/depthwise_conv.h`)."""

    x: Value = operand("axes N, H, W, C")
    w: Value = operand("axes H, W, O")
    bias: Value | None = operand("axis C", optional=True)
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); x reads as real 0 there", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    y: Value = result("axes N, H, W, C")

    def infer(self) -> TensorType:
        return depthwise_result(self, self.x.type, self.w.type, self.x.type.elem)

    def verify(self) -> None:
        _verify_kinds(self)
        if self.x.type.quant is not None:
            x, w, y = (quant_of(self, value) for value in (self.x, self.w, self.y))
            self.require(set(w.zero_points) == {0}, "needs weights with the zero point 0")
            self.require(w.axis in (None, self.w.type.axis("O")), "needs one weight scale, or one per output channel")
            require_multipliers(self, contraction_multipliers(x, w, y))

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "HWO", "C", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.depthwise_conv2d_float, dict(self.attrs))

    def macs(self) -> int:
        return self.type.elements * self.w.type.elements // self.w.type.size("O")

    def expand(self, b: Builder) -> Value | None:
        return _expand_conv(self, IntDepthwiseConv2D, b)


def _expand_conv(op: Conv2D | DepthwiseConv2D, integer_op: type[Op], b: Builder) -> Value | None:
    """The integer convolution and its requantisation; None for a float convolution."""
    if op.x.type.quant is None:
        return None
    x, w = quant_of(op, op.x), quant_of(op, op.w)
    attrs = {**op.attrs, "pad_value": x.zero_point}
    acc = accumulators(b, op, integer_op, x.zero_point, attrs)
    return requantize(b, op, acc, contraction_multipliers(x, w, quant_of(op, op.y)), layout="C")


def _verify_kinds(op: Conv2D | DepthwiseConv2D | Dense) -> None:
    """All of it f32; or int8 tensors, of which only the weights may have several scales, and an i32 bias."""
    bias = op.bias.type.storage if op.bias is not None else None
    if op.x.type.elem == DType.F32:
        elems = {op.x.type.elem, op.w.type.elem, op.y.type.elem}
        op.require(elems == {DType.F32} and bias in (None, DType.F32), "mixes f32 with other element types")
        return
    op.require(op.attrs.get("first_channel", -1) == -1, "reads all channels of a quantised x")
    x, w, y = (quant_of(op, value) for value in (op.x, op.w, op.y))
    op.require(x.storage == w.storage == y.storage == DType.I8, "works on f32 or on int8")
    op.require(not x.per_axis and not y.per_axis, "has several scales on its input or its result")
    op.require(bias in (None, DType.I32), f"needs an i32 bias, not {bias}")


@define_op("nn.dense", Trait.PURE, Trait.CONTRACTION)
class Dense(Op):
    """y[n,o] = bias[o] + sum over i of x[n,first_channel+i] * w[o,i], first_channel being 0 where w meets all of x.

    TFLite Micro requantises with double rounding, LiteRT's reference kernel with single rounding
    (`reference/integer_ops/fully_connected.h`); the numerics of the compilation choose.
    """

    x: Value = operand("[n, i]")
    w: Value = operand("[o, i]")
    bias: Value | None = operand("[o]", optional=True)
    first_channel: int = attr("the first column of x that w meets; -1: x has no others", default=-1)
    y: Value = result("[n, o]")

    def infer(self) -> TensorType:
        x = channels_read(self, self.x.type, self.w.type, self.first_channel)
        return dense_result(self, x, self.w.type, self.x.type.elem)

    def verify(self) -> None:
        _verify_kinds(self)
        if self.x.type.quant is not None:
            x, w, y = (quant_of(self, value) for value in (self.x, self.w, self.y))
            self.require(not w.per_axis or set(w.zero_points) == {0}, "needs per-channel weights with the zero point 0")
            self.require(w.axis in (None, 0), "needs one weight scale, or one per row")
            require_multipliers(self, contraction_multipliers(x, w, y))

    def reference(self) -> Reference:
        return Reference(semantics.dense_float, given(self.attrs))

    def macs(self) -> int:
        return self.x.type.shape[0] * self.w.type.elements

    def expand(self, b: Builder) -> Value | None:
        if self.x.type.quant is None:
            return None
        x, w = quant_of(self, self.x), quant_of(self, self.w)
        acc = accumulators(b, self, IntDense, x.zero_point, {})
        rounding = "single" if b.numerics == "litert" else "double"
        return requantize(b, self, acc, contraction_multipliers(x, w, quant_of(self, self.y)), rounding)
