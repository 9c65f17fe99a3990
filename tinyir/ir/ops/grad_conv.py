"""What convolutions hand back to their input and their weights.

`w` and `x` are those of the forward convolution, in any layout, as f32 or as stored integers: a float model and an int8
one share these ops. Gradients are f32, or integers of `grad.narrow` beside int8: then sums are exact, in i32.
"""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.grad import largest_factor, require_factors, sum_type
from tinyir.ir.ops.windows import Pads, Pair
from tinyir.ir.shapes import window_extent
from tinyir.ir.types import DType, TensorType


class _ConvGradient(Op):
    """What the four have in common."""

    g: Value
    stride: Pair
    pad: Pads
    dilation: Pair

    def check(self, other: Value, axes: str, size: Pair, kernel: Pair) -> None:
        """Raise IRError unless `g` is the gradient of windows of `kernel` over an image of `size`, and `other`, which
        has the `axes`, holds numbers to multiply with."""
        g = self.g.type
        require_factors(self, self.g, other)
        for type, letters in ((g, "NHWC"), (other.type, axes)):
            self.require(sorted(type.layout) == sorted(letters), f"needs the axes {', '.join(letters)}, not {type}")
        self.require(min(*self.stride, *self.dilation, *kernel) > 0, "needs positive strides, dilations and kernels")
        self.require(min(*self.pad[0], *self.pad[1]) >= 0, "cannot take margins away")
        extents = tuple(map(window_extent, size, kernel, self.stride, self.dilation, self.pad))
        self.require(
            extents == (g.size("H"), g.size("W")),
            f"has {extents[0]} x {extents[1]} windows, the gradient {g.size('H')} x {g.size('W')}",
        )

    def typed(self, extents: dict[str, int], layout: str) -> TensorType:
        """The type of sums with these extents by letter, in the declared layout or else in `layout`."""
        declared = self.declared_type()
        order = declared.layout if declared is not None and declared.layout else layout
        self.require(sorted(order) == sorted(extents), f"cannot give a result with the layout {order}")
        return TensorType(tuple(extents[letter] for letter in order), sum_type(self.g), order)


@define_op("grad.conv2d_input", Trait.PURE, Trait.CONTRACTION)
class Conv2DInput(_ConvGradient):
    """dx[n,h,w,i] = sum over kh, kw, o of g[n,p,q,o] * w[o,kh,kw,i], where window (p, q) reads (h, w) with tap
    (kh, kw): what nn.conv2d hands back to its input. The sum runs over kh, then kw, then o."""

    g: Value = operand("f32, or i8 or i16 beside i8, axes N, H, W, C")
    w: Value = operand("f32 or i8, axes O, H, W, I")
    size: Pair = attr("height and width of x")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    dx: Value = result("f32 or i32, axes N, H, W, C")

    def infer(self) -> TensorType:
        self.check(self.w, "OHWI", self.size, _extents(self.w, "HWOI"))
        g, w = self.g.type, self.w.type
        self.require(g.size("C") == w.size("O"), f"has weights for {w.size('O')} channels, the gradient {g.size('C')}")
        sizes = {"N": g.size("N"), "H": self.size[0], "W": self.size[1], "C": w.size("I")}
        return self.typed(sizes, g.layout)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "OHWI", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.conv2d_input_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.elements * self.w.type.elements // self.w.type.size("O")

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and w int8."""
        return 128 * self.w.type.elements // self.w.type.size("I")


@define_op("grad.depthwise_input", Trait.PURE, Trait.CONTRACTION)
class DepthwiseInput(_ConvGradient):
    """dx[n,h,w,c] = sum over kh, kw and the filters o of channel c of g[n,p,q,o] * w[kh,kw,o], where window (p, q)
    reads (h, w) with tap (kh, kw): what nn.depthwise_conv2d hands back to its input."""

    g: Value = operand("f32, or i8 or i16 beside i8, axes N, H, W, C")
    w: Value = operand("f32 or i8, axes H, W, O")
    size: Pair = attr("height and width of x")
    channels: int = attr("how many channels x has")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    dx: Value = result("f32 or i32, axes N, H, W, C")

    def infer(self) -> TensorType:
        self.check(self.w, "HWO", self.size, _extents(self.w, "HWO"))
        g, w = self.g.type, self.w.type
        self.require(g.size("C") == w.size("O"), f"has {w.size('O')} filters, the gradient {g.size('C')} channels")
        fits = self.channels > 0 and w.size("O") % self.channels == 0
        self.require(fits, f"has {w.size('O')} filters, no multiple of {self.channels} channels")
        sizes = {"N": g.size("N"), "H": self.size[0], "W": self.size[1], "C": self.channels}
        return self.typed(sizes, g.layout)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "HWO", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.depthwise_input_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.elements * self.w.type.elements // self.w.type.size("O")

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and w int8."""
        return 128 * self.w.type.elements // self.channels


@define_op("grad.conv2d_weight", Trait.PURE, Trait.CONTRACTION)
class Conv2DWeight(_ConvGradient):
    """dw[o,kh,kw,i] = sum over n, p, q of g[n,p,q,o] * (x[n,h,w,i] - zero_point), where window (p, q) reads (h, w) with
    tap (kh, kw), and reads 0 in the padding: what nn.conv2d hands back to its weights. The sum runs over n, then p,
    then q."""

    g: Value = operand("f32, or i8 or i16 beside i8, axes N, H, W, C")
    x: Value = operand("f32 or i8, axes N, H, W, C")
    kernel: Pair = attr("height and width of the window")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    zero_point: int = attr("what stands for 0 in an i8 x", default=0)
    dw: Value = result("f32 or i32, axes O, H, W, I")

    def infer(self) -> TensorType:
        self.check(self.x, "NHWC", _extents(self.x, "NHWC"), self.kernel)
        sizes = dict(zip("OHWI", (self.g.type.size("C"), *self.kernel, self.x.type.size("C")), strict=True))
        return self.typed(sizes, "OHWI")

    def verify(self) -> None:
        _verify_zero_point(self)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC", "OHWI"

    def reference(self) -> Reference:
        return Reference(semantics.conv2d_weight_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.elements * self.type.elements // self.type.size("O")

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and x int8."""
        return largest_factor(self.zero_point) * self.g.type.elements // self.g.type.size("C")


@define_op("grad.depthwise_weight", Trait.PURE, Trait.CONTRACTION)
class DepthwiseWeight(_ConvGradient):
    """dw[kh,kw,o] = sum over n, p, q of g[n,p,q,o] * (x[n,h,w,c] - zero_point), where window (p, q) reads (h, w) with
    tap (kh, kw), and reads 0 in the padding; filter o belongs to channel c = o // (O / C): what nn.depthwise_conv2d
    hands back to its weights."""

    g: Value = operand("f32, or i8 or i16 beside i8, axes N, H, W, C")
    x: Value = operand("f32 or i8, axes N, H, W, C")
    kernel: Pair = attr("height and width of the window")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dilation: Pair = attr(default=(1, 1))
    zero_point: int = attr("what stands for 0 in an i8 x", default=0)
    dw: Value = result("f32 or i32, axes H, W, O")

    def infer(self) -> TensorType:
        self.check(self.x, "NHWC", _extents(self.x, "NHWC"), self.kernel)
        filters, channels = self.g.type.size("C"), self.x.type.size("C")
        self.require(filters % channels == 0, f"has {filters} filters, no multiple of {channels} channels")
        return self.typed(dict(zip("HWO", (*self.kernel, filters), strict=True)), "HWO")

    def verify(self) -> None:
        _verify_zero_point(self)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC", "HWO"

    def reference(self) -> Reference:
        return Reference(semantics.depthwise_weight_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.elements * self.type.elements // self.type.size("O")

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and x int8."""
        return largest_factor(self.zero_point) * self.g.type.elements // self.g.type.size("C")


def _extents(value: Value, letters: str) -> Pair:
    """Height and width, or (0, 0) where the axes are not `letters`, which `check` refuses."""
    type = value.type
    named = sorted(type.layout) == sorted(letters)
    return (type.size("H"), type.size("W")) if named else (0, 0)


def _verify_zero_point(op: Conv2DWeight | DepthwiseWeight) -> None:
    inside = -128 <= op.zero_point <= 127 if op.x.type.elem == DType.I8 else op.zero_point == 0
    op.require(inside, f"has the zero point {op.zero_point} for {op.x.type}")
