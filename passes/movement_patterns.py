"""Patterns of `canonicalize` on ops that move elements or rename types."""

from __future__ import annotations

from tinyir.diagnostics import fuse_locs
from tinyir.ir.builder import Builder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.tensor import Concat, Pad, Reshape, Slice, Storage, Transpose, Typed
from tinyir.ir.rewrite import Pattern


def drop_cast_and_back(op: Op, b: Builder) -> Value | None:
    """storage(typed(x)) -> x, and typed(storage(x)) -> x where the type is that of x."""
    match op:
        case Storage(x=Value(owner=Typed(x=x))) | Typed(x=Value(owner=Storage(x=x))) if x.type == op.type:
            return x
    return None


def drop_identity(op: Op, b: Builder) -> Value | None:
    """A reshape to the same type, a transpose that moves no axis, a pad of nothing, a slice of everything, a concat of
    one -> the operand."""
    match op:
        case Reshape(x=x) | Concat(xs=(x,)) if x.type == op.type:
            return x
        case Transpose(x=x, perm=perm) if perm == tuple(range(len(perm))) and x.type == op.type:
            return x
        case Pad(x=x) | Slice(x=x) if x.type == op.type and _keeps_order(op):
            return x
    return None


def _keeps_order(op: Op) -> bool:
    """Whether a pad or slice that keeps every extent keeps every element in place: it does not run backwards."""
    return not isinstance(op, Slice) or all(n == 1 or step > 0 for n, step in zip(op.size, op.stride, strict=True))


def merge_reshapes(op: Op, b: Builder) -> Value | None:
    """reshape(reshape(x)) -> reshape(x)"""
    match op:
        case Reshape(x=Value(owner=Reshape(x=x) as inner)):
            return b.add(Reshape(x, shape=op.shape, types=op.type, loc=fuse_locs([inner.loc, op.loc])))
    return None


def merge_transposes(op: Op, b: Builder) -> Value | None:
    """transpose(transpose(x)) -> transpose(x), with the layout of the outer one"""
    match op:
        case Transpose(x=Value(owner=Transpose(x=x, perm=inner_perm) as inner), perm=perm):
            both = tuple(inner_perm[p] for p in perm)
            return b.add(Transpose(x, perm=both, types=op.type, loc=fuse_locs([inner.loc, op.loc])))
    return None


def reshape_for_transpose(op: Op, b: Builder) -> Value | None:
    """transpose(x) -> reshape(x), where only axes of extent 1 change places: the bytes stay as they are"""
    match op:
        case Transpose(x=x, perm=perm):
            moved = [axis for axis in perm if x.type.shape[axis] != 1]
            if moved == sorted(moved) and (x.type.quant is None or not x.type.quant.per_axis):
                return b.add(Reshape(x, shape=op.type.shape, types=op.type))
    return None


def merge_pads(op: Op, b: Builder) -> Value | None:
    """pad(pad(x)) of one value -> pad(x)"""
    match op:
        case Pad(x=Value(owner=Pad(x=x, pads=inner_pads) as inner), pads=pads, value=value) if value == inner.value:
            both = tuple((i[0] + o[0], i[1] + o[1]) for i, o in zip(inner_pads, pads, strict=True))
            return b.add(Pad(x, pads=both, value=value, loc=fuse_locs([inner.loc, op.loc])))
    return None


def merge_slices(op: Op, b: Builder) -> Value | None:
    """slice(slice(x)) -> slice(x)"""
    match op:
        case Slice(x=Value(owner=Slice(x=x) as inner)):
            axes = list(zip(inner.begin, inner.stride, op.begin, op.stride, strict=True))
            return b.add(
                Slice(
                    x,
                    begin=tuple(first + step * begin for first, step, begin, _ in axes),
                    size=op.size,
                    stride=tuple(step * stride for _, step, _, stride in axes),
                    loc=fuse_locs([inner.loc, op.loc]),
                )
            )
    return None


MOVEMENT_PATTERNS: list[Pattern] = [
    drop_cast_and_back,
    drop_identity,
    merge_reshapes,
    merge_transposes,
    reshape_for_transpose,
    merge_pads,
    merge_slices,
]
