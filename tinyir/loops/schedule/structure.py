"""Primitives that change the shape of loops: split, reorder, tile, fuse, unroll, peel, jam."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.analysis import why_not_parallel, why_not_permutable
from tinyir.loops.ir import Bin, Body, Cond, For, If, Index, Kernel, Load, Local, Set, Stmt, Store
from tinyir.loops.schedule.core import (
    find,
    fresh,
    names_of,
    primitive,
    refuse,
    replace_loop,
    require_new,
    shapes_of,
)
from tinyir.loops.walk import all_exprs, locals_of, loops_of, rename_locals, subexprs, substitute, walk


@primitive
def split(kernel: Kernel, var: str, by: int, outer: str, inner: str) -> Kernel:
    """for i in n  ->  for outer in n/by { for inner in by }, with i = outer * by + inner. Refuses a remainder."""
    loop = find(kernel, var)
    if by < 1 or loop.extent % by:
        raise refuse(
            kernel, f"split `{var}` by {by}", f"{loop.extent} is no multiple of it; peel(`{var}`, ...) the rest first"
        )
    require_new(kernel, outer, inner)
    index = Affine.of(outer) * by + inner

    def rebuilt(old: For) -> Body:
        body = substitute(old.body, {var: index})
        return (For(outer, old.extent // by, (For(inner, by, body),)),)

    return replace_loop(kernel, var, rebuilt)


@primitive
def fuse(kernel: Kernel, outer: str, inner: str, name: str) -> Kernel:
    """for i in n { for j in m }  ->  for name in n*m, where every index uses i and j only as i * m + j."""
    loop = find(kernel, outer)
    nested = _only_child(kernel, loop, inner)
    require_new(kernel, name)
    extent = nested.extent
    for expr in affines_of(nested.body):
        if expr.coef(outer) != expr.coef(inner) * extent:
            raise refuse(
                kernel, f"fuse `{outer}` and `{inner}`", f"the index {expr} tells them apart; flatten it first"
            )
    zero = {outer: Affine(), inner: Affine.of(name)}
    return replace_loop(kernel, outer, lambda old: (For(name, old.extent * extent, substitute(nested.body, zero)),))


@primitive
def reorder(kernel: Kernel, *order: str) -> Kernel:
    """Perfectly nested loops in another order.

    Refuses loops with something between them, loops of which two carry something from one iteration to the next, and
    sums of floats, whose value depends on the order.
    """
    if not order:
        raise refuse(kernel, "reorder", "no loops are named")
    nest = _perfect_nest(kernel, order)
    body = nest[-1].body
    if [loop.var for loop in nest] == list(order):
        return kernel
    reason = why_not_permutable(nest, shapes_of(kernel))
    if reason and not _is_integer_reduction(body):
        raise refuse(kernel, f"reorder {', '.join(order)}", reason)
    by_var = {loop.var: loop for loop in nest}

    def rebuilt(_: For) -> Body:
        inside = body
        for var in reversed(order):
            inside = (For(var, by_var[var].extent, inside),)
        return inside

    return replace_loop(kernel, nest[0].var, rebuilt)


@primitive
def tile(kernel: Kernel, first: str, second: str, rows: int, columns: int) -> Kernel:
    """for i { for j }  ->  for i_o { for j_o { for i_i in rows { for j_i in columns } } }."""
    kernel = split(kernel, first, rows, f"{first}_o", f"{first}_i")
    kernel = split(kernel, second, columns, f"{second}_o", f"{second}_i")
    return reorder(kernel, f"{first}_o", f"{second}_o", f"{first}_i", f"{second}_i")


@primitive
def unroll(kernel: Kernel, var: str) -> Kernel:
    """The loop's body, written out once for each iteration."""
    find(kernel, var)
    taken = names_of(kernel)

    def rebuilt(loop: For) -> Body:
        copies: list[Stmt] = []
        for i in range(loop.extent):
            copies.extend(_loops_apart(_iteration(loop, i, taken), i, taken))
        return tuple(copies)

    return replace_loop(kernel, var, rebuilt)


@primitive
def peel(kernel: Kernel, var: str, at: int, rest: str) -> Kernel:
    """for i in n  ->  for i in at { ... } for rest in n - at { ... with i = rest + at }.

    Loops and locals inside the second part get `_rest`, with the name given, at their end.
    """
    loop = find(kernel, var)
    if not 0 < at < loop.extent:
        raise refuse(kernel, f"peel `{var}` at {at}", f"it runs over 0..{loop.extent}")
    names = {v: f"{v}_{rest}" for v in loops_of(loop.body)}
    require_new(kernel, rest, *names.values())
    taken = names_of(kernel) | {rest, *names.values()}
    locals_ = {n: fresh(taken, f"{n}_{rest}") for n in dict.fromkeys(locals_of(loop.body))}

    def rebuilt(old: For) -> Body:
        tail = rename_loops(rename_locals(old.body, locals_), names)
        return (For(var, at, old.body), For(rest, old.extent - at, substitute(tail, {var: Affine.of(rest) + at})))

    return replace_loop(kernel, var, rebuilt)


@primitive
def jam(kernel: Kernel, var: str) -> Kernel:
    """Unroll a loop and let the copies run side by side, inner loops merged: a register block.

    for i in 2 { acc = 0; for k { acc += a[i, k] }; y[i] = acc }
        ->  acc_0 = 0; acc_1 = 0; for k { acc_0 += a[0, k]; acc_1 += a[1, k] }; y[0] = acc_0; y[1] = acc_1

    Refuses a loop whose iterations depend on each other.
    """
    loop = find(kernel, var)
    reason = why_not_parallel(loop, shapes_of(kernel))
    if reason:
        raise refuse(kernel, f"jam `{var}`", reason)
    taken = names_of(kernel)
    copies = [_iteration(loop, i, taken) for i in range(loop.extent)]
    return replace_loop(kernel, var, lambda old: _merged(copies, taken))


def _iteration(loop: For, i: int, taken: set[str]) -> Body:
    """The body of iteration `i`, its locals renamed apart."""
    body = substitute(loop.body, {loop.var: Affine.of(i)})
    return rename_locals(body, {name: fresh(taken, f"{name}_{i}") for name in dict.fromkeys(locals_of(body))})


def _loops_apart(body: Body, i: int, taken: set[str]) -> Body:
    """The loops of copy `i` of a body renamed apart."""
    return rename_loops(body, {v: fresh(taken, f"{v}_{i}") for v in loops_of(body)})


def _merged(copies: list[Body], taken: set[str]) -> Body:
    """Copies of one body as one: statement by statement side by side, loops and equal conditions merged."""
    result: list[Stmt] = []
    for together in zip(*copies, strict=True):
        first = together[0]
        if isinstance(first, For):
            result.append(replace(first, body=_merged([s.body for s in together if isinstance(s, For)], taken)))
        elif isinstance(first, If) and all(isinstance(s, If) and s.guards == first.guards for s in together):
            branches = [s for s in together if isinstance(s, If)]
            body, orelse = _merged([s.body for s in branches], taken), _merged([s.orelse for s in branches], taken)
            result.append(If(first.guards, body, orelse))
        else:
            for i, stmt in enumerate(together):
                result.extend(_loops_apart((stmt,), i, taken))
    return tuple(result)


def rename_loops(body: Body, names: dict[str, str]) -> Body:
    """`body` with its inner loop variables renamed."""

    def visit(stmts: Body) -> Body:
        result: list[Stmt] = []
        for stmt in stmts:
            match stmt:
                case For(var=var, body=inner):
                    result.append(replace(stmt, var=names.get(var, var), body=visit(inner)))
                case If(body=inner, orelse=orelse):
                    result.append(replace(stmt, body=visit(inner), orelse=visit(orelse)))
                case _:
                    result.append(stmt)
        return tuple(result)

    return visit(substitute(body, {old: Affine.of(new) for old, new in names.items()}))


def _only_child(kernel: Kernel, loop: For, inner: str) -> For:
    if len(loop.body) != 1 or not isinstance(loop.body[0], For) or loop.body[0].var != inner:
        raise refuse(
            kernel, f"treat `{loop.var}` and `{inner}` together", f"`{inner}` is not all of `{loop.var}`'s body"
        )
    return loop.body[0]


def _perfect_nest(kernel: Kernel, names: tuple[str, ...]) -> list[For]:
    """The loops `names`, outermost first; each must be the whole body of the one before."""
    loops = loops_of(kernel.body)
    for name in names:
        find(kernel, name)
    nest = sorted((loops[name] for name in names), key=lambda loop: -sum(v in names for v in loops_of(loop.body)))
    for outer, inner in pairwise(nest):
        _only_child(kernel, outer, inner.var)
    return nest


def affines_of(body: Body) -> list[Affine]:
    """Every affine expression of a body: indices, guards, values."""
    found: list[Affine] = []
    for expr in all_exprs(body):
        match expr:
            case Load(index=index):
                found.extend(index)
            case Cond(guards=guards):
                found.extend(g.expr for g in guards)
            case Index(at=at):
                found.append(at)
    for stmt in walk(body):
        match stmt:
            case Store(index=index):
                found.extend(index)
            case If(guards=guards):
                found.extend(g.expr for g in guards)
    return found


def _is_integer_reduction(body: Body) -> bool:
    """Whether a body only adds to integer locals, or takes the extreme with them, so that any order gives the same."""
    changed = {stmt.name for stmt in body if isinstance(stmt, Set)}
    ops: dict[str, str] = {}
    for stmt in body:
        match stmt:
            case Set(name=name, value=Bin(op="+" | "min" | "max" as op, a=Local(name=other), b=term)):
                used = {e.name for e in subexprs(term) if isinstance(e, Local)}
                if (
                    other != name
                    or used & changed
                    or stmt.value.ty.dtype is DType.F32
                    or ops.setdefault(name, op) != op
                ):
                    return False
            case _:
                return False
    return True
