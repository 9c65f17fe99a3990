"""Facts about kernels that follow exactly from their loads and stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinyir.loops.affine import Affine, flatten
from tinyir.loops.ir import (
    Body,
    Expr,
    For,
    Gather,
    If,
    Kernel,
    Let,
    Load,
    Local,
    Set,
    Stmt,
    Store,
    Var,
    exprs_of,
    subexprs,
    walk,
)


def extents_of(kernel_or_body: Kernel | Body) -> dict[str, int]:
    """The extent of every loop by its variable."""
    body = kernel_or_body.body if isinstance(kernel_or_body, Kernel) else kernel_or_body
    return {stmt.var: stmt.extent for stmt in walk(body) if isinstance(stmt, For)}


@dataclass(frozen=True)
class Access:
    """One load or store in the text of a kernel: which elements (row-major, `lanes` of them from `at`), and when.

    `time` is affine in the loop variables too: a later execution of any statement has a larger value. `loops` are the
    variables of the enclosing loops. `at` is None for a table lookup, which may read any element.
    """

    buffer: str
    at: Affine | None
    lanes: int
    time: Affine
    loops: tuple[str, ...]
    is_store: bool


def accesses(kernel: Kernel) -> list[Access]:
    """Every load and store of the kernel. The loads of a statement come before its store in time."""
    shapes = {p.name: p.shape for p in kernel.params}
    return list(_accesses(kernel.body, Affine(), (), shapes))


def _accesses(
    body: Body, time: Affine, loops: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[Access]:
    for stmt in body:
        match stmt:
            case For(var=var, body=inner):
                inside = time + Affine.of(var) * duration(inner)
                yield from _accesses(inner, inside, (*loops, var), shapes)
            case If(body=inner, orelse=orelse):
                yield from _accesses(inner, time, loops, shapes)
                yield from _accesses(orelse, time + duration(inner), loops, shapes)
            case _:
                yield from _loads(stmt, time, loops, shapes)
                if isinstance(stmt, Store):
                    at = flatten(stmt.index, shapes[stmt.buffer])
                    yield Access(stmt.buffer, at, stmt.value.ty.lanes, time + 1, loops, True)
        time = time + duration((stmt,))


def _loads(stmt: Stmt, time: Affine, loops: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Access]:
    for expr in exprs_of(stmt):
        for sub in subexprs(expr):
            if isinstance(sub, Load):
                yield Access(sub.buffer, flatten(sub.index, shapes[sub.buffer]), sub.ty.lanes, time, loops, False)
            elif isinstance(sub, Gather):
                yield Access(sub.buffer, None, 1, time, loops, False)


def duration(body: Body) -> int:
    """How many time steps a body takes: two for a plain statement (its loads, its store)."""
    total = 0
    for stmt in body:
        match stmt:
            case For(extent=extent, body=inner):
                total += extent * duration(inner)
            case If(body=inner, orelse=orelse):
                total += duration(inner) + duration(orelse)
            case _:
                total += 2
    return total


def stored_buffers(body: Body) -> frozenset[str]:
    return frozenset(stmt.buffer for stmt in walk(body) if isinstance(stmt, Store))


def loaded_buffers(body: Body) -> frozenset[str]:
    return frozenset(
        sub.buffer
        for stmt in walk(body)
        for expr in exprs_of(stmt)
        for sub in subexprs(expr)
        if isinstance(sub, (Load, Gather))
    )


def free_locals(body: Body) -> frozenset[str]:
    """Locals that a body uses or sets but does not declare."""
    declared = {stmt.name for stmt in walk(body) if isinstance(stmt, (Let, Var))}
    used = {stmt.name for stmt in walk(body) if isinstance(stmt, Set)}
    used |= {sub.name for expr in _exprs(body) for sub in subexprs(expr) if isinstance(sub, Local)}
    return frozenset(used - declared)


def _exprs(body: Body) -> Iterator[Expr]:
    for stmt in walk(body):
        yield from exprs_of(stmt)


def assigned_locals(body: Body) -> frozenset[str]:
    """Locals declared outside that the body gives new values."""
    declared = {stmt.name for stmt in walk(body) if isinstance(stmt, (Let, Var))}
    return frozenset(stmt.name for stmt in walk(body) if isinstance(stmt, Set)) - declared


def why_not_parallel(loop: For, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Why the iterations of a loop may not be run in any order or together; empty when they may.

    They may when no iteration changes a local of the outside, and no element stored in one iteration is touched in
    another: every access to a stored buffer moves with the loop by a step no smaller than what one iteration spans.
    """
    carried = assigned_locals(loop.body)
    if carried:
        return f"`{loop.var}` carries the local `{sorted(carried)[0]}` from one iteration to the next"
    inner = extents_of(loop.body)
    for buffer in sorted(stored_buffers(loop.body)):
        indices = list(_indices(loop.body, buffer))
        if not any(_separated([index[d] for index in indices], loop.var, inner) for d in range(len(shapes[buffer]))):
            return f"iterations of `{loop.var}` may touch the same element of `{buffer}`"
    return ""


def _indices(body: Body, buffer: str) -> Iterator[tuple[Affine, ...]]:
    """The index of every load from and store to a buffer, a word's last element included."""
    for stmt in walk(body):
        found: list[tuple[tuple[Affine, ...], int]] = []
        if isinstance(stmt, Store) and stmt.buffer == buffer:
            found.append((stmt.index, stmt.value.ty.lanes))
        for expr in exprs_of(stmt):
            found += [(s.index, s.ty.lanes) for s in subexprs(expr) if isinstance(s, Load) and s.buffer == buffer]
        for index, lanes in found:
            yield index
            if lanes > 1:
                yield (*index[:-1], index[-1] + (lanes - 1))


def _separated(parts: list[Affine], var: str, inner: Mapping[str, int]) -> bool:
    """Whether one dimension's indices keep iterations of `var` apart: all have the same coefficient of `var` and of
    the outer variables, and the rest spans less than that coefficient."""
    step = parts[0].coef(var)
    outer = {v: c for v, c in parts[0].terms if v not in inner and v != var}
    if step == 0 or any(p.coef(var) != step for p in parts):
        return False
    if any({v: c for v, c in p.terms if v not in inner and v != var} != outer for p in parts):
        return False
    spans = [Affine.build({v: c for v, c in p.terms if v in inner}, p.const).range(inner) for p in parts]
    return max(hi for _, hi in spans) - min(lo for lo, _ in spans) < abs(step)
