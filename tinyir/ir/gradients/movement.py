"""Gradients of ops that move elements."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.grad_window import ResizeNearestGradient
from tinyir.ir.ops.tensor import Broadcast, Concat, Pad, Reshape, ResizeNearest, Slice, Transpose


@gradient.register
def _(op: Reshape, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [b.add(Reshape(g, shape=op.x.type.shape, types=op.x.type.with_elem(g.type.elem)))]


@gradient.register
def _(op: Broadcast, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [b.sum_to(g, op.x.type)]


@gradient.register
def _(op: Transpose, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g, transposed back"""
    back = tuple(op.perm.index(axis) for axis in range(len(op.perm)))
    return [b.add(Transpose(g, perm=back, types=op.x.type.with_elem(g.type.elem)))]


@gradient.register
def _(op: Pad, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g without the margins"""
    shape = op.x.type.shape
    return [b.add(Slice(g, begin=tuple(before for before, _ in op.pads), size=shape, stride=(1,) * len(shape)))]


@gradient.register
def _(op: Concat, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """to each operand its part of g"""
    parts: list[Value | None] = []
    place = 0
    for x, wanted in zip(op.xs, wants, strict=True):
        begin = tuple(place if axis == op.axis else 0 for axis in range(len(x.type.shape)))
        part = Slice(g, begin=begin, size=x.type.shape, stride=(1,) * len(begin)) if wanted else None
        parts.append(b.add(part) if part is not None else None)
        place += x.type.shape[op.axis]
    return parts


@gradient.register
def _(op: ResizeNearest, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """to each element the sum over its copies"""
    x = op.x.type.with_elem(g.type.elem)
    corners, centers = op.align_corners, op.half_pixel_centers
    size = (x.size("H"), x.size("W"))
    return [b.add(ResizeNearestGradient(g, size=size, align_corners=corners, half_pixel_centers=centers, types=x))]


@gradient.register
def _(op: Slice, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g where it was taken from, 0 around and between: an axis that was read backwards is turned, zeros are put behind
    the elements of one that was read in steps, then margins around all"""
    backwards = [step < 0 for step in op.stride]
    if any(backwards):
        begin = tuple(n - 1 if turned else 0 for n, turned in zip(op.size, backwards, strict=True))
        turn = tuple(-1 if turned else 1 for turned in backwards)
        g = b.add(Slice(g, begin=begin, size=op.size, stride=turn))
    steps = tuple(abs(step) if n > 1 else 1 for step, n in zip(op.stride, op.size, strict=True))
    for axis, step in enumerate(steps):
        g = _spread(b, g, axis, step)
    lowest = [min(first, first + (n - 1) * step) for first, n, step in zip(op.begin, op.size, op.stride, strict=True)]
    x = op.x.type
    behind = [total - first - n for total, first, n in zip(x.shape, lowest, g.type.shape, strict=True)]
    if g.type.layout != x.layout:
        g = b.add(Reshape(g, shape=g.type.shape, types=g.type.with_shape(g.type.shape, x.layout)))
    return [b.add(Pad(g, pads=tuple(zip(lowest, behind, strict=True))))]


def _spread(b: Backward, g: Value, axis: int, step: int) -> Value:
    """step - 1 zeros between any two elements of an axis."""
    if step == 1:
        return g
    shape = g.type.shape
    apart = b.add(Reshape(g, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :])))
    pads = tuple((0, step - 1 if i == axis + 1 else 0) for i in range(len(shape) + 1))
    spread = (*shape[:axis], shape[axis] * step, *shape[axis + 1 :])
    g = b.add(Reshape(b.add(Pad(apart, pads=pads)), shape=spread))
    size = (*shape[:axis], (shape[axis] - 1) * step + 1, *shape[axis + 1 :])
    return b.add(Slice(g, begin=(0,) * len(size), size=size, stride=(1,) * len(size)))
