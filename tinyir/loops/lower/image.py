"""Camera frames and images: the same integers as `ir/semantics/image.py`."""

from __future__ import annotations

import numpy as np

from tinyir.ir.core import Op
from tinyir.ir.ops.image import Affine as AffineOp
from tinyir.ir.ops.image import AffineMatrix, Lookup, ResizeBilinear, Rgb565
from tinyir.ir.semantics.image import MATRIX_BITS, WEIGHT_BITS, bilinear_taps, fixed, rotations, shift_step
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, flatten
from tinyir.loops.ir import I32, Bin, Body, Cast, Const, Expr, Gather, Index, Load, Stmt, Ty
from tinyir.loops.lower.context import Lowering, Point, by_letter, nest
from tinyir.loops.lower.contraction import Finish
from tinyir.loops.lower.elementwise import element


def _sum(a: Expr, b: Expr) -> Expr:
    return Bin("+", a, b)


def _product(a: Expr, b: Expr | int) -> Expr:
    return Bin("*", a, b if not isinstance(b, int) else Const(b))


def _down(value: Expr, bits: int) -> Expr:
    return Bin(">>", value, Const(bits))


def _cut(a: Expr, b: Expr | int) -> Expr:
    """The product of two numbers in 1/2^14."""
    return _down(_product(a, b), MATRIX_BITS)


# -- element by element -----------------------------------------------------------------------------------------------


@element.register
def _(op: Rgb565, low: Lowering, point: Point) -> Expr:
    """Where a channel's bits are, and how far they go up and down to fill a byte, follows from its number, which is
    known where channels are written out: green, number 1, has six bits."""
    word: Expr = Bin("&", Cast(low.operand(op.x, point), I32), Const(0xFFFF))
    if op.swap_bytes:
        word = _sum(_down(word, 8), Bin("<<", Bin("&", word, Const(0xFF)), Const(8)))
    channel = Index(point[low.point_space.axis("C")])
    green = Bin("&", channel, Const(1))
    place = _sum(Bin("-", Const(11), _product(channel, 6)), _down(channel, 1))
    mask = Bin("-", Bin("<<", Const(32), green), Const(1))
    bits = Bin("&", Bin(">>", word, place), mask)
    filled = Bin(">>", bits, _sum(Const(2), _product(green, 2)))
    return Cast(_sum(Bin("<<", bits, Bin("-", Const(3), green)), filled), Ty(DType.U8))


@element.register
def _(op: Lookup, low: Lowering, point: Point) -> Expr:
    value: Expr = Cast(low.operand(op.x, point), I32)
    if op.table.type.shape[0] > 1:
        value = _sum(Index(point[low.point_space.axis("C")] * 256), value)
    return Gather(low.buffer(op.table), value, Ty(DType.I8))


# -- loops of their own -----------------------------------------------------------------------------------------------


def lower_image(low: Lowering, op: Op, finish: Finish) -> Body:
    """Bilinear resize, affine maps and their matrices."""
    match op:
        case ResizeBilinear():
            return _resize(low, op, finish)
        case AffineOp():
            return _affine(low, op, finish)
        case AffineMatrix():
            return _matrix(low, op, finish)
    raise op.fail("has no lowering to loops")


def _stride(op: ResizeBilinear | AffineOp, letter: str) -> int:
    """How far apart in memory neighbours along an axis of x are."""
    x = op.x.type
    return int(np.prod(x.shape[x.axis(letter) + 1 :]))


def _elsewhere(op: ResizeBilinear | AffineOp, out: dict[str, Affine]) -> Expr:
    """The place in x that the axes N and C of the result name."""
    x = op.x.type
    return Index(flatten(tuple(Affine() if a in "HW" else out[a] for a in x.layout), x.shape))


def _resize(low: Lowering, op: ResizeBilinear, finish: Finish) -> Body:
    """Offsets of the rows and columns around a place, and weights, come from tables made at compile time."""
    x = op.x.type
    point, loops = low.space(op.type)
    out = by_letter(op.type, point)
    body: list[Stmt] = []
    offsets: dict[str, tuple[Expr, Expr]] = {}
    weights: dict[str, Expr] = {}
    for letter, extent in zip("HW", op.size, strict=True):
        before, behind, weight = bilinear_taps(x.size(letter), extent)
        tables = [before * np.int32(_stride(op, letter)), behind * np.int32(_stride(op, letter)), weight]
        first, second, share = (
            low.let(
                f"{name}_{letter.lower()}", Load(low.table(t, f"{letter.lower()}_{name}"), (out[letter],), I32), body
            )
            for t, name in zip(tables, ("before", "behind", "weight"), strict=True)
        )
        offsets[letter] = (first, second)
        weights[letter] = share
    rest = _elsewhere(op, out)

    def between(first: Expr, second: Expr, letter: str, hint: str) -> Expr:
        """first * (2048 - weight) + second * weight, with one product."""
        first, second = low.let(f"{hint}_first", first, body), low.let(f"{hint}_second", second, body)
        return _sum(Bin("<<", first, Const(WEIGHT_BITS)), _product(Bin("-", second, first), weights[letter]))

    def row(at: Expr, hint: str) -> Expr:
        taps = [Gather(low.buffer(op.x), _sum(_sum(at, c), rest), Ty(x.storage)) for c in offsets["W"]]
        return between(Cast(taps[0], I32), Cast(taps[1], I32), "W", hint)

    rows = [row(at, hint) for at, hint in zip(offsets["H"], ("above", "below"), strict=True)]
    total = _sum(between(rows[0], rows[1], "H", "row"), Const(1 << (2 * WEIGHT_BITS - 1)))
    value = Cast(_down(total, 2 * WEIGHT_BITS), Ty(x.storage))
    return nest(loops, (*body, *finish(point, value)))


def _affine(low: Lowering, op: AffineOp, finish: Finish) -> Body:
    x = op.x.type
    point, loops = low.space(op.type)
    out = by_letter(op.type, point)
    body: list[Stmt] = []
    place = _elsewhere(op, out)
    for k, letter in ((0, "H"), (3, "W")):
        m = [low.load(op.m, (Affine.of(k + i),)) for i in range(3)]
        moved = _sum(_product(m[0], Index(out["H"])), _product(m[1], Index(out["W"])))
        at = _down(_sum(_sum(moved, m[2]), Const(1 << (MATRIX_BITS - 1))), MATRIX_BITS)
        inside = Bin("min", Bin("max", at, Const(0)), Const(x.size(letter) - 1))
        index = low.let({"H": "row", "W": "column"}[letter], inside, body)
        place = _sum(place, _product(index, _stride(op, letter)))
    return nest(loops, (*body, *finish(point, Gather(low.buffer(op.x), place, Ty(x.storage)))))


def _matrix(low: Lowering, op: AffineMatrix, finish: Finish) -> Body:
    body: list[Stmt] = []
    words = [low.let(f"word{i}", low.load(op.words, (Affine.of(i),)), body) for i in range(6)]
    u = [low.let(f"u{i}", _down(word, 17), body) for i, word in enumerate(words)]
    angle = low.let("angle", _sum(_down(u[0], 7), Const(128)), body)
    cos, sin = (
        low.let(hint, Gather(low.table(table, f"{hint}es"), angle, I32), body)
        for hint, table in zip(("cosin", "sin"), rotations(op.rotation), strict=True)
    )
    k = low.let("shear", _cut(u[1], fixed(op.shear)), body)
    zooms = [low.let(f"zoom{i}", _sum(Const(1 << MATRIX_BITS), _cut(u[2 + i], fixed(op.zoom))), body) for i in (0, 1)]
    one_or_minus = Bin("-", Const(1), Bin("<<", Bin("&", words[0], Const(1)), Const(1)))
    sheared = [(Bin("-", cos, _cut(sin, k)), Bin("-", Const(0), sin)), (_sum(sin, _cut(cos, k)), cos)]
    numbers: list[Expr] = []
    for axis, (down, across) in enumerate(sheared):
        by_row = low.let("by_row", _cut(down, zooms[0]), body)
        straight = _cut(across, zooms[1])
        by_column = low.let("by_column", _product(straight, one_or_minus) if op.flip else straight, body)
        moved = _down(_product(u[4 + axis], shift_step(op.shift, op.size[axis])), 8)
        turned = _down(_sum(_product(by_row, op.size[0] - 1), _product(by_column, op.size[1] - 1)), 1)
        centred = Bin("-", Const((op.size[axis] - 1) << (MATRIX_BITS - 1)), turned)
        numbers += [by_row, by_column, low.let("offset", _sum(centred, moved), body)]
    for i, number in enumerate(numbers):
        body += finish((Affine.of(i),), number)
    return tuple(body)
