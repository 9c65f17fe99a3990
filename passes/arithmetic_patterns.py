"""Patterns of `canonicalize` on clamps, conversions and tables, and the order of operands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyir.diagnostics import fuse_locs
from tinyir.ir import semantics
from tinyir.ir.builder import Builder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.int_elementwise import Add, Clamp, Dequantize, Lookup, Mul, Quantize, Requantize
from tinyir.ir.ops.int_window import IntAveragePool2D, IntMaxPool2D
from tinyir.ir.ops.nn_elementwise import Clamp as NnClamp
from tinyir.ir.ops.nn_elementwise import Mul as NnMul
from tinyir.ir.ops.nn_quantize import Dequantize as NnDequantize
from tinyir.ir.ops.nn_quantize import Quantize as NnQuantize
from tinyir.ir.rewrite import Pattern
from tinyir.ir.types import DType


def drop_full_clamp(op: Op, b: Builder) -> Value | None:
    """clamp(x) to all that the type of x holds -> x"""
    match op:
        case Clamp(x=x, lo=lo, hi=hi) if (lo, hi) == x.type.storage.limits and x.type == op.type:
            return x
        case NnClamp(x=x, lo=lo, hi=hi) if (lo, hi) == (-math.inf, math.inf) and x.type == op.type:
            return x
    return None


def merge_clamps(op: Op, b: Builder) -> Value | None:
    """clamp(clamp(x)) -> clamp(x), with the limits that both together give"""
    match op:
        case Clamp(x=Value(owner=Clamp() as inner)) | NnClamp(x=Value(owner=NnClamp() as inner)):
            lo, hi = _clamp_twice(inner.attrs, op.attrs)
            return b.add(type(op)(inner.x, lo=lo, hi=hi, types=op.type, loc=fuse_locs([inner.loc, op.loc])))
    return None


def _clamp_twice(first: dict[str, Any], then: dict[str, Any]) -> tuple[Any, Any]:
    """The limits of one clamp that does what two do: those of the first, clamped by the second."""
    lo, hi = then["lo"], then["hi"]
    return max(lo, min(first["lo"], hi)), max(lo, min(first["hi"], hi))


def clamp_in_producer(op: Op, b: Builder) -> Value | None:
    """clamp(requantize(acc)) -> requantize(acc) with tighter limits; likewise for pools. Skips a producer with another
    reader, which needs the values that were not clamped."""
    match op:
        case Clamp(x=Value(owner=Requantize() | IntAveragePool2D() | IntMaxPool2D() as producer) as x):
            if len(x.uses) != 1 or x.type != op.type:
                return None
            lo, hi = _clamp_twice(producer.attrs, op.attrs)
            attrs = {**producer.attrs, "lo": lo, "hi": hi}
            loc = fuse_locs([producer.loc, op.loc])
            return b.add(type(producer)(*producer.operands, types=op.type, loc=loc, **attrs))
    return None


def drop_dequantize_and_back(op: Op, b: Builder) -> Value | None:
    """quantize(dequantize(x)) with the same scale and zero point -> x"""
    match op:
        case Quantize(x=Value(owner=Dequantize(x=x) as inner)):
            if x.type == op.type and (op.scale, op.zero_point) == (inner.scale, inner.zero_point):
                return x
        case NnQuantize(x=Value(owner=NnDequantize(x=x))) if x.type == op.type:
            return x
    return None


def merge_lookups(op: Op, b: Builder) -> Value | None:
    """lookup(lookup(x, t), u) -> lookup(x, u after t), and clamp(lookup(x, t)) -> lookup(x, clamped t). Skips a lookup
    with another reader, which keeps both, and does not merge into a logistic, which knows the scale of its argument."""
    match op:
        case Lookup(x=Value(owner=Lookup() as inner), scale=0.0) | Clamp(x=Value(owner=Lookup() as inner)):
            first = inner.table.defining_op
            then = op.table.defining_op if isinstance(op, Lookup) else None
        case _:
            return None
    if not isinstance(first, Const) or len(inner.y.uses) != 1:
        return None
    if isinstance(then, Const):
        table = semantics.lookup(first.value, then.value)
    elif isinstance(op, Clamp):
        table = semantics.clamp(first.value, lo=op.lo, hi=op.hi)
    else:
        return None
    merged = b.const(table, inner.table.name)
    return b.add(Lookup(inner.x, merged, types=op.type, loc=fuse_locs([inner.loc, op.loc])))


def drop_identity_lookup(op: Op, b: Builder) -> Value | None:
    """lookup(x, [-128 ... 127]) -> x"""
    match op:
        case Lookup(x=x, table=Value(owner=Const(value=table))) if x.type == op.type:
            if np.array_equal(table, np.arange(-128, 128)):
                return x
    return None


def constant_to_the_right(op: Op, b: Builder) -> Value | None:
    """add(constant, x) -> add(x, constant), so that equal sums look equal; likewise for mul"""
    match op:
        case Add(a=first, b=second) | Mul(a=first, b=second):
            if isinstance(first.defining_op, Const) and not isinstance(second.defining_op, Const):
                return b.add(type(op)(second, first, types=op.type, loc=op.loc))
    return None


def drop_factor_of_one(op: Op, b: Builder) -> Value | None:
    """nn.mul(x, 1) on floats -> x"""
    match op:
        case NnMul(a=x, b=Value(owner=Const(value=ones))) if x.type == op.type and x.type.elem == DType.F32:
            return x if (ones == 1).all() else None
    return None


ARITHMETIC_PATTERNS: list[Pattern] = [
    drop_full_clamp,
    merge_clamps,
    clamp_in_producer,
    drop_dequantize_and_back,
    merge_lookups,
    drop_identity_lookup,
    constant_to_the_right,
    drop_factor_of_one,
]
