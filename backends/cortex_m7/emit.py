"""Loop IR to C: one small rule for each node. Nothing is chosen here; the schedule has chosen."""

from __future__ import annotations

import numpy as np

from tinyir.backends.cortex_m7.cnames import C_TYPES, affine, identifier
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.pointers import Pointers, is_walk
from tinyir.backends.cortex_m7.slots import Slots
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.instrs import INSTRS
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
    """Prints the body of one kernel in C; collects the helpers that it calls and the numbers that may be variables."""

    def __init__(self, kernel: Kernel) -> None:
        self.params = {p.name: p for p in kernel.params}
        self.helpers: set[str] = set()
        self.slots = Slots()
        self.names = {identifier(name) for name in names_of(kernel)}

    # -- statements -------------------------------------------------------------------------------------------------

    def body(self, body: Body, c: CWriter) -> None:
        pointers = Pointers(self.params, body, self.slots, self.new_name)
        self._words(body, pointers, c)

    def _words(self, body: Body, pointers: Pointers, c: CWriter) -> None:
        """The statements of a block whose words are loaded through `pointers`."""
        for stmt in body:
            match stmt:
                case Let(name=name, value=Load(ty=ty) as load) if ty.lanes > 1:
                    word = f"{self.helper('load32')}({pointers.declared(load, c)})"
                    c.line(f"const uint32_t {identifier(name)} = {word};")
                case For() if is_walk(stmt):
                    self._walk(stmt, c)
                case For(var=var, extent=extent, body=inner):
                    with c.block(f"TINYIR_ROLLED for (int32_t {var} = 0; {var} < {self.count(var, extent)}; {var}++)"):
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
        pointers = Pointers(self.params, loop.body, self.slots, self.new_name, loop.var)
        pointers.declare(c)
        end = self.new_name("end")
        first, step = pointers.steps[0]
        way = f"{'-' if step < 0 else '+'} {self.slots.put(abs(step) * loop.extent, f'{first}_length')}"
        c.line(f"{pointers.type_of(first)} *const volatile {end} = {first} {way};")
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
                return self.number(value, ty)
            case Local(name=name):
                return identifier(name)
            case Index(at=at):
                return f"({self.affine(at, 'index')})"
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
                return self._call(name, args)

    def _binary(self, expr: Bin) -> str:
        if expr.op not in HELPERS:
            return f"({self.top(expr)})"
        text = f"{self.helper(HELPERS[expr.op])}({self.top(expr.a)}, {self.top(expr.b)})"
        return text if expr.ty.dtype is DType.I32 else f"({c_type(expr.ty)}){text}"

    def _call(self, name: str, args: tuple[Expr, ...]) -> str:
        fixed = INSTRS[name].immediates
        texts = [
            number(arg.value, arg.ty) if i in fixed and isinstance(arg, Const) else self.top(arg)
            for i, arg in enumerate(args)
        ]
        return f"{self.helper(name)}({', '.join(texts)})"

    def new_name(self, hint: str) -> str:
        """A name that nothing in the kernel has."""
        return fresh(self.names, hint)

    def helper(self, name: str) -> str:
        self.helpers.add(f"tinyir_{name}")
        return f"tinyir_{name}"

    def element(self, buffer: str, index: tuple[Affine, ...]) -> str:
        return f"{identifier(buffer)}[{self.affine(flatten(index, self.params[buffer].shape), buffer)}]"

    def guards(self, guards: tuple[Guard, ...]) -> str:
        return " && ".join(self._guard(guard) for guard in guards)

    def _guard(self, guard: Guard) -> str:
        """The test against 0 is left out where the expression cannot be negative."""
        positive = guard.expr.const >= 0 and all(c > 0 for _, c in guard.expr.terms)
        above = f"{self.affine(guard.expr, 'border')} < {self.slots.put(guard.bound, 'bound')}"
        return above if positive else f"{self.affine(guard.expr, 'border')} >= 0 && {above}"

    # -- numbers ----------------------------------------------------------------------------------------------------

    def count(self, var: str, extent: int) -> str:
        return self.slots.put(extent, f"{var}_count")

    def affine(self, expr: Affine, of: str) -> str:
        return affine(expr, self.slots, identifier(of))

    def number(self, value: int | float, ty: Ty) -> str:
        """A literal, or a slot for one."""
        if ty.dtype is DType.F32 or value == -(2**31):
            return number(value, ty)
        return self.slots.put(int(value), "number")


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
