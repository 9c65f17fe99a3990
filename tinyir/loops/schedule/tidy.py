"""Primitives that clean up: simplify, share, hoist, unswitch, lift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.analysis import extents_of, free_locals, loaded_buffers, stored_buffers
from tinyir.loops.ir import (
    Body,
    Call,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    Local,
    Set,
    Stmt,
    Store,
    Var,
)
from tinyir.loops.schedule.core import find, fresh, inner_loops, names_of, primitive, refuse, replace_loop
from tinyir.loops.schedule.structure import affines_of, rename_loops
from tinyir.loops.walk import (
    all_exprs,
    children,
    exprs_of,
    locals_of,
    map_expr,
    map_exprs,
    map_stmts,
    rename_locals,
    subexprs,
    substitute,
    walk,
    with_value,
)


@primitive
def simplify(kernel: Kernel) -> Kernel:
    """Decide guards from the extents of the loops, and drop what never runs."""
    extents = extents_of(kernel)

    def undecided(guards: tuple[Guard, ...]) -> tuple[Guard, ...] | None:
        """The guards that are still open; None if one never holds."""
        verdicts = [(g, g.decide(extents)) for g in guards]
        if any(verdict is False for _, verdict in verdicts):
            return None
        return tuple(g for g, verdict in verdicts if verdict is None)

    def in_expr(expr: Expr) -> Expr:
        match expr:
            case Cond(guards=guards, value=value, other=other):
                still = undecided(guards)
                if still is None:
                    return other
                return Cond(still, value, other) if still else value
            case Cast(value=Const(value=number, ty=old), ty=ty) if old.dtype.is_integer and ty.dtype.is_integer:
                lo, hi = ty.dtype.limits
                return Const(number, ty) if lo <= number <= hi else expr
        return expr

    inline = _Inliner(kernel)

    def in_stmt(stmt: Stmt) -> Body:
        match stmt:
            case If(guards=guards, body=body, orelse=orelse):
                still = undecided(guards)
                if still is None:
                    return inline(orelse)
                return (If(still, body, orelse),) if still else inline(body)
            case For(body=()):
                return ()
        return (stmt,)

    return kernel.with_body(map_stmts(map_exprs(kernel.body, in_expr), in_stmt))


@primitive
def collapse(kernel: Kernel) -> Kernel:
    """Loops of one iteration are written out."""

    inline = _Inliner(kernel)

    def in_stmt(stmt: Stmt) -> Body:
        if isinstance(stmt, For) and stmt.extent == 1:
            return inline(substitute(stmt.body, {stmt.var: Affine()}))
        return (stmt,)

    return kernel.with_body(map_stmts(kernel.body, in_stmt))


class _Inliner:
    """Gives a block up: its statements will stand in the block around it. Locals of a name that another block of the
    kernel uses as well get a new one."""

    def __init__(self, kernel: Kernel) -> None:
        self.taken = names_of(kernel)
        self.blocks = Counter(locals_of(kernel.body))

    def __call__(self, body: Body) -> Body:
        again = [name for name in dict.fromkeys(locals_of(body)) if self.blocks[name] > 1]
        return rename_locals(body, {name: fresh(self.taken, name) for name in again})


@primitive
def share(kernel: Kernel, var: str = "") -> Kernel:
    """Loads and instructions that stand more than once in a run of plain statements are done once, into a local; with
    `var`, those in that loop alone."""
    while True:
        kernel, count = _shared_once(kernel, var)
        if not count:
            return kernel


def _shared_once(kernel: Kernel, var: str) -> tuple[Kernel, int]:
    """One round, and how many locals it made."""
    sharing = _Sharing(kernel)
    if not var:
        return kernel.with_body(sharing.block(kernel.body)), sharing.count
    body = sharing.block(find(kernel, var).body)
    return replace_loop(kernel, var, lambda loop: (replace(loop, body=body),)), sharing.count


class _Sharing:
    """One round: loads, and instructions on locals. The next round sees what these left."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.taken = names_of(kernel)
        self.count = 0

    def block(self, body: Body) -> Body:
        known: dict[Expr, Local] = {}
        result: list[Stmt] = []
        needs = [[e for value in exprs_of(stmt) for e in _candidates(value)] for stmt in body]
        often = {e for e, n in Counter(e for needed in needs for e in needed).items() if n > 1}
        for position, stmt in enumerate(body):
            match stmt:
                case For(body=inner):
                    result.append(replace(stmt, body=self.block(inner)))
                    known = {}
                case If(body=inner, orelse=orelse):
                    result.append(replace(stmt, body=self.block(inner), orelse=self.block(orelse)))
                    known = {}
                case Let() | Var() | Set() | Store():
                    for expr in dict.fromkeys(e for e in needs[position] if e in often):
                        if expr not in known and _stands_again(expr, body[position:], needs[position:]):
                            if isinstance(stmt, Let) and stmt.value == expr:
                                known[expr] = Local(stmt.name, expr.ty)
                            else:
                                known[expr] = self.bind(expr, result)
                    result.append(stmt if _holds(stmt, known) else with_value(stmt, _replaced(stmt.value, known)))
                    known = {e: local for e, local in known.items() if not _touches(stmt, e)}
        return tuple(result)

    def bind(self, expr: Expr, result: list[Stmt]) -> Local:
        """A new local that holds `expr`."""
        hint = expr.buffer if isinstance(expr, Load) else expr.name if isinstance(expr, Call) else "t"
        name = f"{hint}_{self.count}"
        while name in self.taken:
            self.count += 1
            name = f"{hint}_{self.count}"
        self.count += 1
        self.taken.add(name)
        result.append(Let(name, expr))
        return Local(name, expr.ty)


def _stands_again(expr: Expr, run: Body, needs: list[list[Expr]]) -> bool:
    """Whether the plain statements that `run` begins with need `expr` more than once before it changes; `needs` are
    what each statement needs."""
    uses = 0
    for stmt, needed in zip(run, needs, strict=True):
        if isinstance(stmt, (For, If)):
            break
        uses += needed.count(expr)
        if uses > 1:
            return True
        if _touches(stmt, expr):
            break
    return False


def _holds(stmt: Stmt, known: dict[Expr, Local]) -> bool:
    """Whether a statement is what made its value known."""
    return isinstance(stmt, Let) and known.get(stmt.value) == Local(stmt.name, stmt.ty)


def _candidates(expr: Expr) -> Iterable[Expr]:
    """Loads and instructions on locals in an expression, except those that only run under a guard."""
    if isinstance(expr, Cond):
        return
    for child in children(expr):
        yield from _candidates(child)
    if isinstance(expr, Load) or (isinstance(expr, Call) and all(isinstance(a, (Local, Const)) for a in expr.args)):
        yield expr


def _replaced(expr: Expr, known: dict[Expr, Local]) -> Expr:
    """`expr` with what is known replaced by the locals that hold it."""
    return map_expr(expr, lambda e: known.get(e, e))


def _touches(stmt: Stmt, expr: Expr) -> bool:
    """Whether a plain statement changes what `expr` reads."""
    match stmt:
        case Store(buffer=buffer):
            return isinstance(expr, Load) and expr.buffer == buffer
        case Set(name=name):
            return any(isinstance(e, Local) and e.name == name for e in subexprs(expr))
    return False


@primitive
def hoist(kernel: Kernel, var: str, *buffers: str) -> Kernel:
    """Loads of constants that do not move with a loop, or with the loops in it, are done before it, into locals; those
    that stay inside of the constant only thanks to guards are left where they are. With `buffers`, of these alone."""
    loop = find(kernel, var)
    moving, extents, taken = {var, *inner_loops(loop)}, extents_of(kernel), names_of(kernel)
    constant = {p.name: p.shape for p in kernel.by_role("const")}
    found: dict[Load, Local] = {}
    for expr in all_exprs(loop.body):
        if not isinstance(expr, Load) or expr.buffer not in constant or expr in found:
            continue
        if buffers and expr.buffer not in buffers:
            continue
        if not any(at.coef(v) for at in expr.index for v in moving) and lies_inside(
            expr, constant[expr.buffer], extents
        ):
            found[expr] = Local(fresh(taken, f"{expr.buffer}_h{len(found)}"), expr.ty)
    lets = tuple(Let(local.name, load) for load, local in found.items())
    inside = map_exprs(loop.body, lambda e: found[e] if isinstance(e, Load) and e in found else e)
    return replace_loop(kernel, var, lambda old: (*lets, replace(old, body=inside)))


def lies_inside(load: Load, shape: tuple[int, ...], extents: Mapping[str, int]) -> bool:
    """Whether a load stays inside of a buffer of that shape whatever its guards say."""
    last = [load.ty.lanes - 1 if d == len(shape) - 1 else 0 for d in range(len(shape))]
    spans = [at.range(extents) for at in load.index]
    return all(lo >= 0 and hi + n < size for (lo, hi), n, size in zip(spans, last, shape, strict=True))


@primitive
def unswitch(kernel: Kernel, var: str) -> Kernel:
    """for i { ... where [g] a else b ... }  ->  if g { for i { ... a ... } } else { for i { ... b ... } }, for the
    guards that do not move with the loop or the loops in it."""
    loop = find(kernel, var)
    moving = {var, *inner_loops(loop)}

    def still(guard: Guard) -> bool:
        return not any(guard.expr.coef(v) for v in moving)

    conds = [e for e in all_exprs(loop.body) if isinstance(e, Cond)]
    guards = tuple(dict.fromkeys(g for e in conds for g in e.guards if still(g)))
    if not guards:
        raise refuse(kernel, f"unswitch `{var}`", "every guard in it moves with the loop")
    if any(still(g) and not set(guards) <= set(e.guards) for e in conds for g in e.guards):
        raise refuse(kernel, f"unswitch `{var}`", "its expressions have different guards")

    def holds(expr: Expr) -> Expr:
        if not isinstance(expr, Cond):
            return expr
        left = tuple(g for g in expr.guards if g not in guards)
        return Cond(left, expr.value, expr.other) if left else expr.value

    def fails(expr: Expr) -> Expr:
        return expr.other if isinstance(expr, Cond) and set(guards) & set(expr.guards) else expr

    def rebuilt(old: For) -> Body:
        otherwise = rename_all(kernel, map_exprs((old,), fails), "_out")
        return (If(guards, map_exprs((old,), holds), otherwise),)

    return replace_loop(kernel, var, rebuilt)


def rename_all(kernel: Kernel, body: Body, suffix: str) -> Body:
    """A copy of a body whose loops and locals have names of their own."""
    taken = names_of(kernel)
    loops = {stmt.var: fresh(taken, stmt.var + suffix) for stmt in walk(body) if isinstance(stmt, For)}
    locals_ = {name: fresh(taken, name + suffix) for name in dict.fromkeys(locals_of(body))}
    return rename_loops(rename_locals(body, locals_), loops)


@primitive
def lift(kernel: Kernel, var: str, out_of: str) -> Kernel:
    """Move the loop `var` in front of the loop `out_of` that it stands in: it writes the same values each time round.

    Refuses a loop that reads anything, changes a local, moves with `out_of`, writes elements that others in `out_of`
    write too, or writes a buffer that `out_of` reads before.
    """
    loop, around = find(kernel, var), find(kernel, out_of)
    if loop not in around.body:
        raise refuse(kernel, f"lift `{var}`", f"it does not stand directly in `{out_of}`")
    if loaded_buffers(loop.body) or locals_of(loop.body) or free_locals(loop.body):
        raise refuse(kernel, f"lift `{var}`", "it reads values that may change")
    if any(at.coef(out_of) for at in affines_of(loop.body)):
        raise refuse(kernel, f"lift `{var}`", f"it moves with `{out_of}`")
    before = around.body[: around.body.index(loop)]
    if loaded_buffers(before) & stored_buffers(loop.body):
        raise refuse(kernel, f"lift `{var}`", "what it writes is read before")
    rest = tuple(stmt for stmt in around.body if stmt is not loop)
    written = [(stored_elements(part, kernel, b) for part in ((loop,), rest)) for b in stored_buffers(loop.body)]
    if any(np.intersect1d(mine, others, assume_unique=True).size for mine, others in written):
        raise refuse(kernel, f"lift `{var}`", "other statements write the same elements")
    return replace_loop(kernel, out_of, lambda old: (loop, replace(old, body=rest)))


def stored_elements(body: Body, kernel: Kernel, buffer: str) -> npt.NDArray[np.int64]:
    """Every element of a buffer that a body may write, by enumeration; each once, in order."""
    extents, shape = extents_of(kernel), kernel.param(buffer).shape
    found = [np.empty(0, np.int64)]
    for stmt in walk(body):
        if isinstance(stmt, Store) and stmt.buffer == buffer:
            at = flatten(stmt.index, shape)
            places = at.const + np.arange(stmt.value.ty.lanes)
            for v, c in at.terms:
                places = np.unique(np.add.outer(places, c * np.arange(extents[v])))
            found.append(places)
    return np.unique(np.concatenate(found))
