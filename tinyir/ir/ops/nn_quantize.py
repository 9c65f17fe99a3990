"""Between floats and quantised tensors, and between quantised types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyir.ir.core import Op, Value
from tinyir.ir.opdef import Trait, define_op, operand, result
from tinyir.ir.ops import int_elementwise as integer
from tinyir.ir.ops.expand import lookup, quant_of, require_multipliers, storage, typed
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.quant import quantize_multiplier
from tinyir.ir.types import DType, TensorType
from tinyir.ir.unary_tables import requantize_table

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder


def _require_int8(op: Op, value: Value) -> None:
    quant = quant_of(op, value)
    op.require(quant.storage == DType.I8 and not quant.per_axis, f"works on int8 with one scale, not {value.type}")


@define_op("nn.quantize", Trait.PURE, Trait.ELEMENTWISE)
class Quantize(Op):
    """x under the scale and zero point of y; from f32 (`reference/quantize.h`) or int8 (`reference/requantize.h`)."""

    x: Value = operand("f32 or int8")
    y: Value = result("int8")

    def infer(self) -> TensorType:
        return elementwise_result(self, self.declared_elem(self.x.type.elem))

    def verify(self) -> None:
        _require_int8(self, self.y)
        if self.x.type.elem != DType.F32:
            _require_int8(self, self.x)
            ratio = quant_of(self, self.x).scale / quant_of(self, self.y).scale
            require_multipliers(self, [quantize_multiplier(ratio)])

    def expand(self, b: Builder) -> Value | None:
        y = quant_of(self, self.y)
        if self.x.type.quant is not None:
            return lookup(b, self, self.x, requantize_table(quant_of(self, self.x), y))
        types = self.y.type.with_elem(y.storage)
        stored = integer.Quantize(self.x, scale=y.scale, zero_point=y.zero_point, types=types)
        return typed(b, b.add(stored), self.y.type)


@define_op("nn.dequantize", Trait.PURE, Trait.ELEMENTWISE)
class Dequantize(Op):
    """The real numbers that x stands for, in f32 (`reference/dequantize.h`)."""

    x: Value = operand("int8")
    y: Value = result("f32")

    def infer(self) -> TensorType:
        return elementwise_result(self, DType.F32)

    def verify(self) -> None:
        _require_int8(self, self.x)

    def expand(self, b: Builder) -> Value | None:
        x = quant_of(self, self.x)
        real = integer.Dequantize(storage(b, self.x), scale=x.scale, zero_point=x.zero_point, types=self.y.type)
        return b.add(real)
