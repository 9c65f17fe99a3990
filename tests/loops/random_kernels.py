"""Random loop nests that no lowering makes: words, guards, variables, scratch that is read and written, names alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.ir import (
    F32,
    I32,
    Bin,
    Body,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    Gather,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Param,
    Set,
    Stmt,
    Store,
    Ty,
    Var,
)
from tinyir.loops.lower.context import nest

LOOPS = ("i", "i_0", "i_1", "j", "k", "k_0", "h", "i_0_1")
LOCALS = ("a", "a_0", "a_1", "b", "acc", "acc_0", "t_0")
MAX_STATEMENTS = 40
T = TypeVar("T")


def random_kernel(seed: int) -> Kernel:
    """The kernel that belongs to `seed`. It writes all of its scratch and outputs before it reads any."""
    return _Maker(np.random.default_rng(seed)).kernel()


class _Maker:
    """Writes one kernel."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.loop_names = [str(name) for name in rng.permutation(LOOPS)]
        self.statements = 0
        self.params = [
            Param("x", "in", DType.I8, self.shape()),
            Param("f", "in", DType.F32, self.shape()),
            Param("w", "const", self.pick(DType.I8, DType.I16), self.shape()),
            Param("s", "scratch", DType.I16, self.shape()),
            Param("t", "scratch", DType.I32, self.shape()),
            Param("y", "out", self.pick(DType.I8, DType.I32), self.shape()),
            Param("g", "out", DType.F32, self.shape()),
        ]

    # -- decisions --------------------------------------------------------------------------------------------------

    def number(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def chance(self, percent: int) -> bool:
        return self.number(1, 100) <= percent

    def pick(self, *items: T) -> T:
        return items[self.number(0, len(items) - 1)]

    def shape(self) -> tuple[int, ...]:
        return tuple(self.pick(1, 2, 3, 4, 6, 8) for _ in range(self.number(1, 2)))

    def buffer(self, *names: str) -> Param:
        name = self.pick(*names)
        return next(p for p in self.params if p.name == name)

    # -- the kernel -------------------------------------------------------------------------------------------------

    def kernel(self) -> Kernel:
        body: list[Stmt] = []
        for p in self.params:
            if p.role in ("scratch", "out"):
                body += self.filled(p)
        body += self.block({}, {}, self.number(1, 3))
        return Kernel("k", tuple(self.params), tuple(body))

    def filled(self, p: Param) -> Body:
        """A nest that writes every element."""
        loops = [(f"{p.name}{d}", n) for d, n in enumerate(p.shape)]
        index = tuple(Affine.of(v) for v, _ in loops)
        value = Const(0.5, F32) if p.dtype is DType.F32 else Const(self.number(-9, 9), Ty(p.dtype))
        return nest(loops, (Store(p.name, index, value),))

    def block(self, loops: Mapping[str, int], scope: Mapping[str, Ty], count: int = 0) -> Body:
        """A run of statements; `scope` are the locals, those of a name with a `!` may be set."""
        scope = dict(scope)
        body: list[Stmt] = []
        for _ in range(count or self.number(1, 4)):
            body += self.statement(loops, scope)
        return tuple(body)

    def statement(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        self.statements += 1
        deep = len(loops) > 2 or self.statements > MAX_STATEMENTS or not self.loop_names
        makers: list[Callable[[Mapping[str, int], dict[str, Ty]], list[Stmt]]] = [self.store, self.store, self.local]
        if not deep:
            makers += [self.loop, self.loop, self.loop, self.condition]
        if any(name.endswith("!") for name in scope):
            makers += [self.assignment, self.assignment]
        return self.pick(*makers)(loops, scope)

    def loop(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        name, extent = self.loop_names.pop(), self.pick(1, 2, 2, 3, 4)
        return [For(name, extent, self.block({**loops, name: extent}, scope))]

    def condition(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        orelse = self.block(loops, scope, 1) if self.chance(40) else ()
        return [If((self.guard(loops),), self.block(loops, scope, self.number(1, 2)), orelse)]

    def local(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        free = [name for name in LOCALS if name not in scope and f"{name}!" not in scope]
        if not free:
            return self.store(loops, scope)
        name, ty = self.pick(*free), self.pick(I32, I32, F32)
        value = self.value(ty, loops, scope)
        if self.chance(50):
            scope[name] = ty
            return [Let(name, value)]
        scope[f"{name}!"] = ty
        return [Var(name, ty, value)]

    def assignment(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        name = self.pick(*(name for name in scope if name.endswith("!")))
        ty, local = scope[name], Local(name[:-1], scope[name])
        ops = ("+",) if ty == F32 else ("+", "+", "min", "max")
        value = self.value(ty, loops, scope)
        return [Set(name[:-1], Bin(self.pick(*ops), local, value) if self.chance(85) else value)]

    def store(self, loops: Mapping[str, int], scope: dict[str, Ty]) -> list[Stmt]:
        p = self.buffer("s", "t", "y", "g")
        value = self.value(F32 if p.dtype is DType.F32 else I32, loops, scope)
        index, guards = self.index(p, loops)
        write = Store(p.name, index, value if value.ty == p.ty else Cast(value, p.ty))
        return [If(guards, (write,))] if guards else [write]

    # -- expressions ------------------------------------------------------------------------------------------------

    def value(self, ty: Ty, loops: Mapping[str, int], scope: Mapping[str, Ty], depth: int = 2) -> Expr:
        if depth and self.chance(60):
            op = self.pick("+", "-", "*") if ty == F32 else self.pick("+", "+", "-", "*", "min", "max", "&")
            return Bin(op, self.value(ty, loops, scope, depth - 1), self.value(ty, loops, scope, depth - 1))
        known = [name for name, of in scope.items() if of == ty]
        if known and self.chance(40):
            return Local(self.pick(*known).removesuffix("!"), ty)
        if self.chance(15):
            return Const(self.number(-4, 4) / 2, F32) if ty == F32 else Const(self.number(-9, 9))
        if ty == I32 and self.chance(15):
            return Index(self.affine(8, loops))
        if ty == I32 and self.chance(8):
            table = self.buffer("x", "w", "s")
            return Cast(Gather(table.name, Const(self.number(0, table.elements - 1)), table.ty), I32)
        p = self.buffer("f", "g") if ty == F32 else self.buffer("x", "x", "w", "w", "s", "t")
        index, guards = self.index(p, loops)
        read: Expr = Load(p.name, index, p.ty)
        if guards:
            read = Cond(guards, read, Const(0.0 if ty == F32 else self.number(-3, 3), p.ty))
        return read if read.ty == ty else Cast(read, ty)

    def index(self, p: Param, loops: Mapping[str, int]) -> tuple[tuple[Affine, ...], tuple[Guard, ...]]:
        """An index of `p`, and guards for the dimensions in which it may lie outside."""
        index, guards = [], []
        for size in p.shape:
            at = self.affine(size, loops)
            if loops and self.chance(15):
                at = at + self.number(-2, 2)
                guards.append(Guard(at, size))
            index.append(at)
        return tuple(index), tuple(guards)

    def affine(self, size: int, loops: Mapping[str, int]) -> Affine:
        """Something within 0..size-1."""
        for _ in range(6):
            at = Affine((), self.number(0, min(2, size - 1)))
            for v in loops:
                if self.chance(50):
                    at = at + Affine.of(v) * self.pick(1, 1, 1, 2, 2, 4, -1)
            lo, hi = at.range(loops)
            at = at - min(lo, 0)
            if hi - min(lo, 0) < size:
                return at
        return Affine((), self.number(0, size - 1))

    def guard(self, loops: Mapping[str, int]) -> Guard:
        at = self.affine(6, loops) + self.number(-2, 1)
        return Guard(at, self.number(1, 4))
