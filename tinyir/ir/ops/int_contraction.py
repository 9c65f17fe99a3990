"""Integer weighted sums: int8 operands, int32 accumulators. Zero points are folded into the bias beforehand, so a
product is just a product, and padding reads as `pad_value` (the zero point of x)."""

from __future__ import annotations

from typing import Any

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.windows import Pads, Pair, conv_result, depthwise_result
from tinyir.ir.types import DType, ElemType, TensorType


@define_op("int.conv2d", Trait.PURE, Trait.CONTRACTION)
class IntConv2D(Op):
    """y[n,h,w,o] = bias[o] + sum over kh, kw, i of x[n, h*stride + kh*dilation - pad, ..., i] * w[o,kh,kw,i].

    With `first_channel` the weights meet the channels of x from there on: a layer whose weights are trained in part is
    the sum of two.
    """

    x: Value = operand("i8, axes N, H, W, C")
    w: Value = operand("i8 or i16, axes O, H, W, I")
    bias: Value | None = operand("i32, axis C; the zero point of x folded in", optional=True)
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    pad_value: int = attr("what x reads as in the padding", default=0)
    first_channel: int = attr("the first channel of x that w meets; -1: x has no others", default=-1)
    y: Value = result("i32 accumulators, axes N, H, W, C")

    def infer(self) -> TensorType:
        x = channels_read(self, self.x.type, self.w.type, self.first_channel)
        return conv_result(self, x, self.w.type, DType.I32)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "OHWI", "C", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.conv2d, given(self.attrs))

    def macs(self) -> int:
        return self.type.elements * self.w.type.elements // self.w.type.size("O")


@define_op("int.depthwise_conv2d", Trait.PURE, Trait.CONTRACTION)
class IntDepthwiseConv2D(Op):
    """As int.conv2d, but output channel o reads input channel o // (O / C) alone."""

    x: Value = operand("i8, axes N, H, W, C")
    w: Value = operand("i8 or i16, axes H, W, O")
    bias: Value | None = operand("i32, axis C; the zero point of x folded in", optional=True)
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    pad_value: int = attr("what x reads as in the padding", default=0)
    y: Value = result("i32 accumulators, axes N, H, W, C")

    def infer(self) -> TensorType:
        return depthwise_result(self, self.x.type, self.w.type, DType.I32)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "HWO", "C", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.depthwise_conv2d, dict(self.attrs))

    def macs(self) -> int:
        return self.type.elements * self.w.type.elements // self.w.type.size("O")


@define_op("int.dense", Trait.PURE, Trait.CONTRACTION)
class IntDense(Op):
    """y[n,o] = bias[o] + sum over i of x[n,i] * w[o,i]; with `first_channel` of x[n,first_channel+i]."""

    x: Value = operand("i8 [n, i]")
    w: Value = operand("i8 or i16 [o, i]")
    bias: Value | None = operand("i32 [o]; the zero point of x folded in", optional=True)
    first_channel: int = attr("the first column of x that w meets; -1: x has no others", default=-1)
    y: Value = result("i32 accumulators [n, o]")

    def infer(self) -> TensorType:
        x = channels_read(self, self.x.type, self.w.type, self.first_channel)
        return dense_result(self, x, self.w.type, DType.I32)

    def reference(self) -> Reference:
        return Reference(semantics.dense, given(self.attrs))

    def macs(self) -> int:
        return self.x.type.shape[0] * self.w.type.elements


def channels_read(op: Op, x: TensorType, w: TensorType, first: int) -> TensorType:
    """`x` less the channels (columns of a matrix) that `w` does not meet. Raises IRError where it lacks some."""
    named = "C" in x.layout and "I" in w.layout
    if first == -1 or (not named and (len(x.shape) != 2 or len(w.shape) != 2)):
        return x
    axis, count = (x.axis("C"), w.size("I")) if named else (1, w.shape[1])
    op.require(
        0 <= first <= x.shape[axis] - count,
        f"reads the channels {first} to {first + count - 1} of an x that has {x.shape[axis]}",
    )
    return x.with_shape((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.layout)


def given(attrs: dict[str, Any]) -> dict[str, Any]:
    """The attributes without a first channel that says nothing."""
    return {name: value for name, value in attrs.items() if (name, value) != ("first_channel", -1)}


@define_op("int.fold_zero_point", Trait.PURE, Trait.WINDOW)
class FoldZeroPoint(Op):
    """y[o] = bias[o] - zero_point * (sum of the weights of o): the bias of a contraction that reads an input with that
    zero point as it is stored. For weights that are trained; those of others are folded at compile time."""

    w: Value = operand("i8, axes O and others; or [o, i]")
    bias: Value | None = operand("i32 [o]", optional=True)
    zero_point: int = attr("of the input")
    y: Value = result("i32 [o]")

    def infer(self) -> TensorType:
        outputs = self.w.type.shape[output_axis(self.w.type)]
        fits = self.bias is None or self.bias.type.shape == (outputs,)
        self.require(fits, f"needs a bias of {outputs} elements for {self.w.type}")
        return TensorType((outputs,), DType.I32, "C" if self.w.type.layout else "")

    def reference(self) -> Reference:
        return Reference(semantics.fold_zero_point, {"zero_point": self.zero_point, "axis": output_axis(self.w.type)})


def output_axis(w: TensorType) -> int:
    """The axis of the output channels in the weights of a contraction."""
    return w.axis("O") if w.layout else 0


def dense_result(op: Op, x: TensorType, w: TensorType, elem: ElemType) -> TensorType:
    """The type of x @ w.T. Raises IRError where the shapes do not go together."""
    op.require(len(x.shape) == 2 and len(w.shape) == 2, f"needs matrices, not {x} and {w}")
    op.require(x.shape[1] == w.shape[1], f"has rows of {x.shape[1]} elements against weights of {w.shape[1]}")
    if len(op.operands) > 2:
        bias = op.operands[2].type
        op.require(bias.shape == (w.shape[0],), f"needs a bias of {w.shape[0]} elements, not {bias}")
    return TensorType((x.shape[0], w.shape[0]), op.declared_elem(elem))
