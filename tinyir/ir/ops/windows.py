"""Result types of the ops that slide a window over H and W. Axes go by name, so any layout will do."""

from __future__ import annotations

from tinyir.ir.core import Op
from tinyir.ir.shapes import window_extent
from tinyir.ir.types import ElemType, TensorType

Pair = tuple[int, int]
Pads = tuple[tuple[int, int], tuple[int, int]]


def conv_result(op: Op, x: TensorType, w: TensorType, elem: ElemType) -> TensorType:
    """The type of a convolution. Raises IRError where shapes, layouts and attributes do not go together."""
    _require_axes(op, x, "NHWC", "x")
    _require_axes(op, w, "OHWI", "w")
    op.require(x.size("C") == w.size("I"), f"has weights for {w.size('I')} input channels, x has {x.size('C')}")
    return _window_result(op, x, (w.size("H"), w.size("W")), w.size("O"), elem)


def depthwise_result(op: Op, x: TensorType, w: TensorType, elem: ElemType) -> TensorType:
    """The type of a depthwise convolution. Raises IRError where things do not go together."""
    _require_axes(op, x, "NHWC", "x")
    _require_axes(op, w, "HWO", "w")
    op.require(
        w.size("O") % x.size("C") == 0,
        f"has {w.size('O')} filters, no multiple of the {x.size('C')} input channels",
    )
    return _window_result(op, x, (w.size("H"), w.size("W")), w.size("O"), elem)


def pool_result(op: Op, x: TensorType, kernel: Pair, elem: ElemType) -> TensorType:
    """The type of a pooling. Raises IRError where things do not go together."""
    _require_axes(op, x, "NHWC", "x")
    inside = all(max(pair) < extent for pair, extent in zip(op.attrs["pad"], kernel, strict=True))
    op.require(inside, "has windows that lie in the margins alone")
    return _window_result(op, x, kernel, x.size("C"), elem)


def _require_axes(op: Op, type: TensorType, letters: str, name: str) -> None:
    op.require(
        sorted(type.layout) == sorted(letters),
        f"needs a layout with the axes {', '.join(letters)} for {name}, not {type}",
    )


def _window_result(op: Op, x: TensorType, kernel: Pair, channels: int, elem: ElemType) -> TensorType:
    stride, pad, dilation = op.attrs["stride"], op.attrs["pad"], op.attrs.get("dilation", (1, 1))
    op.require(min(*stride, *dilation, *kernel) > 0, "needs positive strides, dilations and kernel extents")
    op.require(min(*pad[0], *pad[1]) >= 0, "cannot take margins away")
    height = window_extent(x.size("H"), kernel[0], stride[0], dilation[0], pad[0])
    width = window_extent(x.size("W"), kernel[1], stride[1], dilation[1], pad[1])
    op.require(
        height > 0 and width > 0,
        f"has a window of {kernel[0]} x {kernel[1]}, larger than the padded image of {x}",
    )
    if len(op.operands) > 2:
        bias = op.operands[2].type
        op.require(bias.shape == (channels,), f"needs a bias of {channels} elements, not {bias}")
    declared = op.declared_type()
    layout = declared.layout if declared is not None and declared.layout else x.layout
    op.require(sorted(layout) == sorted("NHWC"), f"cannot give a result with the layout {layout}")
    result = TensorType((x.size("N"), height, width, channels), op.declared_elem(elem), "NHWC")
    return result.in_layout(layout)
