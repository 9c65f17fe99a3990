"""Masks of bits: made a word at a time, and read a bit at a time."""

from __future__ import annotations

from math import prod

from tinyir.ir.core import Op
from tinyir.ir.ops.grad import WORD, Mask, Masked, mask_words
from tinyir.ir.types import TensorType
from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.instrs import INSIDE_BIT, MASKEDF
from tinyir.loops.ir import I32, Bin, Body, Cast, Cond, Const, Expr, Gather, Index, Local, Set, Var
from tinyir.loops.lower.context import Lowering, Point, by_letter, nest
from tinyir.loops.lower.contraction import Finish
from tinyir.loops.lower.elementwise import element


def lower_mask(low: Lowering, op: Op, finish: Finish) -> Body:
    """For each row and each word of it: the bits of up to 32 elements."""
    assert isinstance(op, Mask)
    type = op.y.type.in_layout("NHWC") if "C" in op.y.type.layout else op.y.type
    rows, row_loops = low.space(type.with_shape(type.shape[:-1]), "row_")
    extent = type.shape[-1]
    words = -(-extent // WORD)
    word, word_loop = low.axis("word", words)
    bit, bit_loop = low.axis("bit", min(WORD, extent))
    point = (*rows, word * WORD + bit)
    if type.layout:
        at = dict(zip("NHWC", point, strict=True))
        point = tuple(at[letter] for letter in op.y.type.layout)
    y = Cast(low.load(op.y, point), I32)
    term: Expr = INSIDE_BIT(y, Const(op.lo), Const(op.hi), Index(bit))
    if extent % WORD and words > 1:
        term = Cond((Guard(word * WORD + bit, extent),), term, Const(0))
    acc = Local(low.unique("bits"), I32)
    place = flatten((*rows, word), (*type.shape[:-1], words))
    add = nest(bit_loop, (Set(acc.name, Bin("+", acc, term)),))
    return nest([*row_loops, *word_loop], (Var(acc.name, I32, Const(0)), *add, *finish((place,), acc)))


@element.register
def _(op: Masked, low: Lowering, point: Point) -> Expr:
    row, channel, extents = _row_of(op.g.type, point)
    words = mask_words(op.g.type) // prod(extents)
    first = flatten((*row, Affine()), (*extents, words))
    word = Bin("+", Index(first), Bin(">>", Index(channel), Const(WORD.bit_length() - 1)))
    return MASKEDF(low.operand(op.g, point), Gather(low.buffer(op.bits), word, I32), Index(channel))


def _row_of(type: TensorType, point: Point) -> tuple[Point, Affine, tuple[int, ...]]:
    """The row of an element, its place in it, and the extents of the rows."""
    if "C" not in type.layout:
        return point[:-1], point[-1], type.shape[:-1]
    at = by_letter(type, point)
    return tuple(at[a] for a in "NHW"), at["C"], tuple(type.size(a) for a in "NHW")
