"""Kernels as IR text; `frontends/text.py` reads it back."""

from __future__ import annotations

from tinyir.ir.printer import attr_text
from tinyir.loops.affine import Affine
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
    Stmt,
    Store,
    Var,
)


def kernel_text(kernel: Kernel) -> str:
    """`kernel @name(in x: i8[4, 4], ...) attributes {...} { ... }`"""
    params = ", ".join(_param(p) for p in kernel.params)
    attrs = {"kind": kernel.kind, "doc": list(kernel.doc), "schedule": list(kernel.schedule)}
    shown = {name: value for name, value in attrs.items() if value}
    head = f" attributes {attr_text(shown)}" if shown else ""
    return f"kernel @{kernel.name}({params}){head} {{\n{_lines(kernel.body, 1)}}}"


def _param(p: Param) -> str:
    return f"{p.role} {p.name}: {p.dtype}[{', '.join(str(n) for n in p.shape)}]"


def _lines(body: Body, depth: int) -> str:
    return "".join(_stmt(stmt, depth) for stmt in body)


def _stmt(stmt: Stmt, depth: int) -> str:
    pad = "  " * depth
    match stmt:
        case For(var=var, extent=extent, body=body):
            return f"{pad}for {var} in {extent} {{\n{_lines(body, depth + 1)}{pad}}}\n"
        case If(guards=guards, body=body, orelse=orelse):
            text = f"{pad}if {', '.join(str(g) for g in guards)} {{\n{_lines(body, depth + 1)}{pad}}}"
            return f"{text} else {{\n{_lines(orelse, depth + 1)}{pad}}}\n" if orelse else f"{text}\n"
        case Let(name=name, value=value):
            return f"{pad}let {name}: {value.ty} = {expr_text(value)}\n"
        case Var(name=name, ty=ty, value=value):
            return f"{pad}var {name}: {ty} = {expr_text(value)}\n"
        case Set(name=name, value=value):
            return f"{pad}{name} = {expr_text(value)}\n"
        case Store(buffer=buffer, index=index, value=value):
            return f"{pad}{buffer}{_index(index)} = {expr_text(value)}\n"


def expr_text(expr: Expr) -> str:
    """An expression; types of constants other than i32, and of loads of several lanes, are shown."""
    match expr:
        case Const(value=value, ty=ty):
            text = attr_text(value)
            return text if str(ty) == "i32" else f"{ty}({text})"
        case Index(at=at):
            return f"index({at})"
        case Local(name=name):
            return name
        case Load(buffer=buffer, index=index, ty=ty):
            return f"{buffer}{_index(index)}" + (f" as {ty}" if ty.lanes > 1 else "")
        case Cast(value=Const(value=value, ty=old), ty=ty) if str(old) == "i32":
            return f"{ty}(i32({attr_text(value)}))"  # `i8(5)` is a number of that type, `i8(i32(5))` one converted
        case Cast(value=value, ty=ty):
            return f"{ty}({expr_text(value)})"
        case Bin(op="min" | "max" as op, a=a, b=b):
            return f"{op}({expr_text(a)}, {expr_text(b)})"
        case Bin(op=op, a=a, b=b):
            return f"({expr_text(a)} {op} {expr_text(b)})"
        case Cond(guards=guards, value=value, other=other):
            return f"where [{', '.join(str(g) for g in guards)}] {expr_text(value)} else {expr_text(other)}"
        case Call(name=name, args=args):
            return f"{name}({', '.join(expr_text(a) for a in args)})"
        case Gather(buffer=buffer, index=index):
            return f"{buffer}[[{expr_text(index)}]]"


def _index(index: tuple[Affine, ...]) -> str:
    return f"[{', '.join(str(i) for i in index)}]"
