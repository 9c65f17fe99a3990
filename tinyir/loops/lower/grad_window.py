"""Gradients of poolings and resizes as plain nests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op
from tinyir.ir.ops.grad_window import MaxPoolGradient, ResizeNearestGradient, WindowSum
from tinyir.ir.semantics.movement import nearest_indices
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.instrs import MATCHF, MAXF, PICKF
from tinyir.loops.ir import (
    F32,
    I32,
    Bin,
    Body,
    Cast,
    Cond,
    Const,
    Expr,
    Gather,
    Index,
    Load,
    Local,
    Set,
    Store,
    Ty,
    Var,
)
from tinyir.loops.lower.backwards import Axis, PixelNest, pixel_nests
from tinyir.loops.lower.context import Lowering, by_letter, const_of, nest, ordered
from tinyir.loops.lower.contraction import Finish, accumulate, padding_guards, widened, window_index


def _axes(op: MaxPoolGradient | WindowSum) -> tuple[Axis, Axis]:
    g, dx = op.g.type, op.type
    rows, columns = (
        Axis(dx.size(letter), g.size(letter), op.kernel[i], op.stride[i], 1, op.pad[i][0])
        for i, letter in enumerate("HW")
    )
    return rows, columns


def _pixel_sum(low: Lowering, at: PixelNest, term: Expr, finish: Finish) -> Body:
    zero = const_of(0, F32)
    body, acc = accumulate(low, zero, at.taps, Cond(at.guards, term, zero) if at.guards else term)
    return (*body, *finish(at.point, acc))


def lower_window_sum(low: Lowering, op: Op, finish: Finish) -> Body:
    """Each pixel: the sum of g over the windows it lies in."""
    assert isinstance(op, WindowSum)
    body: Body = ()
    for at in pixel_nests(low, op.type, *_axes(op)):
        read = low.load(op.g, ordered(op.g.type, {"N": at.batch, "H": at.p, "W": at.q, "C": at.channel}))
        inner = _pixel_sum(low, at, read, finish) if at.read else finish(at.point, const_of(0, F32))
        body += nest(at.loops, inner)
    return body


def lower_max_pool_gradient(low: Lowering, op: Op, finish: Finish) -> Body:
    """First, in scratch, which element of each window is the largest; then each pixel's sum over the windows in which
    it is that."""
    assert isinstance(op, MaxPoolGradient)
    g = op.g.type
    small = math.prod(op.kernel) <= DType.I8.limits[1]
    number = Ty(DType.I8 if small else DType.I32)
    largest = low.scratch("largest", number.dtype, g.shape)
    body = _find_largest(low, op, largest, number)
    for at in pixel_nests(low, op.type, *_axes(op)):
        if not at.read:
            body += nest(at.loops, finish(at.point, const_of(0, F32)))
            continue
        index = ordered(g, {"N": at.batch, "H": at.p, "W": at.q, "C": at.channel})
        tap = Index(at.kh * op.kernel[1] + at.kw)
        term = MATCHF(widened(Load(largest, index, number), I32), tap, low.load(op.g, index))
        body += nest(at.loops, _pixel_sum(low, at, term, finish))
    return body


def _find_largest(low: Lowering, op: MaxPoolGradient, largest: str, number: Ty) -> Body:
    """The number of the first largest tap of each window, -1 where no tap is larger than -inf."""
    x, g = op.x.type, op.g.type
    point, loops = low.space(g, "at_")
    out = by_letter(g, point)
    kh, rows = low.axis("kh", op.kernel[0])
    kw, columns = low.axis("kw", op.kernel[1])
    index = {
        **out,
        "H": window_index(out["H"], kh, op.stride[0], 1, op.pad[0][0]),
        "W": window_index(out["W"], kw, op.stride[1], 1, op.pad[1][0]),
    }
    read = widened(low.load(op.x, ordered(x, index)), F32)
    lowest = const_of(-math.inf, F32)
    guards: tuple[Guard, ...] = padding_guards(index, {"H": x.size("H"), "W": x.size("W")}, op.pad)
    best, first = Local(low.unique("best"), F32), Local(low.unique("first"), I32)
    tap: Expr = Cond(guards, read, lowest) if guards else read
    body: Body = (
        Var(best.name, F32, lowest),
        Var(first.name, I32, Const(-1)),
        *nest(
            [*rows, *columns],
            (
                Set(first.name, PICKF(tap, best, Index(kh * op.kernel[1] + kw), first)),
                Set(best.name, MAXF(best, tap)),
            ),
        ),
        Store(largest, point, Cast(first, number) if number != I32 else first),
    )
    return nest(loops, body)


def lower_resize_nearest_gradient(low: Lowering, op: Op, finish: Finish) -> Body:
    """Each pixel: the sum over its copies, whose places are in tables made at compile time."""
    assert isinstance(op, ResizeNearestGradient)
    g, dx = op.g.type, op.type
    point, loops = low.space(dx)
    at = by_letter(dx, point)
    places: list[Expr] = []
    taps: list[tuple[str, int]] = []
    for letter, hint in (("H", "row"), ("W", "column")):
        sources = nearest_indices(
            dx.size(letter),
            g.size(letter),
            align_corners=op.align_corners,
            half_pixel_centers=op.half_pixel_centers,
        )
        stride = math.prod(g.shape[g.axis(letter) + 1 :])
        copies = _copies(sources, dx.size(letter), stride)
        copy, loop = low.axis(hint, copies.shape[1])
        places.append(Load(low.table(copies, f"{hint}s"), (at[letter], copy), I32))
        taps += loop
    rest = flatten(tuple(Affine() if a in "HW" else at[a] for a in g.layout), g.shape)
    # A pixel with fewer copies than others has -1 for those it lacks; the element read in their place does not count.
    missing = Bin("min", Bin("min", places[0], places[1]), Const(0))
    safe = [Bin("max", place, Const(0)) for place in places]
    read = Gather(low.buffer(op.g), Bin("+", Bin("+", safe[0], safe[1]), Index(rest)), F32)
    body, acc = accumulate(low, const_of(0, F32), taps, MATCHF(missing, Const(0), read))
    return nest(loops, (*body, *finish(point, acc)))


def _copies(sources: list[int], size: int, stride: int) -> npt.NDArray[Any]:
    """For each of `size` elements the offsets of its copies, -1 beyond them."""
    of = [[stride * k for k, source in enumerate(sources) if source == i] for i in range(size)]
    most = max(1, max(map(len, of)))
    return np.array([[*places, *[-1] * (most - len(places))] for places in of], np.int32)
