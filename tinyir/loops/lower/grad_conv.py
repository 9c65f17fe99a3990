"""Gradients of convolutions as plain nests."""

from __future__ import annotations

from tinyir.ir.core import Op
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.ir import I32, Bin, Body, Cond, Expr
from tinyir.loops.lower.backwards import Axis, PixelNest, pixel_nests
from tinyir.loops.lower.context import Lowering, by_letter, const_of, nest, ordered
from tinyir.loops.lower.contraction import Finish, accumulate, centred, padding_guards, sum_ty, widened, window_index

Loops = list[tuple[str, int]]


def lower_conv_input(low: Lowering, op: Op, finish: Finish) -> Body:
    """What a convolution, depthwise or not, hands back to its input."""
    assert isinstance(op, (Conv2DInput, DepthwiseInput))
    g, w, dx = op.g.type, op.w.type, op.type
    rows, columns = (
        Axis(op.size[i], g.size(letter), w.size(letter), op.stride[i], op.dilation[i], op.pad[i][0])
        for i, letter in enumerate("HW")
    )
    body: Body = ()
    exact = op.type.elem is DType.I32  # in whatever order
    for pixels in pixel_nests(low, dx, rows, columns, flipped=exact):
        body += nest(pixels.loops, _pixel_sum(low, op, finish, pixels))
    return body


def _pixel_sum(low: Lowering, op: Conv2DInput | DepthwiseInput, finish: Finish, at: PixelNest) -> Body:
    """One pixel: a sum over the taps that windows read it with."""
    ty = sum_ty(op)
    zero = const_of(0, ty)
    if not at.read:
        return finish(at.point, zero)
    w = op.w.type
    filters = w.size("O") // (1 if isinstance(op, Conv2DInput) else op.type.size("C"))
    filter, loop = low.axis("o", filters)
    if isinstance(op, DepthwiseInput):
        filter = at.channel * filters + filter
    loaded = low.load(op.w, ordered(w, {"H": at.kh, "W": at.kw, "I": at.channel, "O": filter}))
    weight = widened(loaded, ty)
    read = low.load(op.g, ordered(op.g.type, {"N": at.batch, "H": at.p, "W": at.q, "C": filter}))
    if at.guards and (w.elem is DType.I8 or isinstance(op, DepthwiseInput)):
        # A product with 0 adds nothing, unless the weight is infinite: g can be copied with its margins.
        term: Expr = Bin("*", widened(Cond(at.guards, read, const_of(0, read.ty)), ty), weight)
    else:
        term = Bin("*", widened(read, ty), weight)
        term = Cond(at.guards, term, zero) if at.guards else term
    body, acc = accumulate(low, zero, [*at.taps, *loop], term)
    return (*body, *finish(at.point, acc))


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
    ty = sum_ty(op)
    read = low.load(op.x, ordered(x, index))
    guards = padding_guards(index, {"H": x.size("H"), "W": x.size("W")}, op.pad)
    if guards and ty == I32:  # so that int8 can be copied with its margins
        read = centred(Cond(guards, read, const_of(op.zero_point, read.ty)), op.zero_point, ty)
    else:
        read = centred(read, op.zero_point, ty)
        read = Cond(guards, read, const_of(0, ty)) if guards else read
    handed = low.load(op.g, ordered(g, {"N": batch, "H": p, "W": q, "C": at["O"]}))
    term = Bin("*", widened(handed, ty), read)
    body, acc = accumulate(low, const_of(0, ty), [*batch_loop, *p_loop, *q_loop], term)
    return nest(loops, (*body, *finish(point, acc)))


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
