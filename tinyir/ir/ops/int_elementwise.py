"""Integer arithmetic, element by element. Each op has one meaning: no zero point, scale or clamp is implied."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.shapes import broadcast_shape
from tinyir.ir.types import DType, ElemType, TensorType


def elementwise_result(op: Op, elem: ElemType) -> TensorType:
    """The broadcast shape of the operands with `elem`. Raises IRError where they do not go together."""
    declared = op.declared_type()
    try:
        shape = broadcast_shape([value.type for value in op.operands], declared.layout if declared else None)
    except ValueError as error:
        raise op.fail(f"has operands that do not go together: {error}") from None
    return shape.with_elem(elem)


@define_op("int.widen", Trait.PURE, Trait.ELEMENTWISE)
class Widen(Op):
    """y = x + offset, in i32."""

    x: Value = operand("i8")
    offset: int = attr("minus the zero point, as a rule", default=0)
    y: Value = result("i32")

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.I32)

    def reference(self) -> Reference:
        return Reference(semantics.widen, {"offset": self.offset})


@define_op("int.rescale", Trait.PURE, Trait.ELEMENTWISE)
class Rescale(Op):
    """y = round((x << left_shift) * multiplier / 2^31 * 2^shift), in i32: one operand of an addition brought to the
    common scale."""

    x: Value = operand("i32")
    left_shift: int = attr("headroom gained first", default=0)
    multiplier: int = attr("Q31 mantissa")
    shift: int = attr("exponent; positive goes left")
    rounding: str = attr('"double" (TFLite Micro) or "single"', default="double")
    y: Value = result("i32")

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.I32)

    def verify(self) -> None:
        self.require(self.rounding in ("double", "single"), f'has the rounding "{self.rounding}"')

    def reference(self) -> Reference:
        return Reference(semantics.rescale, dict(self.attrs))


@define_op("int.requantize", Trait.PURE, Trait.ELEMENTWISE)
class Requantize(Op):
    """y = clamp(round(acc * multiplier / 2^31 * 2^shift) + zero_point, lo, hi)."""

    acc: Value = operand("i32")
    multiplier: Value = operand("i32 Q31 mantissas: one, or one per channel (axis C)")
    shift: Value = operand("i32 exponents, as many; positive goes left")
    zero_point: int = attr("of the result", default=0)
    lo: int = attr("smallest result", default=-128)
    hi: int = attr("largest result", default=127)
    rounding: str = attr('"double" (TFLite Micro) or "single"', default="double")
    y: Value = result("i8")

    def infer(self) -> TensorType:
        return elementwise_result(self, self.declared_elem(DType.I8))

    def verify(self) -> None:
        self.require(self.rounding in ("double", "single"), f'has the rounding "{self.rounding}"')
        least, most = self.type.storage.limits
        self.require(
            least <= self.lo <= self.hi <= most,
            f"clamps to {self.lo}..{self.hi}, outside of {self.type.elem}",
        )

    def reference(self) -> Reference:
        return Reference(semantics.requantize, {**self.attrs, "dtype": self.type.storage.numpy.name})


class _Binary(Op):
    """What the arithmetic on two i32 operands shares."""

    a: Value
    b: Value

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.I32)


@define_op("int.add", Trait.PURE, Trait.ELEMENTWISE)
class Add(_Binary):
    """y = a + b, modulo 2^32."""

    a: Value = operand("i32")
    b: Value = operand("i32")
    y: Value = result("i32")

    def reference(self) -> Reference:
        return Reference(semantics.add)


@define_op("int.sub", Trait.PURE, Trait.ELEMENTWISE)
class Sub(_Binary):
    """y = a - b, modulo 2^32."""

    a: Value = operand("i32")
    b: Value = operand("i32")
    y: Value = result("i32")

    def reference(self) -> Reference:
        return Reference(semantics.sub)


@define_op("int.mul", Trait.PURE, Trait.ELEMENTWISE)
class Mul(_Binary):
    """y = a * b, modulo 2^32."""

    a: Value = operand("i32")
    b: Value = operand("i32")
    y: Value = result("i32")

    def reference(self) -> Reference:
        return Reference(semantics.mul)


@define_op("int.clamp", Trait.PURE, Trait.ELEMENTWISE)
class Clamp(Op):
    """y = min(max(x, lo), hi) on stored integers."""

    x: Value = operand("i8")
    lo: int = attr()
    hi: int = attr()
    y: Value = result("i8")

    def infer(self) -> TensorType:
        return elementwise_result(self, self.x.type.elem)

    def verify(self) -> None:
        least, most = self.type.storage.limits
        self.require(
            least <= self.lo <= self.hi <= most,
            f"clamps to {self.lo}..{self.hi}, outside of {self.type.elem}",
        )

    def reference(self) -> Reference:
        return Reference(semantics.clamp, dict(self.attrs))


@define_op("int.lookup", Trait.PURE, Trait.ELEMENTWISE)
class Lookup(Op):
    """y = table[x + 128]: any function of one int8, computed at compile time.

    A logistic has the scale and zero point of its argument: a loss works on that, where y saturates.
    """

    x: Value = operand("i8")
    table: Value = operand("256 elements")
    scale: float = attr("of x, where the table is that of a logistic", default=0.0)
    zero_point: int = attr("of x, likewise", default=0)
    y: Value = result("of the table's element type")

    def infer(self) -> TensorType:
        self.require(self.table.type.shape == (256,), f"needs a table of 256 elements, not {self.table.type}")
        declared = self.declared_type()
        x = self.x.type if declared is None or not declared.layout else self.x.type.in_layout(declared.layout)
        return x.with_elem(self.table.type.elem)

    def reference(self) -> Reference:
        return Reference(semantics.lookup)


@define_op("int.quantize", Trait.PURE, Trait.ELEMENTWISE)
class Quantize(Op):
    """y = clamp(round(x / scale) + zero_point), ties away from zero (TFLite `reference/quantize.h`)."""

    x: Value = operand("f32")
    scale: float = attr("a float32")
    zero_point: int = attr()
    y: Value = result("i8")

    def infer(self) -> TensorType:
        return elementwise_result(self, self.declared_elem(DType.I8))

    def reference(self) -> Reference:
        return Reference(semantics.quantize, {**self.attrs, "dtype": self.type.storage.numpy.name})


@define_op("int.dequantize", Trait.PURE, Trait.ELEMENTWISE)
class Dequantize(Op):
    """y = scale * (x - zero_point), in float32 (TFLite `reference/dequantize.h`)."""

    x: Value = operand("i8")
    scale: float = attr("a float32")
    zero_point: int = attr()
    y: Value = result("f32")

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.dequantize, dict(self.attrs))
