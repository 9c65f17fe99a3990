"""Integer pooling, sums over axes, and softmax."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.windows import Pads, Pair, pool_result
from tinyir.ir.types import DType, TensorType


@define_op("int.average_pool2d", Trait.PURE, Trait.WINDOW)
class IntAveragePool2D(Op):
    """y = clamp(round(sum over the window / elements of the window inside x)), ties away from zero."""

    x: Value = operand("i8, axes N, H, W, C")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); the margins do not count", default=((0, 0), (0, 0)))
    lo: int = attr("smallest result", default=-128)
    hi: int = attr("largest result", default=127)
    y: Value = result("i8, axes N, H, W, C")

    def infer(self) -> TensorType:
        return pool_result(self, self.x.type, self.kernel, self.x.type.elem)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.average_pool2d, dict(self.attrs))


@define_op("int.max_pool2d", Trait.PURE, Trait.WINDOW)
class IntMaxPool2D(Op):
    """y = clamp(largest element of the window inside x)."""

    x: Value = operand("i8, axes N, H, W, C")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); the margins do not count", default=((0, 0), (0, 0)))
    lo: int = attr("smallest result", default=-128)
    hi: int = attr("largest result", default=127)
    y: Value = result("i8, axes N, H, W, C")

    def infer(self) -> TensorType:
        return pool_result(self, self.x.type, self.kernel, self.x.type.elem)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.max_pool2d, dict(self.attrs))


def reduced_type(op: Op, x: TensorType, axes: tuple[int, ...], keep_dims: bool) -> TensorType:
    """The type of `x` with `axes` summed away (or kept with extent 1). Raises IRError for an axis x does not have."""
    op.require(
        len(set(axes)) == len(axes) and all(0 <= a < len(x.shape) for a in axes),
        f"cannot reduce the axes {list(axes)} of {x}",
    )
    if keep_dims:
        return x.with_shape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.layout)
    declared = op.declared_type()
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return x.with_shape(kept, declared.layout if declared is not None and len(declared.layout) == len(kept) else "")


@define_op("int.sum", Trait.PURE, Trait.WINDOW)
class IntSum(Op):
    """y = offset + sum of x over `axes`, in i32."""

    x: Value = operand("i8")
    axes: tuple[int, ...] = attr("which axes are summed")
    keep_dims: bool = attr("leave them with extent 1", default=False)
    offset: int = attr("minus the zero point times the number of summands, as a rule", default=0)
    y: Value = result("i32")

    def infer(self) -> TensorType:
        return reduced_type(self, self.x.type, self.axes, self.keep_dims).with_elem(DType.I32)

    def reference(self) -> Reference:
        return Reference(semantics.sum_axes, dict(self.attrs))


@define_op("int.softmax", Trait.PURE)
class IntSoftmax(Op):
    """Softmax along the last axis, C of an image, in gemmlowp's fixed point (TFLite `reference/softmax.h`).

    `exp_table[d]` is exp(-d * scale * beta) in Q31 for the distance d = max - x, and 0 where TFLite leaves the element
    out. The sum is kept in Q19; its reciprocal comes from three Newton steps.
    """

    x: Value = operand("i8")
    exp_table: Value = operand("i32, 256 elements")
    scale: float = attr("what one step of x adds to the exponent; exp_table says it rounded", default=1.0)
    y: Value = result("i8, scale 1/256, zero point -128")

    def infer(self) -> TensorType:
        self.require(self.exp_table.type.shape == (256,), f"needs a table of 256 elements, not {self.exp_table.type}")
        return self.x.type

    def canonical_layouts(self) -> tuple[str, ...] | None:
        return ("NHWC", "", "NHWC") if self.x.type.layout else None

    def reference(self) -> Reference:
        return Reference(semantics.softmax_q8)
