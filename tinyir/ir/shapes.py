"""Shapes of results: broadcasting by axis name, and the extents of windows."""

from __future__ import annotations

from collections.abc import Sequence

from tinyir.ir.types import TensorType


def broadcast_axes(operand: TensorType, result: TensorType) -> tuple[int, ...]:
    """For each axis of `operand`, the axis of `result` it runs along.

    Axes are matched by their letters where both types have a layout (so a "C" vector fits NHWC and NCHW alike), else
    from the last axis backwards, as NumPy does. Raises ValueError where they do not fit.
    """
    if operand.layout and result.layout:
        axes = tuple(result.layout.index(letter) for letter in operand.layout)
    else:
        skipped = len(result.shape) - len(operand.shape)
        if skipped < 0:
            raise ValueError("more axes than the result")
        axes = tuple(range(skipped, len(result.shape)))
    for i, axis in enumerate(axes):
        if operand.shape[i] not in (1, result.shape[axis]):
            raise ValueError(f"extent {operand.shape[i]} does not broadcast to {result.shape[axis]}")
    return axes


def broadcast_shape(operands: Sequence[TensorType], layout: str | None = None) -> TensorType:
    """The type of an elementwise result, with the first operand's element type, in `layout` or that of the operand
    with the most axes. Raises ValueError where the shapes do not go together."""
    widest = max(operands, key=lambda t: len(t.shape))
    if layout and sorted(layout) == sorted(widest.layout):
        widest = widest.in_layout(layout)
    extents = [1] * len(widest.shape)
    for operand in operands:
        probe = widest.with_shape(tuple(max(operand.shape, default=1) for _ in extents), widest.layout)
        for i, axis in enumerate(_axes(operand, probe)):
            n = operand.shape[i]
            if n != 1 and extents[axis] not in (1, n):
                raise ValueError(f"shapes {operand.shape} and {widest.shape} do not broadcast")
            extents[axis] = max(extents[axis], n)
    return TensorType(tuple(extents), operands[0].elem, widest.layout)


def _axes(operand: TensorType, result: TensorType) -> tuple[int, ...]:
    if operand.layout and result.layout:
        return tuple(result.layout.index(letter) for letter in operand.layout)
    return tuple(range(len(result.shape) - len(operand.shape), len(result.shape)))


def window_extent(size: int, kernel: int, stride: int, dilation: int, pad: tuple[int, int]) -> int:
    """How many windows of `kernel` taps fit along an axis of `size` elements with `pad` added; 0 or less if none."""
    return (size + sum(pad) - (kernel - 1) * dilation - 1) // stride + 1


def same_pad(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TFLite's SAME padding (before, after) of one axis: ComputePaddingWithOffset in kernels/padding.h."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2
