"""What gradients take beyond the ops of the forward graph."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.types import DType, TensorType


def _matrices(op: Op, a: Value, b: Value, axis_of_b: int) -> None:
    """Check that `a`, which is [n, o], and the axis of the matrix `b` go together."""
    op.require(len(a.type.shape) == len(b.type.shape) == 2, f"needs matrices, not {a.type} and {b.type}")
    have, want = a.type.shape[1 - axis_of_b], b.type.shape[0]
    op.require(have == want, f"has {have} elements against {want}: {a.type}, {b.type}")
    op.require(a.type.elem == DType.F32, f"needs an f32 gradient, not {a.type}")
    op.require(b.type.elem in (DType.F32, DType.I8), f"multiplies with f32 or i8, not {b.type}")


@define_op("grad.dense_input", Trait.PURE, Trait.CONTRACTION)
class DenseInput(Op):
    """dx[n,i] = sum over o of g[n,o] * w[o,i]: what nn.dense hands back to its input."""

    g: Value = operand("[n, o]")
    w: Value = operand("f32 or i8 [o, i]")
    dx: Value = result("[n, i]")

    def infer(self) -> TensorType:
        _matrices(self, self.g, self.w, 0)
        return TensorType((self.g.type.shape[0], self.w.type.shape[1]), DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.dense_input_gradient)

    def macs(self) -> int:
        return self.g.type.shape[0] * self.w.type.elements


@define_op("grad.dense_weight", Trait.PURE, Trait.CONTRACTION)
class DenseWeight(Op):
    """dw[o,i] = sum over n of g[n,o] * (x[n,i] - zero_point): what nn.dense hands back to its weights."""

    g: Value = operand("[n, o]")
    x: Value = operand("f32 or i8 [n, i]")
    zero_point: int = attr("what stands for 0 in an i8 x", default=0)
    dw: Value = result("[o, i]")

    def infer(self) -> TensorType:
        _matrices(self, self.g, self.x, 1)
        return TensorType((self.g.type.shape[1], self.x.type.shape[1]), DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.dense_weight_gradient, dict(self.attrs))

    def macs(self) -> int:
        return self.g.type.shape[0] * self.type.elements


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
