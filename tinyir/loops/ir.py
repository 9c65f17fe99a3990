"""The loop IR: a kernel is a loop nest over buffers with explicit loads, stores and locals.

Everything is a frozen dataclass; a change makes a new kernel. Indices are affine in the loop variables, one for each
dimension of the buffer, so that bounds, dependences and overlaps follow exactly. Locals (`Let`, `Var`) belong to the
block they stand in. Nothing here knows a graph op or a C compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard


@dataclass(frozen=True)
class Ty:
    """A scalar, or a word of several lanes: `i32`, `i8x4`, `i16x2`."""

    dtype: DType
    lanes: int = 1

    def __str__(self) -> str:
        return str(self.dtype) if self.lanes == 1 else f"{self.dtype}x{self.lanes}"


I8, I16, I32, I64, F32 = (Ty(d) for d in (DType.I8, DType.I16, DType.I32, DType.I64, DType.F32))
I8X4, I16X2 = Ty(DType.I8, 4), Ty(DType.I16, 2)


# -- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Const:
    """A number."""

    value: int | float
    ty: Ty = I32


@dataclass(frozen=True)
class Index:
    """The value of an affine expression in the loop variables, as i32."""

    at: Affine

    @property
    def ty(self) -> Ty:
        return I32


@dataclass(frozen=True)
class Local:
    """What the local `name` holds."""

    name: str
    ty: Ty


@dataclass(frozen=True)
class Load:
    """An element of a buffer; with several lanes, that many consecutive elements of its last dimension as a word."""

    buffer: str
    index: tuple[Affine, ...]
    ty: Ty


@dataclass(frozen=True)
class Cast:
    """The value in another scalar type; an integer that does not fit wraps."""

    value: Expr
    ty: Ty


@dataclass(frozen=True)
class Bin:
    """Arithmetic on two values of one type: + - * / (floats) min max >> << (arithmetic shifts) & ; i32 wraps."""

    op: str
    a: Expr
    b: Expr

    @property
    def ty(self) -> Ty:
        return self.a.ty


@dataclass(frozen=True)
class Cond:
    """`value` where all guards hold, else `other`; only the chosen one is evaluated."""

    guards: tuple[Guard, ...]
    value: Expr
    other: Expr

    @property
    def ty(self) -> Ty:
        return self.value.ty


@dataclass(frozen=True)
class Call:
    """An instruction or helper of `instrs.py`."""

    name: str
    args: tuple[Expr, ...]
    ty: Ty


@dataclass(frozen=True)
class Gather:
    """The element of a one-dimensional buffer at a computed index: a table lookup."""

    buffer: str
    index: Expr
    ty: Ty


Expr = Const | Index | Local | Load | Cast | Bin | Cond | Call | Gather


# -- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class For:
    """`for var in 0..extent`, upwards by one."""

    var: str
    extent: int
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class If:
    """`body` where all guards hold, else `orelse`."""

    guards: tuple[Guard, ...]
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...] = ()


@dataclass(frozen=True)
class Let:
    """A local that never changes, visible in the rest of its block."""

    name: str
    value: Expr

    @property
    def ty(self) -> Ty:
        return self.value.ty


@dataclass(frozen=True)
class Var:
    """A local that `Set` may change, visible in the rest of its block."""

    name: str
    ty: Ty
    value: Expr


@dataclass(frozen=True)
class Set:
    """Gives a `Var` a new value."""

    name: str
    value: Expr


@dataclass(frozen=True)
class Store:
    """Writes one element, or as many consecutive ones as the value has lanes."""

    buffer: str
    index: tuple[Affine, ...]
    value: Expr


Stmt = For | If | Let | Var | Set | Store
Body = tuple[Stmt, ...]


# -- kernels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packing:
    """How a constant is laid out anew at compile time: over the new dimensions `dims`, element [d0, d1, ...] is
    `old[index]` of an array of the old `shape`, or 0 where that lies outside; in the type `dtype`, if there is one."""

    shape: tuple[int, ...]
    dims: tuple[int, ...]
    index: tuple[Affine, ...]
    dtype: DType | None = None

    @staticmethod
    def identity(shape: tuple[int, ...], dims: tuple[int, ...]) -> Packing:
        """The same order, with room for `dims` elements along each axis."""
        return Packing(shape, dims, tuple(Affine.of(f"d{i}") for i in range(len(shape))))

    def after(self, dims: tuple[int, ...], index: tuple[Affine, ...]) -> Packing:
        """This packing seen through newer dimensions: its own [d0, d1, ...] is what `index` says."""
        values = {f"d{i}": at for i, at in enumerate(index)}
        return replace(self, dims=dims, index=tuple(at.substitute(values) for at in self.index))

    def apply(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The packed array, of shape `dims`."""
        kind = array.dtype if self.dtype is None else self.dtype.numpy
        grid = dict(zip((f"d{i}" for i in range(len(self.dims))), np.indices(self.dims), strict=True))
        parts = [sum((c * grid[v] for v, c in at.terms), np.full(self.dims, at.const)) for at in self.index]
        inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(parts, self.shape, strict=True)])
        clipped = tuple(np.clip(p, 0, n - 1) for p, n in zip(parts, self.shape, strict=True))
        return np.where(inside, array.reshape(self.shape)[clipped], 0).astype(kind)


@dataclass(frozen=True)
class Param:
    """A buffer the kernel is given. Roles: `in` and `out` are tensors, `const` lies in flash, `scratch` is private
    memory whose contents mean nothing before and after. A constant with a `packing` is given in its old layout; the
    pass that schedules the kernel packs it and clears the field."""

    name: str
    role: str
    dtype: DType
    shape: tuple[int, ...]
    packing: Packing | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.bytes

    @property
    def ty(self) -> Ty:
        return Ty(self.dtype)


@dataclass(frozen=True)
class Kernel:
    """A named loop nest. `kind` names the op it is built around, `doc` shows the ops it came from, `schedule` lists
    the steps applied so far."""

    name: str
    params: tuple[Param, ...]
    body: Body
    kind: str = ""
    doc: tuple[str, ...] = ()
    schedule: tuple[str, ...] = field(default=())

    def param(self, name: str) -> Param:
        """The parameter called `name`. Raises KeyError."""
        for p in self.params:
            if p.name == name:
                return p
        raise KeyError(name)

    def by_role(self, *roles: str) -> list[Param]:
        return [p for p in self.params if p.role in roles]

    def with_body(self, body: Body) -> Kernel:
        return replace(self, body=body)

    def text(self) -> str:
        """The kernel in IR text."""
        from tinyir.loops.printer import kernel_text

        return kernel_text(self)


# -- walking and rebuilding -------------------------------------------------------------------------------------------


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
