"""Walking kernels of the loop IR, and rebuilding them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tinyir.loops.affine import Affine, Guard
from tinyir.loops.ir import (
    Bin,
    Body,
    Call,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    Gather,
    If,
    Index,
    Let,
    Load,
    Local,
    Set,
    Stmt,
    Store,
    Var,
)


def walk(body: Body) -> Iterator[Stmt]:
    """Every statement, outer before inner, in order."""
    for stmt in body:
        yield stmt
        match stmt:
            case For(body=inner):
                yield from walk(inner)
            case If(body=inner, orelse=orelse):
                yield from walk(inner)
                yield from walk(orelse)


def exprs_of(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions that stand directly in a statement."""
    match stmt:
        case Let(value=value) | Var(value=value) | Set(value=value) | Store(value=value):
            return (value,)
    return ()


def subexprs(expr: Expr) -> Iterator[Expr]:
    """An expression and everything in it, outer first."""
    yield expr
    for child in children(expr):
        yield from subexprs(child)


def children(expr: Expr) -> tuple[Expr, ...]:
    match expr:
        case Load() | Local() | Const():  # most are
            return ()
        case Cast(value=value):
            return (value,)
        case Bin(a=a, b=b):
            return (a, b)
        case Cond(value=value, other=other):
            return (value, other)
        case Call(args=args):
            return args
        case Gather(index=index):
            return (index,)
    return ()


def all_exprs(body: Body) -> Iterator[Expr]:
    """Every expression and subexpression of a body."""
    for stmt in walk(body):
        for expr in exprs_of(stmt):
            yield from subexprs(expr)


def map_expr(expr: Expr, f: Callable[[Expr], Expr]) -> Expr:
    """`expr` with `f` applied to every subexpression, inner first; what `f` leaves alone is not copied."""
    old = children(expr)
    if old:
        new = tuple([map_expr(child, f) for child in old])
        if any(a is not b for a, b in zip(old, new, strict=True)):
            expr = with_children(expr, new)
    return f(expr)


def with_children(expr: Expr, new: tuple[Expr, ...]) -> Expr:
    """`expr` with other `children`, as many as it has."""
    match expr:
        case Cast(ty=ty):
            return Cast(new[0], ty)
        case Bin(op=op):
            return Bin(op, new[0], new[1])
        case Cond(guards=guards):
            return Cond(guards, new[0], new[1])
        case Call(name=name, ty=ty):
            return Call(name, new, ty)
        case Gather(buffer=buffer, ty=ty):
            return Gather(buffer, new[0], ty)
    return expr


def map_exprs(body: Body, f: Callable[[Expr], Expr]) -> Body:
    """`body` with `f` applied to every expression in it, inner first."""

    def visit(stmt: Stmt) -> Body:
        if isinstance(stmt, (For, If)):
            return (stmt,)
        value = map_expr(stmt.value, f)
        return (stmt,) if value is stmt.value else (with_value(stmt, value),)

    return map_stmts(body, visit)


def with_value(stmt: Let | Var | Set | Store, value: Expr) -> Stmt:
    """The statement with another value."""
    match stmt:
        case Let(name=name):
            return Let(name, value)
        case Var(name=name, ty=ty):
            return Var(name, ty, value)
        case Set(name=name):
            return Set(name, value)
        case Store(buffer=buffer, index=index):
            return Store(buffer, index, value)


def map_stmts(body: Body, f: Callable[[Stmt], Body]) -> Body:
    """`body` with every statement replaced by what `f` makes of it, inner first."""
    result: list[Stmt] = []
    for stmt in body:
        match stmt:
            case For(var=var, extent=extent, body=inner):
                stmt = For(var, extent, map_stmts(inner, f))
            case If(guards=guards, body=inner, orelse=orelse):
                stmt = If(guards, map_stmts(inner, f), map_stmts(orelse, f))
        result.extend(f(stmt))
    return tuple(result)


def substitute(body: Body, values: dict[str, Affine]) -> Body:
    """`body` with loop variables replaced in every index and guard."""

    def guards_of(guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
        return tuple(g.substitute(values) for g in guards)

    def index_of(index: tuple[Affine, ...]) -> tuple[Affine, ...]:
        return tuple([i.substitute(values) for i in index])

    def in_expr(expr: Expr) -> Expr:
        match expr:
            case Load(buffer=buffer, index=index, ty=ty):
                new = index_of(index)
                return expr if new == index else Load(buffer, new, ty)
            case Cond():
                return replace(expr, guards=guards_of(expr.guards))
            case Index(at=at):
                return Index(at.substitute(values))
        return expr

    def in_stmt(stmt: Stmt) -> Body:
        match stmt:
            case Store():
                return (replace(stmt, index=index_of(stmt.index)),)
            case If():
                return (replace(stmt, guards=guards_of(stmt.guards)),)
        return (stmt,)

    return map_stmts(map_exprs(body, in_expr), in_stmt)


def rename_locals(body: Body, names: dict[str, str]) -> Body:
    """`body` with locals renamed, where they are declared and where they are used."""

    def in_expr(expr: Expr) -> Expr:
        return Local(names[expr.name], expr.ty) if isinstance(expr, Local) and expr.name in names else expr

    def in_stmt(stmt: Stmt) -> Body:
        if isinstance(stmt, (Let, Var, Set)) and stmt.name in names:
            return (replace(stmt, name=names[stmt.name]),)
        return (stmt,)

    return map_stmts(map_exprs(body, in_expr), in_stmt)


def locals_of(body: Body) -> list[str]:
    """The names of the locals declared in a body, in order."""
    return [stmt.name for stmt in walk(body) if isinstance(stmt, (Let, Var))]


def loops_of(body: Body) -> dict[str, For]:
    """Every loop by its variable, outer before inner; names are unique in a kernel."""
    found: dict[str, For] = {}

    def visit(stmts: Body) -> None:
        for stmt in stmts:
            if type(stmt) is For:
                found[stmt.var] = stmt
                visit(stmt.body)
            elif type(stmt) is If:
                visit(stmt.body)
                visit(stmt.orelse)

    visit(body)
    return found
