"""What poolings and resizes hand back to their input."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.windows import Pads, Pair, pool_result
from tinyir.ir.types import DType, TensorType


@define_op("grad.max_pool", Trait.PURE, Trait.WINDOW)
class MaxPoolGradient(Op):
    """dx[n,h,w,c] = sum of g over the windows whose largest element is x[n,h,w,c], the first of equal ones (row by
    row). A window of NaN and -inf alone hands back nothing."""

    g: Value = operand("f32, axes N, H, W, C")
    x: Value = operand("f32 or i8, axes N, H, W, C")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right)); the margins do not count", default=((0, 0), (0, 0)))
    dx: Value = result("f32, axes N, H, W, C")

    def infer(self) -> TensorType:
        self.require(self.x.type.elem in (DType.F32, DType.I8), f"compares f32 or i8, not {self.x.type}")
        _check_windows(self, self.g, self.x.type, self.kernel)
        return self.x.type.with_elem(DType.F32)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.max_pool_gradient, dict(self.attrs))


@define_op("grad.window_sum", Trait.PURE, Trait.WINDOW)
class WindowSum(Op):
    """dx[n,h,w,c] = sum of g over the windows that (h, w) lies in: what a sum over windows hands back."""

    g: Value = operand("f32, axes N, H, W, C")
    size: Pair = attr("height and width of x")
    kernel: Pair = attr("window height and width")
    stride: Pair = attr("(vertical, horizontal)", default=(1, 1))
    pad: Pads = attr("((top, bottom), (left, right))", default=((0, 0), (0, 0)))
    dx: Value = result("f32, axes N, H, W, C")

    def infer(self) -> TensorType:
        x = _resized(self, self.g.type, self.size)
        _check_windows(self, self.g, x, self.kernel)
        return x

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.window_sum, dict(self.attrs))


@define_op("grad.resize_nearest", Trait.PURE, Trait.WINDOW)
class ResizeNearestGradient(Op):
    """dx[n,h,w,c] = sum of g over the pixels that tensor.resize_nearest copies x[n,h,w,c] to, row by row."""

    g: Value = operand("f32, axes N, H, W, C")
    size: Pair = attr("height and width of x")
    align_corners: bool = attr(default=False)
    half_pixel_centers: bool = attr(default=False)
    dx: Value = result("f32, axes N, H, W, C")

    def infer(self) -> TensorType:
        return _resized(self, self.g.type, self.size)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.resize_nearest_gradient, dict(self.attrs))


def _resized(op: Op, g: TensorType, size: Pair) -> TensorType:
    """The image type `g` with another height and width."""
    op.require(g.elem == DType.F32, f"needs an f32 gradient, not {g}")
    op.require(sorted(g.layout) == sorted("NHWC"), f"needs the axes N, H, W, C, not {g}")
    op.require(min(size) > 0, f"cannot give an image of {size[0]} x {size[1]}")
    declared = op.declared_type()
    layout = declared.layout if declared is not None and declared.layout else g.layout
    op.require(sorted(layout) == sorted("NHWC"), f"cannot give a result with the layout {layout}")
    extents = {"N": g.size("N"), "H": size[0], "W": size[1], "C": g.size("C")}
    return g.with_shape(tuple(extents[letter] for letter in layout), layout)


def _check_windows(op: Op, g: Value, x: TensorType, kernel: Pair) -> None:
    """Raise IRError unless `g` has one pixel for each window over `x`."""
    windows = pool_result(op, x, kernel, DType.F32)
    same = sorted(g.type.layout) == sorted("NHWC") and g.type.in_layout(windows.layout) == windows
    op.require(same, f"needs a gradient of {windows}, not {g.type}")
