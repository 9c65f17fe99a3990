"""Loop IR to C: one small rule for each node. Nothing is chosen here; the schedule has chosen."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tinyir.backends.cortex_m7.cnames import C_TYPES, affine, identifier
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.pointers import Pointers, is_walk
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard, flatten
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
    Kernel,
    Let,
    Load,
    Local,
    Param,
    Set,
    Store,
    Ty,
    Var,
)
from tinyir.loops.schedule.core import fresh, names_of

HELPERS = {"min": "min", "max": "max", "<<": "shift_left"}
"""Arithmetic that C has no safe operator for."""


def c_type(ty: Ty) -> str:
    """The C type of a value; a word of lanes is a uint32_t."""
    return C_TYPES[ty.dtype] if ty.lanes == 1 else "uint32_t"


class KernelPrinter:
    """Prints one kernel as a C function; collects the helpers it calls."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.params = {p.name: p for p in kernel.params}
        self.helpers: set[str] = set()
        self._names = {identifier(name) for name in names_of(kernel)}

    def function(self, name: str, shared: Collection[str], c: CWriter) -> None:
        """The definition of the function `name`. Pointers to the parameters in `shared` may alias each other."""
        c.comment([*self.kernel.doc, *self._schedule_lines()])
        params = ",\n    ".join(self._parameter(p, p.name in shared) for p in self.kernel.params)
        c.line(f"static TINYIR_KERNEL void {name}(\n    {params})")
        with c.block(""):
            self.body(self.kernel.body, c)

    def _schedule_lines(self) -> list[str]:
        """The schedule, wrapped."""
        lines: list[str] = []
        for step in self.kernel.schedule:
            if lines and len(lines[-1]) + len(step) < 110:
                lines[-1] += f", {step}"
            else:
                lines.append(f"  {step}" if lines else f"schedule: {step}")
        return lines

    def _parameter(self, p: Param, may_alias: bool) -> str:
        const = "const " if p.role in ("in", "const") else ""
        restrict = "" if may_alias else "restrict "
        return f"{const}{C_TYPES[p.dtype]} *{restrict}{identifier(p.name)}"

    # -- statements -------------------------------------------------------------------------------------------------

    def body(self, body: Body, c: CWriter) -> None:
        pointers = Pointers(self.params, body, self.pointer_name)
        self._words(body, pointers, c)

    def _words(self, body: Body, pointers: Pointers, c: CWriter) -> None:
        """The statements of a block whose words are loaded through `pointers`."""
        for stmt in body:
            match stmt:
                case Let(name=name, value=Load(ty=ty) as load) if ty.lanes > 1:
                    pointer, distance = pointers.declared(load, c)
                    c.line(f"const uint32_t {identifier(name)} = {self.helper('load32')}({pointer}, {distance});")
                case For() if is_walk(stmt):
                    self._walk(stmt, c)
                case For(var=var, extent=extent, body=inner):
                    with c.block(f"for (int32_t {var} = 0; {var} < {extent}; {var}++)"):
                        self.body(inner, c)
                case If(guards=guards, body=inner, orelse=orelse):
                    with c.block(f"if ({self.guards(guards)})", "} else {" if orelse else "}"):
                        self.body(inner, c)
                    if orelse:
                        c.depth += 1
                        self.body(orelse, c)
                        c.depth -= 1
                        c.line("}")
                case Let(name=name, value=value):
                    c.line(f"const {c_type(value.ty)} {identifier(name)} = {self.top(value)};")
                case Var(name=name, ty=ty, value=value):
                    c.line(f"{c_type(ty)} {identifier(name)} = {self.top(value)};")
                case Set(name=name, value=value):
                    c.line(f"{identifier(name)} = {self.top(value)};")
                case Store(buffer=buffer, index=index, value=value):
                    self._store(buffer, index, value, c)

    def _walk(self, loop: For, c: CWriter) -> None:
        """A loop that does nothing with its variable but load words: pointers move instead of it. The end is volatile,
        so that it takes no register inside the loop, and no compiler writes the loop out."""
        pointers = Pointers(self.params, loop.body, self.pointer_name, loop.var)
        pointers.declare(c)
        end = self.pointer_name("end")
        first, step = pointers.steps[0]
        c.line(f"{pointers.type_of(first)} *const volatile {end} = {first} + {step * loop.extent};")
        with c.block("do", f"}} while ({first} != {end});"):
            self._words(loop.body, pointers, c)
            for name, step in pointers.steps:
                c.line(f"{name} += {step};")

    def _store(self, buffer: str, index: tuple[Affine, ...], value: Expr, c: CWriter) -> None:
        place = self.element(buffer, index)
        if value.ty.lanes > 1:
            c.line(f"{self.helper('store32')}(&{place}, {self.top(value)});")
        else:
            c.line(f"{place} = {self.top(value)};")

    # -- expressions ------------------------------------------------------------------------------------------------

    def top(self, expr: Expr) -> str:
        """An expression that stands alone, where it needs no parentheses around it."""
        match expr:
            case Bin(op=op) if op not in HELPERS:
                return f"{self.expr(expr.a)} {op} {self.expr(expr.b)}"
            case Cond(guards=guards, value=value, other=other):
                return f"{self.guards(guards)} ? {self.expr(value)} : {self.expr(other)}"
        return self.expr(expr)

    def expr(self, expr: Expr) -> str:
        match expr:
            case Const(value=value, ty=ty):
                return number(value, ty)
            case Local(name=name):
                return identifier(name)
            case Index(at=at):
                return f"({affine(at)})"
            case Load(buffer=buffer, index=index, ty=ty) if ty.lanes > 1:
                return f"{self.helper('load32')}(&{self.element(buffer, index)}, 0)"
            case Load(buffer=buffer, index=index):
                return self.element(buffer, index)
            case Gather(buffer=buffer, index=index):
                return f"{identifier(buffer)}[{self.top(index)}]"
            case Cast(value=value, ty=ty):
                return f"({c_type(ty)}){self.expr(value)}"
            case Bin():
                return self._binary(expr)
            case Cond():
                return f"({self.top(expr)})"
            case Call(name=name, args=args):
                return f"{self.helper(name)}({', '.join(self.top(a) for a in args)})"

    def _binary(self, expr: Bin) -> str:
        if expr.op not in HELPERS:
            return f"({self.top(expr)})"
        text = f"{self.helper(HELPERS[expr.op])}({self.top(expr.a)}, {self.top(expr.b)})"
        return text if expr.ty.dtype is DType.I32 else f"({c_type(expr.ty)}){text}"

    def pointer_name(self, hint: str) -> str:
        """A name that nothing in the kernel has."""
        return fresh(self._names, hint)

    def helper(self, name: str) -> str:
        self.helpers.add(f"tinyir_{name}")
        return f"tinyir_{name}"

    def element(self, buffer: str, index: tuple[Affine, ...]) -> str:
        return f"{identifier(buffer)}[{affine(flatten(index, self.params[buffer].shape))}]"

    def guards(self, guards: tuple[Guard, ...]) -> str:
        return " && ".join(f"{_lower(g)}{affine(g.expr)} < {g.bound}" for g in guards)


def _lower(guard: Guard) -> str:
    """The test against 0, left out where the expression cannot be negative."""
    positive = guard.expr.const >= 0 and all(c > 0 for _, c in guard.expr.terms)
    return "" if positive else f"{affine(guard.expr)} >= 0 && "


def number(value: int | float, ty: Ty) -> str:
    """A literal of a type."""
    if ty.dtype is DType.F32:
        return float_literal(value)
    if value == -(2**31):
        return "INT32_MIN"
    return str(int(value)) if value >= 0 else f"({int(value)})"


def float_literal(value: float) -> str:
    """A float literal that reads back as the same float32."""
    single = np.float32(value)
    if np.isinf(single):
        return "(-__builtin_inff())" if single < 0 else "__builtin_inff()"
    if np.isnan(single):
        return '__builtin_nanf("")'
    text = str(single)
    text = text if any(ch in text for ch in ".e") else f"{text}.0"
    return f"{text}f" if not text.startswith("-") else f"({text}f)"
