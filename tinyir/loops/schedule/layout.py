"""Primitives that lay private memory and constants out for words: permute, unflatten, pad_rows, fill, widen, ..."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from math import prod
from typing import cast

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.affine import flatten as flat_index
from tinyir.loops.analysis import extents_of
from tinyir.loops.instrs import PKHBT, PKHTB, SXTB16, SXTB16_ROR8
from tinyir.loops.ir import (
    I8,
    I8X4,
    I16,
    Body,
    Cast,
    Const,
    Expr,
    For,
    Kernel,
    Let,
    Load,
    Local,
    Packing,
    Param,
    Stmt,
    Store,
    Ty,
)
from tinyir.loops.schedule.core import find, fresh, names_of, param_of, primitive, refuse, replace_loop, require_new
from tinyir.loops.schedule.data import Index, is_gathered, reindexed, with_param
from tinyir.loops.walk import all_exprs, map_exprs, walk


@primitive
def permute(kernel: Kernel, buffer: str, *order: int) -> Kernel:
    """Another order of the dimensions of scratch: permute(s, 1, 0) makes s[i, j] s[j, i]."""
    param = _scratch_of_elements(kernel, buffer, "permute")
    if sorted(order) != list(range(len(param.shape))):
        raise refuse(kernel, f"permute `{buffer}`", f"{order} is no order of its {len(param.shape)} dimensions")
    kernel = with_param(kernel, replace(param, shape=tuple(param.shape[d] for d in order)))
    return reindexed(kernel, buffer, lambda index: tuple(index[d] for d in order))


@primitive
def pad_rows(kernel: Kernel, buffer: str, before: int, multiple: int) -> Kernel:
    """Room for `before` elements at the start of each row of scratch, and at the end until a row's length is a
    multiple of `multiple`. Nothing is stored there."""
    param = _scratch_of_elements(kernel, buffer, "pad the rows of")
    if before < 0 or multiple < 1 or not param.shape:
        raise refuse(kernel, f"pad the rows of `{buffer}`", f"by {before} to a multiple of {multiple}")
    length = -(-(param.shape[-1] + before) // multiple) * multiple
    kernel = with_param(kernel, replace(param, shape=(*param.shape[:-1], length)))
    return reindexed(kernel, buffer, lambda index: (*index[:-1], index[-1] + before))


def _scratch_of_elements(kernel: Kernel, buffer: str, what: str) -> Param:
    if param_of(kernel, buffer).role != "scratch" or is_gathered(kernel, buffer):
        raise refuse(kernel, f"{what} `{buffer}`", "it is no scratch, or read as a table")
    return _of_elements(kernel, buffer, what)


def _of_elements(kernel: Kernel, buffer: str, what: str) -> Param:
    param = param_of(kernel, buffer)
    if param.role == "const" or is_gathered(kernel, buffer):
        raise refuse(kernel, f"{what} `{buffer}`", "it is a constant, or read as a table")
    words = [e for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == buffer and e.ty.lanes > 1]
    if words or _stores_words(kernel.body, buffer):
        raise refuse(kernel, f"{what} `{buffer}`", "it is read or written by words")
    return param


def _stores_words(body: Body, buffer: str) -> bool:
    return any(isinstance(stmt, Store) and stmt.buffer == buffer and stmt.value.ty.lanes > 1 for stmt in walk(body))


@primitive
def unflatten(kernel: Kernel, buffer: str, *sizes: int) -> Kernel:
    """A buffer of one dimension gets several: of unflatten(s, 5, 3, 4), s[12*b + 4*i + k] becomes s[b, i, k].

    Refuses indices that the loops do not take apart in this way.
    """
    param = _of_elements(kernel, buffer, "unflatten")
    what = f"unflatten `{buffer}` to {', '.join(map(str, sizes))}"
    if len(param.shape) != 1 or not sizes or min(sizes) < 1 or prod(sizes) != param.shape[0]:
        raise refuse(kernel, what, f"its shape is {', '.join(map(str, param.shape))}")
    extents = extents_of(kernel)

    def apart(index: Index) -> Index:
        parts, rest = [], index[0]
        for stride in (prod(sizes[d + 1 :]) for d in range(len(sizes))):
            multiples = Affine(tuple((v, c) for v, c in rest.terms if c % stride == 0), rest.const // stride * stride)
            rest = rest - multiples
            lo, hi = rest.range(extents)
            if lo < 0 or hi >= stride:
                raise refuse(kernel, what, f"the index {index[0]} does not fall apart at {stride}")
            parts.append(Affine(tuple((v, c // stride) for v, c in multiples.terms), multiples.const // stride))
        return tuple(parts)

    return reindexed(with_param(kernel, replace(param, shape=sizes)), buffer, apart)


@primitive
def fill(kernel: Kernel, buffer: str, var: str) -> Kernel:
    """The loops at the start of a kernel that store one constant in parts of scratch as a loop `var` over all of it.

    for i { s[i] = 0 }; for j { s[4*j + 3] = 0 }; ..  ->  for var { s[var] = 0 }; ..

    What scratch holds means nothing before it is written, so the rest of it may hold the constant too.
    """
    param = param_of(kernel, buffer)
    require_new(kernel, var)
    starts = list(takewhile(lambda stmt: _filled_with(stmt, buffer) is not None, kernel.body))
    values = {_filled_with(stmt, buffer) for stmt in starts}
    if param.role != "scratch" or len(param.shape) != 1:
        raise refuse(kernel, f"fill `{buffer}`", "it is no scratch of one dimension")
    if len(values) != 1:
        raise refuse(kernel, f"fill `{buffer}`", f"it begins with {len(values)} constants")
    loop = For(var, param.shape[0], (Store(buffer, (Affine.of(var),), cast(Const, values.pop())),))
    return kernel.with_body((loop, *kernel.body[len(starts) :]))


def _filled_with(stmt: Stmt, buffer: str) -> Const | None:
    """The constant with which a statement fills a part of a buffer, if it does nothing else."""
    match stmt:
        case For(body=(inner,)):
            return _filled_with(inner, buffer)
        case Store(value=Const() as value) if stmt.buffer == buffer:
            return value
    return None


@primitive
def widen(kernel: Kernel, buffer: str, dtype: str) -> Kernel:
    """Keep a constant in a wider integer type, converted at compile time."""
    param = param_of(kernel, buffer)
    wide = next((t for t in DType if str(t) == dtype), None)
    old = Ty(param.dtype)
    if param.role != "const" or not param.dtype.is_integer:
        raise refuse(kernel, f"widen `{buffer}`", "it is no constant of integers")
    if wide is None or not wide.is_integer:
        raise refuse(kernel, f"widen `{buffer}` to {dtype}", "that is no type of integers")
    if wide.limits[0] > param.dtype.limits[0] or wide.limits[1] < param.dtype.limits[1] or is_gathered(kernel, buffer):
        raise refuse(kernel, f"widen `{buffer}` to {dtype}", f"not every {old} fits, or it is read as a table")

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer == buffer:
            if expr.ty.lanes > 1:
                raise refuse(kernel, f"widen `{buffer}`", "it is read by words")
            return Cast(replace(expr, ty=Ty(wide)), old)
        match expr:
            case Cast(value=Cast(value=Load(buffer=name) as load, ty=ty), ty=outer) if name == buffer and ty == old:
                return Cast(load, outer)
        return expr

    packing = replace(param.packing or Packing.identity(param.shape, param.shape), dtype=wide)
    kernel = kernel.with_body(map_exprs(kernel.body, visit))
    return with_param(kernel, replace(param, dtype=wide, packing=packing))


@primitive
def transpose(kernel: Kernel, pixel: str, channel: str) -> Kernel:
    """for p in 2 { for c in 4 { s[.., c, .., q + p] = i16(x[.., p, .., c]) } }  ->  two words of x, four of s.

    Words of four channels of two pixels become, by SXTB16 and PKHBT or PKHTB, words of two pixels of four channels.
    """
    outer, inner = find(kernel, pixel), find(kernel, channel)
    match outer, inner:
        case For(extent=2, body=(only,)), For(extent=4, body=(Store(value=Cast(value=Load() as load)) as store,)) if (
            only == inner
        ):
            pass
        case _:
            raise refuse(kernel, f"transpose `{pixel}` and `{channel}`", "they are no copy of two times four elements")
    _require_transposable(kernel, store, load, pixel, channel)
    taken = names_of(kernel)
    lets: list[Stmt] = []

    def bind(hint: str, value: Expr) -> Local:
        name = fresh(taken, hint)
        lets.append(Let(name, value))
        return Local(name, value.ty)

    def at(index: Index, p: int, c: int) -> Index:
        return tuple(i.substitute({pixel: Affine.of(p), channel: Affine.of(c)}) for i in index)

    words = [bind(f"{load.buffer}_{p}", Load(load.buffer, at(load.index, p, 0), I8X4)) for p in range(2)]
    even = [bind(f"even_{p}", SXTB16(words[p])) for p in range(2)]
    odd = [bind(f"odd_{p}", SXTB16_ROR8(words[p])) for p in range(2)]
    halves = [(PKHBT, even), (PKHBT, odd), (PKHTB, even), (PKHTB, odd)]
    stores = [Store(store.buffer, at(store.index, 0, c), pack(*pair)) for c, (pack, pair) in enumerate(halves)]
    return replace_loop(kernel, pixel, lambda _: (*lets, *stores))


def _require_transposable(kernel: Kernel, store: Store, load: Load, pixel: str, channel: str) -> None:
    """Raise ScheduleError unless a word of the image holds the four channels, and one of scratch the two pixels."""
    image, scratch = kernel.param(load.buffer), kernel.param(store.buffer)
    if not load.index or not store.index:
        raise refuse(kernel, f"transpose `{pixel}` and `{channel}`", "it copies one element")
    along = load.index[-1]
    good = (
        load.ty == I8
        and store.value.ty == I16
        and scratch.role == "scratch"
        and along.coef(channel) == 1
        and not any(i.coef(channel) for i in load.index[:-1])
        and along.coef(pixel) % 4 == 0
        and store.index[-1].coef(pixel) == 1
        and not any(i.coef(pixel) for i in store.index[:-1])
    )
    still = {pixel: Affine(), channel: Affine()}
    word = flat_index(load.index, image.shape).substitute(still)
    strides = flat_index(load.index, image.shape).coef(pixel)
    pair = flat_index(store.index, scratch.shape).substitute({pixel: Affine()})
    if not (good and word.multiple_of(4) and strides % 4 == 0 and pair.multiple_of(2)):
        raise refuse(kernel, f"transpose `{pixel}` and `{channel}`", "the copy is not between whole words")
