"""Arithmetic element by element, on float or quantised tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops import int_elementwise as integer
from tinyir.ir.ops.expand import is_quantized, quant_of, requantize, require_multipliers, storage, typed
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.quant import (
    ADD_LEFT_SHIFT,
    Multiplier,
    clamp_limits,
    quantize_multiplier,
    scale_ratio,
    sum_multipliers,
)
from tinyir.ir.types import DType, TensorType

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder


class _Binary(Op):
    """What the arithmetic on two operands shares: broadcasting as in NumPy, and one element type for all."""

    a: Value
    b: Value
    y: Value

    def infer(self) -> TensorType:
        return elementwise_result(self, self.declared_elem(self.a.type.elem))


class _Sum(_Binary):
    """nn.add and nn.sub: both operands are brought to twice the larger scale with 20 bits of headroom."""

    def verify(self) -> None:
        if is_quantized(self):
            require_multipliers(self, [self._multipliers()[2]], most=0)

    def _multipliers(self) -> tuple[Multiplier, Multiplier, Multiplier]:
        return sum_multipliers(*(quant_of(self, value) for value in (self.a, self.b, self.y)))

    def _expand(self, b: Builder, combine: type[Op]) -> Value | None:
        if not is_quantized(self):
            return None
        *scale, out = self._multipliers()
        terms = [_rescaled(self, b, value, factor) for value, factor in zip((self.a, self.b), scale, strict=True)]
        total = b.add(combine(*terms, types=_i32(self.y), name=self.y.name))
        return requantize(b, self, total, [out])


def _rescaled(op: Op, b: Builder, value: Value, multiplier: Multiplier) -> Value:
    """The operand `value` without its zero point, on the common scale of a sum."""
    wide = b.add(integer.Widen(storage(b, value), offset=-quant_of(op, value).zero_point))
    mantissa, exponent = multiplier
    return b.add(integer.Rescale(wide, left_shift=ADD_LEFT_SHIFT, multiplier=mantissa, shift=exponent))


def _i32(value: Value) -> TensorType:
    return value.type.with_elem(DType.I32)


@define_op("nn.add", Trait.PURE, Trait.ELEMENTWISE)
class Add(_Sum):
    """y = a + b (`reference/integer_ops/add.h`, kernels/add_common.cc)."""

    a: Value = operand("f32 or int8")
    b: Value = operand("the same kind; extents of 1 broadcast")
    y: Value = result()

    def reference(self) -> Reference:
        return Reference(semantics.add_float)

    def expand(self, b: Builder) -> Value | None:
        return self._expand(b, integer.Add)


@define_op("nn.sub", Trait.PURE, Trait.ELEMENTWISE)
class Sub(_Sum):
    """y = a - b (`reference/sub.h`, kernels/sub_common.cc)."""

    a: Value = operand("f32 or int8")
    b: Value = operand("the same kind; extents of 1 broadcast")
    y: Value = result()

    def reference(self) -> Reference:
        return Reference(semantics.sub_float)

    def expand(self, b: Builder) -> Value | None:
        return self._expand(b, integer.Sub)


@define_op("nn.mul", Trait.PURE, Trait.ELEMENTWISE)
class Mul(_Binary):
    """y = a * b (`reference/integer_ops/mul.h`, kernels/mul_common.cc). LiteRT computes the factor in float32."""

    a: Value = operand("f32 or int8")
    b: Value = operand("the same kind; extents of 1 broadcast")
    y: Value = result()

    def verify(self) -> None:
        if is_quantized(self):
            require_multipliers(self, [self._multiplier("tflm")])

    def _multiplier(self, numerics: str) -> Multiplier:
        a, b, y = (quant_of(self, value) for value in (self.a, self.b, self.y))
        return quantize_multiplier(scale_ratio([a.scale, b.scale], y.scale, numerics))

    def reference(self) -> Reference:
        return Reference(semantics.mul_float)

    def expand(self, b: Builder) -> Value | None:
        if not is_quantized(self):
            return None
        factors = [
            b.add(integer.Widen(storage(b, value), offset=-quant_of(self, value).zero_point))
            for value in (self.a, self.b)
        ]
        product = b.add(integer.Mul(*factors, types=_i32(self.y), name=self.y.name))
        return requantize(b, self, product, [self._multiplier(b.numerics)])


@define_op("nn.div", Trait.PURE, Trait.ELEMENTWISE)
class Div(Op):
    """y = a / b."""

    a: Value = operand("f32")
    b: Value = operand("f32; extents of 1 broadcast")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(self.a.type.elem == self.b.type.elem == DType.F32, "works on f32")
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.div_float)


@define_op("nn.sqrt", Trait.PURE, Trait.ELEMENTWISE)
class Sqrt(Op):
    """y = the square root of x, a NaN for a negative one."""

    x: Value = operand("f32")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(self.x.type.elem == DType.F32, f"works on f32, not {self.x.type}")
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.sqrt_float)


@define_op("nn.clamp", Trait.PURE, Trait.ELEMENTWISE)
class Clamp(Op):
    """y = min(max(x, lo), hi) in reals: a fused activation (CalculateActivationRangeQuantized in
    kernels/kernel_util.cc)."""

    x: Value = operand("f32 or int8")
    lo: float = attr("smallest result", default=-math.inf)
    hi: float = attr("largest result", default=math.inf)
    y: Value = result("of the type of x")

    def infer(self) -> TensorType:
        return elementwise_result(self, self.x.type.elem)

    def verify(self) -> None:
        is_quantized(self)
        self.require(self.lo <= self.hi, f"has no values between {self.lo} and {self.hi}")

    def reference(self) -> Reference:
        return Reference(semantics.clamp, dict(self.attrs))

    def expand(self, b: Builder) -> Value | None:
        if not is_quantized(self):
            return None
        lo, hi = clamp_limits(self.lo, self.hi, quant_of(self, self.x))
        types = self.y.type.with_elem(self.y.type.storage)
        return typed(b, b.add(integer.Clamp(storage(b, self.x), lo=lo, hi=hi, types=types)), self.y.type)
