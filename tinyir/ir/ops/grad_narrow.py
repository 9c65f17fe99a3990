"""Gradients as int16 or int8 with one power of two for a tensor (block floating point).

What is stored is q = round(g / 2^n), n being the sum of two exponents: one of the step, that of the gradient next to
the loss, and one of the tensor, which is state and follows from earlier steps (delayed scaling). Powers of two make all
scaling exact.
"""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.types import DType, TensorType

EXPONENT = TensorType((), DType.I32)

STEP_EXPONENTS = (-30, 30)
"""Limits of the exponent of a step. Below the first no gradient is worth the name."""

TENSOR_EXPONENTS = (-96, 96)
"""Limits of the exponent of a tensor; the sum of both is the exponent of a float32 that is no subnormal."""

NARROW = (DType.I8, DType.I16)


def _require_exponents(op: Op, *values: Value) -> None:
    op.require(all(value.type == EXPONENT for value in values), f"needs exponents of the type {EXPONENT}")


@define_op("grad.exponent", Trait.PURE, Trait.WINDOW)
class Exponent(Op):
    """The smallest n from -30 to 30 with |g| < 2^n everywhere, or 30. NaN counts as infinite."""

    g: Value = operand("f32")
    n: Value = result("one i32")

    def infer(self) -> TensorType:
        self.require(self.g.type.elem == DType.F32, f"needs an f32 gradient, not {self.g.type}")
        return EXPONENT

    def reference(self) -> Reference:
        return Reference(semantics.exponent)


@define_op("grad.narrow", Trait.PURE, Trait.ELEMENTWISE)
class Narrow(Op):
    """q = round(g / 2^(exponent + base)), limited to what a signed integer of so many bits holds; 0 where g is NaN.

    Rounds to the nearest integer, ties away from zero; with random `words` up with the probability of the fraction, so
    that the mean is g, however small.
    """

    g: Value = operand("f32")
    exponent: Value = operand("one i32: of the tensor")
    base: Value = operand("one i32: of the step")
    words: Value | None = operand("i32, of the same shape: random bits, for stochastic rounding", optional=True)
    bits: int = attr("of q; so few that no sum of products with int8 overflows")
    q: Value = result("i8 or i16")

    def infer(self) -> TensorType:
        self.require(self.g.type.elem == DType.F32, f"needs an f32 gradient, not {self.g.type}")
        _require_exponents(self, self.exponent, self.base)
        same = self.words is None or self.words.type.shape == self.g.type.shape
        self.require(same, f"needs a random word for each element of {self.g.type}")
        return elementwise_result(self, self.declared_elem(DType.I8))

    def verify(self) -> None:
        self.require(self.type.elem in NARROW, f"gives i8 or i16, not {self.type}")
        most = 8 * self.type.storage.bytes
        self.require(8 <= self.bits <= most, f"keeps {self.bits} bits, not 8..{most}")

    def reference(self) -> Reference:
        return Reference(semantics.narrow, {"bits": self.bits, "wide": self.type.storage is DType.I16})


@define_op("grad.widen", Trait.PURE, Trait.ELEMENTWISE)
class WidenGradient(Op):
    """g = x * 2^(exponent + base): what grad.narrow has stored, or a sum of it."""

    x: Value = operand("i8, i16 or i32")
    exponent: Value = operand("one i32: of the tensor")
    base: Value = operand("one i32: of the step")
    g: Value = result("f32")

    def infer(self) -> TensorType:
        self.require(self.x.type.elem in (*NARROW, DType.I32), f"widens i8, i16 and i32, not {self.x.type}")
        _require_exponents(self, self.exponent, self.base)
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.widen_gradient)


@define_op("grad.peak", Trait.PURE, Trait.WINDOW)
class Peak(Op):
    """The largest of q and -1 - q: how far the values reach, the negative ones as the positive."""

    q: Value = operand("i8 or i16")
    y: Value = result("one i32")

    def infer(self) -> TensorType:
        self.require(self.q.type.elem in NARROW, f"needs i8 or i16, not {self.q.type}")
        return EXPONENT

    def reference(self) -> Reference:
        return Reference(semantics.peak)


@define_op("grad.next_exponent", Trait.PURE, Trait.ELEMENTWISE)
class NextExponent(Op):
    """The exponent of a tensor for the next step: one more where the peak was at the limit, one less where it was below
    `low` and the step had a gradient at all."""

    exponent: Value = operand("one i32: of the tensor, state")
    peak: Value = operand("one i32: of grad.peak")
    base: Value = operand("one i32: of the step")
    limit: int = attr("largest magnitude of the tensor")
    low: int = attr("peaks below it leave bits unused")
    y: Value = result("one i32")

    def infer(self) -> TensorType:
        _require_exponents(self, self.exponent, self.peak, self.base)
        return EXPONENT

    def verify(self) -> None:
        self.require(0 < 2 * self.low <= self.limit, f"calls peaks below {self.low} low, with the limit {self.limit}")

    def reference(self) -> Reference:
        return Reference(semantics.next_exponent, {"limit": self.limit, "low": self.low})
