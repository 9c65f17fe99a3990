"""What gradients take beyond the ops of the forward graph."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.types import DType, TensorType, layout_order


def require_factors(op: Op, g: Value, other: Value) -> None:
    """Raise IRError unless the gradient `g` and `other` are numbers that gradients are sums of products of."""
    narrow = g.type.elem in (DType.I8, DType.I16)
    op.require(narrow or g.type.elem == DType.F32, f"needs a gradient of f32, i8 or i16, not {g.type}")
    op.require(other.type.elem in (DType.F32, DType.I8), f"multiplies with f32 or i8, not {other.type}")
    op.require(not narrow or other.type.elem == DType.I8, f"multiplies {g.type.elem} with i8, not {other.type}")


def sum_type(g: Value) -> DType:
    """What sums of products with the gradient `g` are."""
    return DType.F32 if g.type.elem == DType.F32 else DType.I32


def largest_factor(zero_point: int) -> int:
    """The largest magnitude of x - zero_point for an int8 x."""
    return max(127 - zero_point, 128 + zero_point)


def _matrices(op: Op, a: Value, b: Value, axis_of_b: int) -> None:
    """Check that `a`, which is [n, o], and the axis of the matrix `b` go together."""
    op.require(len(a.type.shape) == len(b.type.shape) == 2, f"needs matrices, not {a.type} and {b.type}")
    have, want = a.type.shape[1 - axis_of_b], b.type.shape[0]
    op.require(have == want, f"has {have} elements against {want}: {a.type}, {b.type}")
    require_factors(op, a, b)


@define_op("grad.dense_input", Trait.PURE, Trait.CONTRACTION)
class DenseInput(Op):
    """dx[n,i] = sum over o of g[n,o] * w[o,i]: what nn.dense hands back to its input."""

    g: Value = operand("[n, o]")
    w: Value = operand("f32 or i8 [o, i]")
    dx: Value = result("[n, i]")

    def infer(self) -> TensorType:
        _matrices(self, self.g, self.w, 0)
        return TensorType((self.g.type.shape[0], self.w.type.shape[1]), sum_type(self.g))

    def reference(self) -> Reference:
        return Reference(semantics.dense_input_gradient)

    def macs(self) -> int:
        return self.g.type.shape[0] * self.w.type.elements

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and w int8."""
        return 128 * self.w.type.shape[0]


@define_op("grad.dense_weight", Trait.PURE, Trait.CONTRACTION)
class DenseWeight(Op):
    """dw[o,i] = sum over n of g[n,o] * (x[n,i] - zero_point): what nn.dense hands back to its weights."""

    g: Value = operand("[n, o]")
    x: Value = operand("f32 or i8 [n, i]")
    zero_point: int = attr("what stands for 0 in an i8 x", default=0)
    dw: Value = result("[o, i]")

    def infer(self) -> TensorType:
        _matrices(self, self.g, self.x, 1)
        return TensorType((self.g.type.shape[1], self.x.type.shape[1]), sum_type(self.g))

    def reference(self) -> Reference:
        return Reference(semantics.dense_weight_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.shape[0] * self.type.elements

    def gain(self) -> int:
        """The largest sum where |g| is up to 1 and x int8."""
        return largest_factor(self.zero_point) * self.g.type.shape[0]


@define_op("grad.inside", Trait.PURE, Trait.ELEMENTWISE)
class Inside(Op):
    """dx = g where lo < y < hi, else 0: what a clamp with the result y hands back. At the limits it is 0, as PyTorch
    has it for ReLU and ReLU6."""

    g: Value = operand("f32")
    y: Value = operand("f32 or i8, the result of the clamp")
    lo: float = attr("lower limit of the clamp")
    hi: float = attr("upper limit of the clamp")
    dx: Value = result()

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.inside, dict(self.attrs))


@define_op("grad.leaky_relu", Trait.PURE, Trait.ELEMENTWISE)
class LeakyReluGradient(Op):
    """dx = g where x > 0, else alpha * g."""

    g: Value = operand("f32")
    x: Value = operand("f32")
    alpha: float = attr("slope on the negative side, a float32")
    dx: Value = result()

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.leaky_relu_gradient, dict(self.attrs))


@define_op("grad.hard_swish", Trait.PURE, Trait.ELEMENTWISE)
class HardSwishGradient(Op):
    """dx = g * (2 x + 3) / 6 for x between -3 and 3, 0 below, g above, as PyTorch has it at the limits."""

    g: Value = operand("f32")
    x: Value = operand("f32")
    dx: Value = result()

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.hard_swish_gradient)


WORD = 32
"""Bits of a mask's word."""


def mask_words(type: TensorType) -> int:
    """How many words the mask of a tensor has: whole ones for each row along its last axis, C of an image."""
    row = type.size("C") if "C" in type.layout else type.shape[-1]
    return type.elements // row * -(-row // WORD)


@define_op("grad.mask", Trait.PURE, Trait.WINDOW)
class Mask(Op):
    """Bit i of word j in a row is 1 where lo < y[.., 32 * j + i] < hi: all that grad.inside needs of y, in an eighth of
    the bytes of int8. Rows run along the last axis (C of an image), one after the other, each in words of its own."""

    y: Value = operand("i8, the result of a clamp")
    lo: int = attr("lower limit of the clamp")
    hi: int = attr("upper limit of the clamp")
    bits: Value = result("i32 words")

    def infer(self) -> TensorType:
        self.require(bool(self.y.type.shape) and self.y.type.elem == DType.I8, f"needs rows of i8, not {self.y.type}")
        return TensorType((mask_words(self.y.type),), DType.I32)

    def canonical_layouts(self) -> tuple[str, ...] | None:
        return ("NHWC", "") if "C" in self.y.type.layout else None

    def reference(self) -> Reference:
        return Reference(semantics.mask, dict(self.attrs))


@define_op("grad.masked", Trait.PURE, Trait.ELEMENTWISE)
class Masked(Op):
    """dx = g where its bit of the mask is 1, else 0: grad.inside, with grad.mask of y instead of y."""

    g: Value = operand("f32")
    bits: Value = operand("i32 words of grad.mask")
    dx: Value = result()

    def infer(self) -> TensorType:
        words = (mask_words(self.g.type),) if self.g.type.shape else ()
        self.require(self.bits.type == TensorType(words, DType.I32), f"needs {words} words, not {self.bits.type}")
        declared = self.declared_type()
        return self.g.type.in_layout(declared.layout) if declared is not None and declared.layout else self.g.type

    def reference(self) -> Reference:
        layout = self.type.layout
        return Reference(semantics.masked, {"order": layout_order(layout, "NHWC")} if "C" in layout else {})
