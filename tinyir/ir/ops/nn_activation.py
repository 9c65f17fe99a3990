"""Activations: functions of each element, on float or quantised tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.expand import is_quantized, lookup, quant_of, require_multipliers
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.quant import quantize_multiplier
from tinyir.ir.types import DType, TensorType
from tinyir.ir.unary_tables import (
    Array,
    hard_swish_multipliers,
    hard_swish_table,
    leaky_relu_multipliers,
    leaky_relu_table,
    logistic_table,
    relu_table,
    tanh_table,
)

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder


class _Unary(Op):
    """A function of each element. On int8 it is a table, and the result may have another scale than the operand."""

    x: Value
    y: Value

    def infer(self) -> TensorType:
        return elementwise_result(self, self.declared_elem(self.x.type.elem))

    def table(self, numerics: str) -> Array:
        """The results for the stored integers -128..127."""
        raise NotImplementedError

    def expand(self, b: Builder) -> Value | None:
        return lookup(b, self, self.x, self.table(b.numerics)) if is_quantized(self) else None


@define_op("nn.relu", Trait.PURE, Trait.ELEMENTWISE)
class Relu(_Unary):
    """y = min(max(x, lo), hi) in reals, where the scale of an int8 result is not that of x; else see nn.clamp.

    The RELU6 of TFLite Micro (lo = 0, hi finite) gives the clamped stored integers of x, whatever the type of y.
    """

    x: Value = operand("f32 or int8")
    lo: float = attr("smallest result", default=0.0)
    hi: float = attr("largest result", default=math.inf)
    y: Value = result()

    def verify(self) -> None:
        self.require(self.lo <= self.hi, f"has no values between {self.lo} and {self.hi}")
        if is_quantized(self):
            x, y = quant_of(self, self.x), quant_of(self, self.y)
            require_multipliers(self, [quantize_multiplier(x.scale / y.scale)])

    def reference(self) -> Reference:
        return Reference(semantics.clamp, dict(self.attrs))

    def table(self, numerics: str) -> Array:
        return relu_table(quant_of(self, self.x), quant_of(self, self.y), self.lo, self.hi, numerics)


@define_op("nn.leaky_relu", Trait.PURE, Trait.ELEMENTWISE)
class LeakyRelu(_Unary):
    """y = x where x > 0, else alpha * x."""

    x: Value = operand("f32 or int8")
    alpha: float = attr("slope on the negative side, a float32")
    y: Value = result()

    def verify(self) -> None:
        self.require(math.isfinite(self.alpha), f"has the slope {self.alpha}")
        if is_quantized(self):
            x, y = quant_of(self, self.x), quant_of(self, self.y)
            require_multipliers(self, leaky_relu_multipliers(x, y, self.alpha, "tflm"))

    def reference(self) -> Reference:
        return Reference(semantics.leaky_relu_float, dict(self.attrs))

    def table(self, numerics: str) -> Array:
        return leaky_relu_table(quant_of(self, self.x), quant_of(self, self.y), self.alpha, numerics)


@define_op("nn.hard_swish", Trait.PURE, Trait.ELEMENTWISE)
class HardSwish(_Unary):
    """y = x * min(max(x + 3, 0), 6) / 6."""

    x: Value = operand("f32 or int8")
    y: Value = result()

    def verify(self) -> None:
        if is_quantized(self):
            output, gate = hard_swish_multipliers(quant_of(self, self.x), quant_of(self, self.y), "tflm")
            require_multipliers(self, [output], most=0)
            require_multipliers(self, [gate])

    def reference(self) -> Reference:
        return Reference(semantics.hard_swish_float)

    def table(self, numerics: str) -> Array:
        return hard_swish_table(quant_of(self, self.x), quant_of(self, self.y), numerics)


class _Sigmoid(_Unary):
    """nn.logistic and nn.tanh, whose int8 argument is scaled to Q4.27."""

    def verify(self) -> None:
        if is_quantized(self):
            in_range = 2**-28 <= quant_of(self, self.x).scale < 2**34
            self.require(in_range, f"has an operand whose scale is out of range: {self.x.type}")


@define_op("nn.logistic", Trait.PURE, Trait.ELEMENTWISE)
class Logistic(_Sigmoid):
    """y = 1 / (1 + exp(-x)); int8 results have the scale 1/256 and the zero point -128."""

    x: Value = operand("f32 or int8")
    y: Value = result()

    def verify(self) -> None:
        super().verify()
        if is_quantized(self):
            zero_point = quant_of(self, self.y).zero_point
            self.require(zero_point == -128, f"needs a result with the zero point -128, not {zero_point}")

    def reference(self) -> Reference:
        return Reference(semantics.logistic)

    def expand(self, b: Builder) -> Value | None:
        if not is_quantized(self):
            return None
        x = quant_of(self, self.x)
        return lookup(b, self, self.x, self.table(b.numerics), scale=x.scale, zero_point=x.zero_point)

    def table(self, numerics: str) -> Array:
        return logistic_table(quant_of(self, self.x), quant_of(self, self.y), numerics)


@define_op("nn.tanh", Trait.PURE, Trait.ELEMENTWISE)
class Tanh(_Sigmoid):
    """y = tanh(x); int8 results have the scale 1/128 and the zero point 0."""

    x: Value = operand("f32 or int8")
    y: Value = result()

    def reference(self) -> Reference:
        return Reference(semantics.tanh)

    def table(self, numerics: str) -> Array:
        return tanh_table(quant_of(self, self.x), quant_of(self, self.y), numerics)


@define_op("nn.softplus", Trait.PURE, Trait.ELEMENTWISE)
class Softplus(Op):
    """y = log(1 + exp(x))."""

    x: Value = operand("f32")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(self.x.type.elem == DType.F32, f"works on f32, not {self.x.type}")
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.softplus)
