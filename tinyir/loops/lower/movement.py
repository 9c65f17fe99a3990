"""Ops that move elements: loops over the result, each element read from where it comes from."""

from __future__ import annotations

import numpy as np

from tinyir.ir.core import Op
from tinyir.ir.ops.tensor import Concat, Pad, ResizeNearest, Slice, Transpose
from tinyir.ir.semantics.movement import nearest_indices
from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.ir import I32, Bin, Body, Cond, Expr, Gather, Index, Load, Ty
from tinyir.loops.lower.context import Lowering, const_of, nest
from tinyir.loops.lower.contraction import Finish


def lower_movement(low: Lowering, op: Op, finish: Finish) -> Body:
    """Transpose, pad, slice, concat and nearest-neighbour resize."""
    match op:
        case Transpose():
            return _transpose(low, op, finish)
        case Pad():
            return _pad(low, op, finish)
        case Slice():
            return _slice(low, op, finish)
        case Concat():
            return _concat(low, op, finish)
        case ResizeNearest():
            return _resize(low, op, finish)
    raise op.fail("has no lowering to loops")


def _transpose(low: Lowering, op: Transpose, finish: Finish) -> Body:
    point, loops = low.space(op.type)
    source = [Affine()] * len(point)
    for axis, origin in enumerate(op.perm):
        source[origin] = point[axis]
    return nest(loops, finish(point, low.load(op.x, tuple(source))))


def _pad(low: Lowering, op: Pad, finish: Finish) -> Body:
    point, loops = low.space(op.type)
    source = tuple(at - before for at, (before, _) in zip(point, op.pads, strict=True))
    guards = tuple(
        Guard(at, extent) for at, extent, margins in zip(source, op.x.type.shape, op.pads, strict=True) if any(margins)
    )
    read = low.load(op.x, source)
    value = Cond(guards, read, const_of(op.value, read.ty)) if guards else read
    return nest(loops, finish(point, value))


def _slice(low: Lowering, op: Slice, finish: Finish) -> Body:
    point, loops = low.space(op.type)
    source = tuple(at * step + first for at, step, first in zip(point, op.stride, op.begin, strict=True))
    return nest(loops, finish(point, low.load(op.x, source)))


def _concat(low: Lowering, op: Concat, finish: Finish) -> Body:
    """One nest for each operand, writing where it belongs."""
    body: Body = ()
    offset = 0
    for x in op.xs:
        point, loops = low.space(x.type)
        target = tuple(at + offset if axis == op.axis else at for axis, at in enumerate(point))
        body += nest(loops, finish(target, low.load(x, point)))
        offset += x.type.shape[op.axis]
    return body


def _resize(low: Lowering, op: ResizeNearest, finish: Finish) -> Body:
    """Rows and columns are read through tables of offsets, made at compile time."""
    x = op.x.type
    point, loops = low.space(op.type)
    out = dict(zip(op.type.layout, point, strict=True))
    base: Expr | None = None
    for letter, extent in zip("HW", op.size, strict=True):
        indices = nearest_indices(
            x.size(letter), extent, align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers
        )
        stride = int(np.prod(x.shape[x.axis(letter) + 1 :]))
        table = low.table(np.array(indices, np.int32) * np.int32(stride), f"{letter.lower()}_offset")
        offset = Load(table, (out[letter],), I32)
        base = offset if base is None else Bin("+", base, offset)
    assert base is not None
    rest = flatten(tuple(Affine() if a in "HW" else out[a] for a in x.layout), x.shape)
    source = Bin("+", base, Index(rest))
    return nest(loops, finish(point, Gather(low.buffer(op.x), source, Ty(x.storage))))
