"""Gradients of convolutions as plain nests.

What a pixel of x gets back comes from the windows that read it. With a stride of s only every s-th window along an axis
has a tap on it, and which taps those are depends on the pixel's place modulo s: each such phase is a nest of its own,
without a test for divisibility.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyir.ir.core import Op
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.types import DType, TensorType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.ir import F32, I32, Bin, Body, Cast, Cond, Const, Expr
from tinyir.loops.lower.context import Lowering, by_letter, const_of, nest, ordered
from tinyir.loops.lower.contraction import Finish, accumulate, padding_guards, widened, window_index

Loops = list[tuple[str, int]]


@dataclass(frozen=True)
class _Phase:
    """The pixels `first`, `first + step`, ... of one axis, `count` of them; the taps `tap`, `tap + tap_step`, ...,
    `taps` of them, that windows read them with; and which windows: that of the first pixel and the first tap, less
    `window_step` for each tap, plus one for each pixel."""

    first: int
    step: int
    count: int
    tap: int
    tap_step: int
    taps: int
    window: int
    window_step: int


def _phases(size: int, kernel: int, stride: int, dilation: int, before: int) -> list[_Phase]:
    """The phases of an axis of x. A pixel at h is read by the window p with the tap k where p * stride + k * dilation
    - before = h."""
    common = math.gcd(stride, dilation)
    tap_step, window_step = stride // common, dilation // common
    phases = []
    for first in range(min(stride, size)):
        count = -(-(size - first) // stride)
        fits = [k for k in range(min(tap_step, kernel)) if (first + before - k * dilation) % stride == 0]
        tap = fits[0] if fits else 0
        taps = -(-(kernel - tap) // tap_step) if fits else 0
        window = (first + before - tap * dilation) // stride
        phases.append(_Phase(first, stride, count, tap, tap_step, taps, window, window_step))
    return phases


def _pixels(low: Lowering, phase: _Phase, hint: str) -> tuple[Affine, Affine, Loops]:
    """The place of a pixel of the phase, its number, and the loop over them."""
    number, loop = low.axis(hint, phase.count)
    return number * phase.step + phase.first, number, loop


def _taps(low: Lowering, phase: _Phase, hint: str, pixel: Affine) -> tuple[Affine, Affine, Loops]:
    """A tap of the phase, the window that reads the pixel with the number `pixel` with it, and the loop over taps."""
    number, loop = low.axis(hint, phase.taps)
    window = pixel - number * phase.window_step + phase.window
    return number * phase.tap_step + phase.tap, window, loop


def lower_conv_input(low: Lowering, op: Op, finish: Finish) -> Body:
    """What a convolution, depthwise or not, hands back to its input: one nest for each pair of phases."""
    assert isinstance(op, (Conv2DInput, DepthwiseInput))
    kernel = (op.w.type.size("H"), op.w.type.size("W"))
    rows, columns = (
        _phases(op.size[i], kernel[i], op.stride[i], op.dilation[i], op.pad[i][0]) for i in range(len(op.size))
    )
    body: Body = ()
    for row in rows:
        for column in columns:
            body += _phase_nest(low, op, finish, row, column)
    return body


def _phase_nest(low: Lowering, op: Conv2DInput | DepthwiseInput, finish: Finish, row: _Phase, column: _Phase) -> Body:
    g, w, dx = op.g.type, op.w.type, op.type
    batch, batch_loop = low.axis("n", dx.size("N"))
    channel, channel_loop = low.axis("c", dx.size("C"))
    h, row_number, row_loop = _pixels(low, row, "h")
    v, column_number, column_loop = _pixels(low, column, "w")
    loops = _in_order(dx, {"N": batch_loop, "H": row_loop, "W": column_loop, "C": channel_loop})
    point = ordered(dx, {"N": batch, "H": h, "W": v, "C": channel})
    if row.taps == 0 or column.taps == 0:  # no window reads these pixels
        return nest(loops, finish(point, const_of(0, F32)))
    kh, p, kh_loop = _taps(low, row, "kh", row_number)
    kw, q, kw_loop = _taps(low, column, "kw", column_number)
    filters = w.size("O") // (1 if isinstance(op, Conv2DInput) else dx.size("C"))
    filter, filter_loop = low.axis("o", filters)
    tap = {"H": kh, "W": kw, "I": channel, "O": filter}
    if isinstance(op, DepthwiseInput):
        tap["O"] = channel * filters + filter
    read = low.load(op.g, ordered(g, {"N": batch, "H": p, "W": q, "C": tap["O"]}))
    term: Expr = Bin("*", read, widened(low.load(op.w, ordered(w, tap)), F32))
    taps = [*kh_loop, *kw_loop, *filter_loop]
    guards = (Guard(p, g.size("H")), Guard(q, g.size("W")))
    extents = dict([*loops, *taps])
    guards = tuple(guard for guard in guards if not guard.decide(extents))
    if guards:
        term = Cond(guards, term, const_of(0, F32))
    body, acc = accumulate(low, const_of(0, F32), taps, term)
    return nest(loops, (*body, *finish(point, acc)))


def _in_order(type: TensorType, loops: dict[str, Loops]) -> Loops:
    """Loops by letter in the order of the type's axes."""
    return [loop for letter in type.layout for loop in loops[letter]]


def lower_conv_weight(low: Lowering, op: Op, finish: Finish) -> Body:
    """What a convolution, depthwise or not, hands back to its weights: sums over the pixels of g."""
    assert isinstance(op, (Conv2DWeight, DepthwiseWeight))
    g, x, dw = op.g.type, op.x.type, op.type
    point, loops = low.space(dw)
    at = by_letter(dw, point)
    if isinstance(op, DepthwiseWeight):
        channels, multiplier = x.size("C"), g.size("C") // x.size("C")
        at, loops = _split_filter(low, at, loops, channels, multiplier)
        point = ordered(dw, at)
    batch, batch_loop = low.axis("n", g.size("N"))
    p, p_loop = low.axis("p", g.size("H"))
    q, q_loop = low.axis("q", g.size("W"))
    index = {
        "N": batch,
        "H": window_index(p, at["H"], op.stride[0], op.dilation[0], op.pad[0][0]),
        "W": window_index(q, at["W"], op.stride[1], op.dilation[1], op.pad[1][0]),
        "C": at["I"],
    }
    read = _centred(low.load(op.x, ordered(x, index)), op.zero_point)
    guards = padding_guards(index, {"H": x.size("H"), "W": x.size("W")}, op.pad)
    if guards:
        read = Cond(guards, read, const_of(0, F32))
    term = Bin("*", low.load(op.g, ordered(g, {"N": batch, "H": p, "W": q, "C": at["O"]})), read)
    body, acc = accumulate(low, const_of(0, F32), [*batch_loop, *p_loop, *q_loop], term)
    return nest(loops, (*body, *finish(point, acc)))


def _centred(x: Expr, zero_point: int) -> Expr:
    """x less its zero point, as f32."""
    if x.ty.dtype is DType.F32:
        return x
    wide = Cast(x, I32)
    return Cast(Bin("-", wide, Const(zero_point)) if zero_point else wide, F32)


def _split_filter(
    low: Lowering, at: dict[str, Affine], loops: Loops, channels: int, multiplier: int
) -> tuple[dict[str, Affine], Loops]:
    """The loop over filters as one over channels ("I") and one over the filters of each."""
    if multiplier == 1 or channels == 1:
        return {**at, "I": at["O"] if multiplier == 1 else Affine()}, loops
    channel, outer = low.axis("c", channels)
    filter, inner = low.axis("m", multiplier)
    place = next(i for i, (var, _) in enumerate(loops) if var in at["O"].vars)
    loops = [*loops[:place], *outer, *inner, *loops[place + 1 :]]
    return {**at, "I": channel, "O": channel * multiplier + filter}, loops
