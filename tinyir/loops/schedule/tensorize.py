"""Primitives that turn loops into instructions: words of lanes instead of elements.

A loop of two iterations that adds products becomes an SMLAD; one that copies becomes a store of a word. Each operand
must be a pair that some instruction can fetch; before the loop is replaced, every lane of what the instructions fetch
is compared with what the loop reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.analysis import extents_of, loaded_buffers
from tinyir.loops.instrs import MACF, MACF_AFTER, PKHBT, PKHTB, SMLAD, SXTB16, SXTB16_ROR8
from tinyir.loops.ir import (
    F32,
    I8X4,
    I16,
    I16X2,
    I32,
    Bin,
    Body,
    Call,
    Cast,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Local,
    Set,
    Stmt,
    Store,
)
from tinyir.loops.schedule.core import find, param_of, primitive, refuse, replace_loop
from tinyir.loops.schedule.data import is_gathered
from tinyir.loops.schedule.tidy import stored_elements
from tinyir.loops.walk import map_exprs, map_stmts, substitute


@primitive
def tensorize(kernel: Kernel, var: str, around: str = "") -> Kernel:
    """for l in 2 { acc = acc + a[l] * b[l] }  ->  acc = smlad(pair of a, pair of b, acc)
    for l in 2 { y[.. + l] = i16(x[l]) }     ->  y[..] = pair of x

    A pair is two int16 side by side, or two int8 two apart (SXTB16 of their word, which keeps bytes 0 and 2, or with
    ROR #8 bytes 1 and 3), or any two int8 that PKHBT and PKHTB can take from such pairs: a half of a word, or the same
    byte of two words. Several sums in one loop become as many instructions. With `around`, a loop of two iterations
    whose body is the loop `var`, that loop is written out too: its iterations are the two halves of a word of four
    int8. Refuses everything else, and words that end outside of their row.
    """
    loop = find(kernel, var)
    outer = find(kernel, around) if around else None
    sums = all(isinstance(stmt, Set) for stmt in loop.body)
    if loop.extent != 2 or not (sums or len(loop.body) == 1):
        raise refuse(kernel, f"tensorize `{var}`", "it is no loop of two iterations over one statement, or sums")
    if outer is not None and (outer.extent != 2 or outer.body != (loop,)):
        raise refuse(kernel, f"tensorize `{var}`", f"`{around}` is no loop of two iterations over it")
    if outer is None:
        return replace_loop(kernel, var, lambda old: tuple(_word_statement(kernel, stmt, var) for stmt in old.body))
    halves = [substitute(loop.body, {around: Affine.of(i)}) for i in range(2)]
    words = tuple(_word_statement(kernel, stmt, var) for half in halves for stmt in half)
    return replace_loop(kernel, around, lambda _: words)


@primitive
def chain(kernel: Kernel) -> Kernel:
    """acc = acc + a * b  ->  acc = macf(a, b, acc), in f32 and everywhere: one instruction with the same two roundings.

    Of sums side by side each gets its product behind the one before it, macf_after(a, b, acc, before), so that they
    take turns as they are written. Refuses a kernel without such sums.
    """
    body = _chained(kernel.body)
    if body == kernel.body:
        raise refuse(kernel, "chain", "it sums no products of f32")
    return kernel.with_body(body)


def _chained(body: Body) -> Body:
    """A body with its sums chained; `before` is the last one in the run of plain statements."""
    result: list[Stmt] = []
    before: Local | None = None
    for stmt in body:
        match stmt:
            case For(body=inner):
                stmt, before = replace(stmt, body=_chained(inner)), None
            case If(body=inner, orelse=orelse):
                stmt, before = replace(stmt, body=_chained(inner), orelse=_chained(orelse)), None
            case Set(name=name, value=Bin(op="+", a=Local(name=same) as acc, b=Bin(op="*", a=a, b=b) as term)):
                if same == name and term.ty == F32:
                    first = before is None or before == acc
                    stmt = Set(name, MACF(a, b, acc) if first else MACF_AFTER(a, b, acc, cast(Local, before)))
                    before = acc
        result.append(stmt)
    return tuple(result)


def _word_statement(kernel: Kernel, stmt: Stmt, var: str) -> Stmt:
    """Both iterations over `var` of one statement, as one instruction."""
    match stmt:
        case Set(name=name, value=Bin(op="+", a=Local(name=same) as acc, b=Bin(op="*", a=a, b=b) as term)):
            if same == name and term.ty == I32:
                return Set(name, SMLAD(_pair(kernel, a, var), _pair(kernel, b, var), acc))
        case Store(buffer=buffer, index=index, value=value) if kernel.param(buffer).dtype is DType.I16:
            if not _is_along_rows(index, var, 1):
                raise refuse(kernel, f"tensorize `{var}`", f"it does not store side by side in `{buffer}`")
            if buffer in loaded_buffers((stmt,)):
                raise refuse(kernel, f"tensorize `{var}`", f"it reads `{buffer}`, which it stores")
            start = tuple(at.substitute({var: Affine()}) for at in index)
            return Store(buffer, start, _pair(kernel, value, var))
    raise refuse(kernel, f"tensorize `{var}`", "it neither adds products nor stores int16")


def _pair(kernel: Kernel, expr: Expr, var: str) -> Expr:
    """Both iterations' value of `expr` (a load, perhaps widened) as one word of two int16."""
    load = expr
    while isinstance(load, Cast) and load.ty.dtype in (DType.I16, DType.I32):
        load = load.value
    if not isinstance(load, Load) or load.ty.lanes != 1 or not load.index:
        raise refuse(kernel, f"tensorize `{var}`", "an operand is not read from a buffer")
    start = tuple(at.substitute({var: Affine()}) for at in load.index)
    word: Expr | None = None
    if load.ty.dtype is DType.I16 and expr.ty in (I16, I32) and _is_along_rows(load.index, var, 1):
        word = Load(load.buffer, start, I16X2)
    elif load.ty.dtype is DType.I8 and _is_along_rows(load.index, var, 2):
        byte = start[-1].const % 4
        base = (*start[:-1], start[-1] - byte)
        if byte in (0, 1) and _aligned(kernel, load.buffer, base) and _ends_inside(kernel, load.buffer, base):
            word = (SXTB16, SXTB16_ROR8)[byte](Load(load.buffer, base, I8X4))
    elif load.ty.dtype is DType.I8 and load.ty.lanes == 1:
        word = _picked(kernel, load, var)
    if word is None:
        step = load.index[-1].coef(var)
        raise refuse(
            kernel,
            f"tensorize `{var}`",
            f"no instruction fetches {load.ty} of `{load.buffer}` {step} apart from {start[-1]}",
        )
    for lane in range(2):
        want = tuple(at.substitute({var: Affine.of(lane)}) for at in load.index)
        assert lane_of(word, lane) == replace(load, index=want), f"lane {lane} of {word} is not {want}"
    return word


def _picked(kernel: Kernel, load: Load, var: str) -> Expr | None:
    """Both iterations' int8 from one aligned word or two, each unpacked by SXTB16, by one PKHBT or PKHTB."""
    halves: list[Call] = []
    places: list[int] = []
    for lane in range(2):
        index = tuple(at.substitute({var: Affine.of(lane)}) for at in load.index)
        byte = index[-1].const % 4
        base = (*index[:-1], index[-1] - byte)
        if not (_aligned(kernel, load.buffer, base) and _ends_inside(kernel, load.buffer, base)):
            return None
        halves.append((SXTB16, SXTB16_ROR8)[byte % 2](Load(load.buffer, base, I8X4)))
        places.append(byte // 2)
    return (PKHBT, PKHTB)[places[0]](*halves) if places[0] == places[1] else None


def _is_along_rows(index: tuple[Affine, ...], var: str, step: int) -> bool:
    """Whether an index moves with `var` by `step` along its last dimension, and along no other."""
    return bool(index) and index[-1].coef(var) == step and not any(at.coef(var) for at in index[:-1])


def _ends_inside(kernel: Kernel, buffer: str, index: tuple[Affine, ...]) -> bool:
    """Whether four elements from an index lie in one row, wherever the loops stand."""
    return index[-1].range(extents_of(kernel))[1] + 3 < kernel.param(buffer).shape[-1]


def _aligned(kernel: Kernel, buffer: str, index: tuple[Affine, ...]) -> bool:
    """Whether an int8 index falls on a word: every dimension's stride and the index itself are multiples of 4."""
    shape = kernel.param(buffer).shape
    stride = 1
    for at, extent in zip(reversed(index), reversed(shape), strict=True):
        if not (at * stride).multiple_of(4):
            return False
        stride *= extent
    return True


def lane_of(word: Expr, lane: int) -> Expr:
    """The scalar load that a lane of a fetched word stands for, by the meaning of the instructions."""
    match word:
        case Load(index=index, ty=ty):
            return Load(word.buffer, (*index[:-1], index[-1] + lane), replace(ty, lanes=1))
        case Call(name=name, args=(Load(ty=ty) as inner,)):
            places = {"sxtb16": SXTB16, "sxtb16_ror8": SXTB16_ROR8}[name].means(tuple(range(ty.lanes)))
            return lane_of(inner, places[lane])
        case Call(name="pkhbt" | "pkhtb" as name, args=(_, _) as words):
            return lane_of(words[lane], int(name == "pkhtb"))
    raise AssertionError(f"no lanes in {word}")


@primitive
def interleave(kernel: Kernel, buffer: str) -> Kernel:
    """Keep a scratch buffer of int16 in the order in which SXTB16 unpacks: of every four elements 0, 2, 1, 3.

    Every access must go through a loop pair that splits the last dimension by 4: index 4*x + 2*b + a, where `a` and `b`
    run over 2; it becomes 4*x + 2*a + b, so that the pair over `b` lies side by side.
    """
    param = param_of(kernel, buffer)
    if param.role != "scratch" or param.dtype is not DType.I16:
        raise refuse(kernel, f"interleave `{buffer}`", "it is no scratch of int16")
    if not param.shape or param.shape[-1] % 4 or is_gathered(kernel, buffer):
        raise refuse(kernel, f"interleave `{buffer}`", "its rows are not all words of four, or it is read as a table")
    extents = extents_of(kernel)

    def swapped(at: Affine) -> Affine:
        twos = [v for v, c in at.terms if c == 2 and extents[v] == 2]
        ones = [v for v, c in at.terms if c == 1 and extents[v] == 2]
        rest = at - (Affine.of(twos[0]) * 2 if twos else 0) - (ones[0] if ones else 0)
        if len(twos) != 1 or len(ones) != 1 or not rest.multiple_of(4):
            raise refuse(kernel, f"interleave `{buffer}`", f"the index {at} is not split by 4 into 2 and 2")
        return rest + Affine.of(ones[0]) * 2 + twos[0]

    def in_expr(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer == buffer:
            return replace(expr, index=(*expr.index[:-1], swapped(expr.index[-1])))
        return expr

    def in_stmt(stmt: Stmt) -> Body:
        if not isinstance(stmt, Store) or stmt.buffer != buffer:
            return (stmt,)
        if isinstance(stmt.value, Const):
            written = stored_elements((stmt,), kernel, buffer)
            if not np.array_equal(np.sort(_place(written)), written):
                raise refuse(
                    kernel, f"interleave `{buffer}`", f"the fill of {list(map(str, stmt.index))} splits a word"
                )
            return (stmt,)
        return (replace(stmt, index=(*stmt.index[:-1], swapped(stmt.index[-1]))),)

    return kernel.with_body(map_stmts(map_exprs(kernel.body, in_expr), in_stmt))


def _place(elements: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where elements go: of every four, the two in the middle change places."""
    return np.asarray(elements + np.array((0, 1, -1, 0))[elements % 4])
