"""Facts about kernels that follow exactly from their loads and stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinyir.loops.affine import Affine, flatten
from tinyir.loops.ir import Body, Expr, For, Gather, If, Kernel, Let, Load, Local, Set, Stmt, Store, Var
from tinyir.loops.walk import exprs_of, loops_of, subexprs, walk


def extents_of(kernel_or_body: Kernel | Body) -> dict[str, int]:
    """The extent of every loop by its variable."""
    body = kernel_or_body.body if isinstance(kernel_or_body, Kernel) else kernel_or_body
    return {var: loop.extent for var, loop in loops_of(body).items()}


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


def accesses(kernel: Kernel, *buffers: str) -> list[Access]:
    """Every load and store of the kernel, or of these buffers alone. The loads of a statement come before its store in
    time."""
    shapes = {p.name: p.shape for p in kernel.params if p.name in buffers or not buffers}
    found: list[Access] = []
    _trace(kernel.body, Affine(), (), shapes, found)
    return found


def _trace(
    body: Body, start: Affine, loops: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]], found: list[Access]
) -> int:
    """Append the accesses of a body that begins at the time `start`; how many time steps it takes (`duration`)."""
    passed = 0
    for stmt in body:
        match stmt:
            case For(var=var, extent=extent, body=inner):
                step = Affine.of(var) * duration(inner)
                passed += extent * _trace(inner, start + passed + step, (*loops, var), shapes, found)
            case If(body=inner, orelse=orelse):
                passed += _trace(inner, start + passed, loops, shapes, found)
                passed += _trace(orelse, start + passed, loops, shapes, found)
            case _:
                found += _loads(stmt, start, passed, loops, shapes)
                if isinstance(stmt, Store) and stmt.buffer in shapes:
                    at = flatten(stmt.index, shapes[stmt.buffer])
                    found.append(Access(stmt.buffer, at, stmt.value.ty.lanes, start + passed + 1, loops, True))
                passed += 2
    return passed


def _loads(
    stmt: Stmt, start: Affine, passed: int, loops: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[Access]:
    for expr in exprs_of(stmt):
        for sub in subexprs(expr):
            if isinstance(sub, Load) and sub.buffer in shapes:
                at = flatten(sub.index, shapes[sub.buffer])
                yield Access(sub.buffer, at, sub.ty.lanes, start + passed, loops, False)
            elif isinstance(sub, Gather) and sub.buffer in shapes:
                yield Access(sub.buffer, None, 1, start + passed, loops, False)


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
    return _why_not_apart({loop.var: loop.extent}, loop.body, shapes)


def why_not_permutable(nest: Sequence[For], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Why perfectly nested loops, given from the outside inwards, may not be run in any other order of loops; empty
    when they may: where iterations that depend on each other differ in one and the same loop alone, whose own order
    stays."""
    extents, body = {loop.var: loop.extent for loop in nest}, nest[-1].body
    reasons = []
    for serial in nest:
        others = {v: n for v, n in extents.items() if v != serial.var}
        reasons.append(_why_not_apart(others, (For(serial.var, serial.extent, body),), shapes))
    return "" if "" in reasons else reasons[-1]


def _why_not_apart(loops: Mapping[str, int], body: Body, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Why iterations over `loops`, each of which runs `body`, may depend on each other; empty when they cannot."""
    names = ", ".join(f"`{v}`" for v in loops)
    carried = assigned_locals(body)
    if carried:
        return f"{names} carries the local `{sorted(carried)[0]}` from one iteration to the next"
    tables = {e.buffer for expr in _exprs(body) for e in subexprs(expr) if isinstance(e, Gather)}
    for buffer in sorted(stored_buffers(body)):
        if buffer in tables:
            return f"any iteration of {names} may look up what another stores in `{buffer}`"
        if not _separated(list(_indices(body, buffer)), loops, extents_of(body)):
            return f"iterations of {names} may touch the same element of `{buffer}`"
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


def _separated(indices: list[tuple[Affine, ...]], loops: Mapping[str, int], inner: Mapping[str, int]) -> bool:
    """Whether accesses at these indices, in different iterations over `loops`, are to different elements.

    Two accesses to one element agree in every dimension. Where there the steepest loop moves the index by more than
    all the rest spans, they agree in that loop too, and the next steepest is compared with what is left.
    """
    apart: set[str] = set()
    while len(apart) < len(loops):
        agreed = {v for d in range(len(indices[0])) for v in _agreed([at[d] for at in indices], loops, inner, apart)}
        if agreed <= apart:
            return False
        apart |= agreed
    return True


def _agreed(parts: list[Affine], loops: Mapping[str, int], inner: Mapping[str, int], apart: set[str]) -> set[str]:
    """The loops in which two accesses agree that agree in one dimension, given that they agree in `apart`."""
    fixed = parts[0].part(v for v in parts[0].vars if v not in inner)
    if any(p.part(v for v in p.vars if v not in inner) != fixed for p in parts):
        return set()
    spans = [Affine.build({v: c for v, c in p.terms if v in inner}, p.const).range(inner) for p in parts]
    rest = max(hi for _, hi in spans) - min(lo for lo, _ in spans)
    steps = {v: abs(c) for v, c in fixed.terms if v in loops and v not in apart}
    found = set()
    for v in sorted(steps, key=lambda v: -steps[v]):
        if steps[v] <= rest + sum(steps[u] * (loops[u] - 1) for u in steps if u != v and u not in found):
            break
        found.add(v)
    return found
