"""Convolutions and dense layers as plain nests: for each output element an accumulator and loops over the taps."""

from __future__ import annotations

from collections.abc import Callable

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.int_contraction import FoldZeroPoint, output_axis
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.ir import I32, Bin, Body, Cast, Cond, Const, Expr, Local, Set, Stmt, Ty, Var
from tinyir.loops.lower.context import Lowering, Point, by_letter, const_of, nest, ordered

Finish = Callable[[Point, Expr], Body]
"""Completes one element of the anchor's result: what follows in the group, and the stores."""


def widened(expr: Expr, ty: Ty) -> Expr:
    """`expr` in the accumulator's type."""
    return expr if expr.ty == ty else Cast(expr, ty)


def centred(x: Expr, zero_point: int, ty: Ty) -> Expr:
    """x - zero_point in the accumulator's type."""
    return widened(Bin("-", widened(x, I32), Const(zero_point)) if zero_point else x, ty)


def sum_ty(op: Op) -> Ty:
    """The accumulator's type."""
    return Ty(DType.F32 if op.type.elem is DType.F32 else DType.I32)


def accumulate(low: Lowering, init: Expr, loops: list[tuple[str, int]], term: Expr) -> tuple[Body, Local]:
    """`acc = init; for loops: acc = acc + term`."""
    name = low.unique("acc")
    acc = Local(name, init.ty)
    step = Set(name, Bin("+", acc, term))
    return (Var(name, init.ty, init), *nest(loops, (step,))), acc


def window_index(out: Affine, tap: Affine, stride: int, dilation: int, before: int) -> Affine:
    """Where tap `tap` of window `out` reads."""
    return out * stride + tap * dilation - before


def padding_guards(
    index: dict[str, Affine], extents: dict[str, int], pad: tuple[tuple[int, int], ...]
) -> tuple[Guard, ...]:
    """Guards for the axes that have padding: the index must lie inside the tensor."""
    return tuple(Guard(index[axis], extents[axis]) for axis, margins in zip("HW", pad, strict=True) if any(margins))


def lower_conv(low: Lowering, op: Op, finish: Finish) -> Body:
    """Convolution and depthwise convolution, integer and float."""
    x, w, y = op.operands[0], op.operands[1], op.result
    depthwise = "I" not in w.type.layout
    point, loops = low.space(y.type)
    out = by_letter(y.type, point)
    taps, tap_loops = _tap_loops(low, w, depthwise)
    stride, dilation, pad = op.attrs["stride"], op.attrs["dilation"], op.attrs["pad"]
    multiplier = w.type.size("O") // x.type.size("C")
    channel = taps.get("I", Affine()) + max(op.attrs.get("first_channel", 0), 0)
    if depthwise:
        channel, loops, out, point = _input_channel(low, y, loops, point, multiplier)
    index = {
        "N": out["N"],
        "H": window_index(out["H"], taps["H"], stride[0], dilation[0], pad[0][0]),
        "W": window_index(out["W"], taps["W"], stride[1], dilation[1], pad[1][0]),
        "C": channel,
    }
    acc_ty = sum_ty(op)
    read = low.load(x, ordered(x.type, index))
    guards = padding_guards(index, {"H": x.type.size("H"), "W": x.type.size("W")}, pad)
    if guards:
        read = Cond(guards, read, const_of(op.attrs.get("pad_value", 0), read.ty))
    weight = low.load(w, ordered(w.type, {**taps, "O": out["C"]}))
    term = Bin("*", widened(read, acc_ty), widened(weight, acc_ty))
    body, result = _with_bias(low, op, out["C"], acc_ty, tap_loops, term)
    return nest(loops, (*body, *finish(point, result)))


def _tap_loops(low: Lowering, w: Value, depthwise: bool) -> tuple[dict[str, Affine], list[tuple[str, int]]]:
    """Loops over kh, kw and, unless depthwise, the input channels, in the order of the sum."""
    taps, loops = {}, []
    for letter, hint in (("H", "kh"), ("W", "kw"), ("I", "ic")):
        if letter == "I" and depthwise:
            continue
        taps[letter], loop = low.axis(hint, w.type.size(letter))
        loops += loop
    return taps, loops


def _input_channel(
    low: Lowering, y: Value, loops: list[tuple[str, int]], point: Point, multiplier: int
) -> tuple[Affine, list[tuple[str, int]], dict[str, Affine], Point]:
    """The input channel of a depthwise convolution. With a multiplier the loop over output channels becomes two, unless
    there is one input channel: then it is like that of any convolution."""
    out = by_letter(y.type, point)
    if multiplier in (1, y.type.size("C")):
        return (out["C"] if multiplier == 1 else Affine()), loops, out, point
    channels = y.type.size("C") // multiplier
    index, outer = low.axis("ic", channels)
    copy, inner = low.axis("m", multiplier)
    position = next(i for i, (var, _) in enumerate(loops) if var in out["C"].vars)
    loops = [*loops[:position], *outer, *inner, *loops[position + 1 :]]
    out["C"] = index * multiplier + copy
    return index, loops, out, ordered(y.type, out)


def _with_bias(
    low: Lowering, op: Op, channel: Affine, acc_ty: Ty, loops: list[tuple[str, int]], term: Expr
) -> tuple[Body, Expr]:
    """The accumulation. An integer bias is where the sum starts; a float bias is added at its end, as TFLite does."""
    bias = low.load(op.operands[2], (channel,)) if len(op.operands) > 2 else None
    if bias is None or acc_ty.dtype is DType.F32:
        body, acc = accumulate(low, const_of(0, acc_ty), loops, term)
        return body, acc if bias is None else Bin("+", acc, bias)
    return accumulate(low, bias, loops, term)


def lower_dense(low: Lowering, op: Op, finish: Finish) -> Body:
    """y[n, o] = bias[o] + sum over i of x[n, first_channel + i] * w[o, i]."""
    x, w, y = op.operands[0], op.operands[1], op.result
    row, row_loop = low.axis("n", y.type.shape[0])
    out, out_loop = low.axis("o", y.type.shape[1])
    tap, tap_loop = low.axis("i", w.type.shape[1])
    column = tap + max(op.attrs.get("first_channel", 0), 0)
    acc_ty = sum_ty(op)
    term = Bin("*", widened(low.load(x, (row, column)), acc_ty), widened(low.load(w, (out, tap)), acc_ty))
    body, result = _with_bias(low, op, out, acc_ty, tap_loop, term)
    return nest([*row_loop, *out_loop], (*body, *finish((row, out), result)))


def lower_dense_input(low: Lowering, op: Op, finish: Finish) -> Body:
    """dx[n, i] = sum over o of g[n, o] * w[o, i]."""
    g, w = op.operands
    point, loops = low.space(op.type)
    tap, tap_loop = low.axis("o", w.type.shape[0])
    ty = sum_ty(op)
    term = Bin("*", widened(low.load(g, (point[0], tap)), ty), widened(low.load(w, (tap, point[1])), ty))
    body, acc = accumulate(low, const_of(0, ty), tap_loop, term)
    return nest(loops, (*body, *finish(point, acc)))


def lower_dense_weight(low: Lowering, op: Op, finish: Finish) -> Body:
    """dw[o, i] = sum over n of g[n, o] * x[n, i]."""
    g, x = op.operands
    point, loops = low.space(op.type)
    tap, tap_loop = low.axis("n", g.type.shape[0])
    ty = sum_ty(op)
    read = centred(low.load(x, (tap, point[1])), op.attrs["zero_point"], ty)
    term = Bin("*", widened(low.load(g, (tap, point[0])), ty), read)
    body, acc = accumulate(low, const_of(0, ty), tap_loop, term)
    return nest(loops, (*body, *finish(point, acc)))


def lower_fold_zero_point(low: Lowering, op: Op, finish: Finish) -> Body:
    """y[o] = bias[o] - zero_point * (sum of the weights of o)."""
    assert isinstance(op, FoldZeroPoint)
    axis = output_axis(op.w.type)
    out, out_loop = low.axis("o", op.type.shape[0])
    index, taps = low.space(op.w.type, "k")
    at = tuple(out if i == axis else tap for i, tap in enumerate(index))
    own = [loop for loop in taps if loop[0] not in index[axis].vars]
    body, acc = accumulate(low, const_of(0, I32), own, widened(low.load(op.w, at), I32))
    folded = Bin("*", acc, const_of(-op.zero_point, I32))
    total = folded if op.bias is None else Bin("+", low.load(op.bias, (out,)), folded)
    return nest(out_loop, (*body, *finish((out,), total)))


def bind(acc: Expr, hint: str, low: Lowering) -> tuple[list[Stmt], Expr]:
    """`acc` as a local, with the statement that binds it."""
    into: list[Stmt] = []
    return into, low.let(hint, acc, into)
