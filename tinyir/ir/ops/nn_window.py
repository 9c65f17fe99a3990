"""Pooling, means and softmax, on float or quantised tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.expand import is_quantized, quant_of, requantize, require_multipliers, storage, typed
from tinyir.ir.ops.int_window import IntAveragePool2D, IntMaxPool2D, IntSoftmax, IntSum, reduced_type
from tinyir.ir.ops.windows import Pads, Pair, pool_result
from tinyir.ir.quant import mean_multiplier
from tinyir.ir.types import DType, QType, TensorType
from tinyir.ir.unary_tables import exp_table, softmax_multiplier

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder

SCALE_TOLERANCE = 1e-6
"""How far apart TFLite lets the scales of a pooling's operand and result be."""


class _Pool(Op):
    """What the poolings share. On int8 the stored integers are pooled, for operand and result have one scale."""

    x: Value
    kernel: Pair
    y: Value

    def infer(self) -> TensorType:
        return pool_result(self, self.x.type, self.kernel, self.x.type.elem)

    def verify(self) -> None:
        if is_quantized(self):
            x, y = quant_of(self, self.x), quant_of(self, self.y)
            same = abs(x.scale - y.scale) <= SCALE_TOLERANCE and x.zero_point == y.zero_point
            self.require(same, f"cannot change the scale: {self.x.type} to {self.y.type}")

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def _expand(self, b: Builder, integer_op: type[Op]) -> Value | None:
        if not is_quantized(self):
            return None
        types = self.y.type.with_elem(DType.I8)
        return typed(b, b.add(integer_op(storage(b, self.x), **self.attrs, types=types, name=self.y.name)), self.y.type)


@define_op("nn.average_pool2d", Trait.PURE, Trait.WINDOW)
class AveragePool2D(_Pool):
    """y = mean of the window's elements inside x (`reference/integer_ops/pooling.h`, `reference/pooling.h`)."""

    x: Value = operand("f32 or int8, axes N, H, W, C")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); the margins do not count", default=((0, 0), (0, 0)))
    y: Value = result("axes N, H, W, C")

    def reference(self) -> Reference:
        return Reference(semantics.average_pool2d_float, dict(self.attrs))

    def expand(self, b: Builder) -> Value | None:
        return self._expand(b, IntAveragePool2D)


@define_op("nn.max_pool2d", Trait.PURE, Trait.WINDOW)
class MaxPool2D(_Pool):
    """y = largest of the window's elements inside x (`reference/integer_ops/pooling.h`, `reference/pooling.h`)."""

    x: Value = operand("f32 or int8, axes N, H, W, C")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); the margins do not count", default=((0, 0), (0, 0)))
    y: Value = result("axes N, H, W, C")

    def reference(self) -> Reference:
        return Reference(semantics.max_pool2d_float, dict(self.attrs))

    def expand(self, b: Builder) -> Value | None:
        return self._expand(b, IntMaxPool2D)


MAX_SUMMANDS = (2**31 - 1) // 255
"""How many int8 elements less their zero point an int32 sum can hold."""


@define_op("nn.mean", Trait.PURE, Trait.WINDOW)
class Mean(Op):
    """y = mean of x over `axes` (`reference/reduce.h`: Mean, QuantizedMeanOrSum)."""

    x: Value = operand("f32 or int8")
    axes: tuple[int, ...] = attr("which axes are averaged")
    keep_dims: bool = attr("leave them with extent 1", default=False)
    y: Value = result()

    def infer(self) -> TensorType:
        type = reduced_type(self, self.x.type, self.axes, self.keep_dims)
        return type.with_elem(self.declared_elem(self.x.type.elem))

    def verify(self) -> None:
        if is_quantized(self):
            count = self._count()
            self.require(count <= MAX_SUMMANDS, f"adds {count} elements, more than an int32 sum can hold")
            require_multipliers(self, [mean_multiplier(*self._quants(), count)])

    def _count(self) -> int:
        return math.prod(self.x.type.shape[axis] for axis in self.axes)

    def _quants(self) -> tuple[QType, QType]:
        return quant_of(self, self.x), quant_of(self, self.y)

    def reference(self) -> Reference:
        return Reference(semantics.mean_float, dict(self.attrs))

    def expand(self, b: Builder) -> Value | None:
        if not is_quantized(self):
            return None
        x, y = self._quants()
        offset = -x.zero_point * self._count()
        types = self.y.type.with_elem(DType.I32)
        total = b.add(IntSum(storage(b, self.x), **self.attrs, offset=offset, types=types, name=self.y.name))
        return requantize(b, self, total, [mean_multiplier(x, y, self._count())])


@define_op("nn.sum", Trait.PURE, Trait.WINDOW)
class Sum(Op):
    """y = sum of x over `axes`."""

    x: Value = operand("f32")
    axes: tuple[int, ...] = attr("which axes are summed")
    keep_dims: bool = attr("leave them with extent 1", default=False)
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(self.x.type.elem == DType.F32, f"works on f32, not {self.x.type}")
        return reduced_type(self, self.x.type, self.axes, self.keep_dims)

    def reference(self) -> Reference:
        return Reference(semantics.sum_float, dict(self.attrs))


MAX_CLASSES = 4095
"""How many exponentials a sum in Q12.19 can hold."""


@define_op("nn.softmax", Trait.PURE)
class Softmax(Op):
    """y = exp(beta * x) / sum of exp(beta * x) along the last axis, C of an image (`reference/softmax.h`)."""

    x: Value = operand("f32 or int8")
    beta: float = attr("a float32", default=1.0)
    y: Value = result("if int8, of scale 1/256 and zero point -128")

    def infer(self) -> TensorType:
        self.require(bool(self.x.type.shape), "needs an axis")
        return self.x.type.with_elem(self.declared_elem(self.x.type.elem))

    def canonical_layouts(self) -> tuple[str, ...] | None:
        return ("NHWC", "NHWC") if self.x.type.layout else None

    def verify(self) -> None:
        self.require(math.isfinite(self.beta), f"has the factor {self.beta}")
        if is_quantized(self):
            x, y = quant_of(self, self.x), quant_of(self, self.y)
            fixed = (y.scale, y.zero_point) == (1 / 256, -128)
            self.require(fixed, f"needs a result of scale 1/256 and zero point -128, not {self.y.type}")
            _, exponent = softmax_multiplier(x, self.beta) if self.beta > 0 else (0, 0)
            self.require(exponent > 0, f"has a factor too small for fixed point: {self.beta} * {x.scale}")
            classes = self.x.type.size("C") if self.x.type.layout else self.x.type.shape[-1]
            self.require(classes <= MAX_CLASSES, f"adds {classes} exponentials, more than {MAX_CLASSES}")

    def reference(self) -> Reference:
        return Reference(semantics.softmax_float, {"beta": self.beta})

    def expand(self, b: Builder) -> Value | None:
        if not is_quantized(self):
            return None
        name = self.y.name
        table = b.const(exp_table(quant_of(self, self.x), self.beta), f"{name}_exp" if name else "")
        types = self.y.type.with_elem(DType.I8)
        scale = quant_of(self, self.x).scale * self.beta
        return typed(b, b.add(IntSoftmax(storage(b, self.x), table, scale=scale, types=types, name=name)), self.y.type)


@define_op("nn.log_softmax", Trait.PURE)
class LogSoftmax(Op):
    """y = x - log(sum of exp(x)) along the last axis, C of an image."""

    x: Value = operand("f32")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(bool(self.x.type.shape), "needs an axis")
        self.require(self.x.type.elem == DType.F32, f"works on f32, not {self.x.type}")
        return self.x.type

    def canonical_layouts(self) -> tuple[str, ...] | None:
        return ("NHWC", "NHWC") if self.x.type.layout else None

    def reference(self) -> Reference:
        return Reference(semantics.log_softmax_float)
