"""Kernels of the loop IR in text: the other half of `loops/printer.py`."""

from __future__ import annotations

from typing import Any, Protocol

from lark import Token, Tree

from tinyir.diagnostics import IRError, did_you_mean
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.check import check_kernel
from tinyir.loops.instrs import INSTRS
from tinyir.loops.ir import (
    I32,
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
    Ty,
    Var,
)

Node = Tree[Token]
"""Part of a parse tree."""

Places = dict[str, Ty]
"""Locals in scope by name."""


class Source(Protocol):
    """What the reader of a module offers: attribute values, and errors with a place."""

    def dict(self, node: Node) -> dict[str, Any]: ...

    def error(self, node: Node | Token, message: str, help: str = "") -> IRError: ...


class KernelReader:
    """Turns the parse tree of one kernel into a Kernel. Raises IRError."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.params: dict[str, Param] = {}

    def kernel(self, node: Node) -> Kernel:
        symbol = node.children[0]
        params = [self.param(c) for c in node.children if isinstance(c, Tree) and c.data == "param"]
        self.params = {p.name: p for p in params}
        attrs = next((self.source.dict(c) for c in node.children if isinstance(c, Tree) and c.data == "dict"), {})
        body = node.children[-1]
        assert isinstance(body, Tree)
        kernel = Kernel(
            str(symbol)[1:],
            tuple(params),
            self.body(body, {}),
            kind=str(attrs.get("kind", "")),
            doc=tuple(attrs.get("doc", ())),
            schedule=tuple(attrs.get("schedule", ())),
        )
        mistake = check_kernel(kernel)
        if mistake:
            raise self.source.error(node, mistake)
        return kernel

    def param(self, node: Node) -> Param:
        role, name, elem, shape = node.children
        assert isinstance(shape, Tree)
        return Param(
            str(name), str(role), DType(str(elem)), tuple(int(str(n)) for n in shape.children if n is not None)
        )

    # -- statements -------------------------------------------------------------------------------------------------

    def body(self, node: Node, scope: Places) -> Body:
        scope = dict(scope)
        return tuple(self.stmt(child, scope) for child in node.children if isinstance(child, Tree))

    def stmt(self, node: Node, scope: Places) -> Stmt:
        parts = list(node.children)
        match str(node.data):
            case "for_stmt":
                return For(str(parts[0]), int(str(parts[1])), self.body(_tree(parts[2]), scope))
            case "if_stmt":
                guards = tuple(self.guard(_tree(c)) for c in parts if isinstance(c, Tree) and c.data == "guard")
                bodies = [self.body(c, scope) for c in parts if isinstance(c, Tree) and c.data == "body"]
                return If(guards, bodies[0], bodies[1] if len(bodies) > 1 else ())
            case "let_stmt" | "var_stmt":
                value = self.typed(parts[2], self.ty(_tree(parts[1])), scope)
                scope[str(parts[0])] = value.ty
                name = str(parts[0])
                return Let(name, value) if node.data == "let_stmt" else Var(name, value.ty, value)
            case "set_stmt":
                return Set(str(parts[0]), self.typed(parts[1], self.local(_token(parts[0]), scope), scope))
        return Store(str(parts[0]), self.indices(parts[1:-1]), self.expr(parts[-1], scope))

    def typed(self, node: Any, ty: Ty, scope: Places) -> Expr:
        """An expression that must have the type `ty`."""
        value = self.expr(node, scope)
        if value.ty != ty:
            raise self.source.error(node, f"this is {value.ty}, not {ty}")
        return value

    def local(self, token: Token, scope: Places) -> Ty:
        if str(token) not in scope:
            raise self.source.error(token, f"`{token}` is not defined here", did_you_mean(str(token), scope))
        return scope[str(token)]

    # -- expressions ------------------------------------------------------------------------------------------------

    def expr(self, node: Any, scope: Places) -> Expr:
        parts = list(node.children)
        match str(node.data):
            case "const":
                return self.const(parts[0], I32)
            case "local":
                return Local(str(parts[0]), self.local(_token(parts[0]), scope))
            case "cast":
                ty = self.ty(_tree(parts[0]))
                if parts[1].data == "const":
                    return self.const(parts[1].children[0], ty)
                return Cast(self.expr(parts[1], scope), ty)
            case "call":
                return self.call(node, [self.expr(c, scope) for c in parts[1:] if c is not None])
            case "index":
                return Index(self.affine(_tree(parts[0])))
            case "load":
                return self.load(parts)
            case "gather":
                return Gather(str(parts[0]), self.expr(parts[1], scope), self.buffer(_token(parts[0])).ty)
            case "binary":
                return self.binary(str(parts[1]), self.expr(parts[0], scope), self.expr(parts[2], scope), node)
        *guards, value, other = parts
        return Cond(tuple(self.guard(g) for g in guards), self.expr(value, scope), self.expr(other, scope))

    def const(self, node: Node, ty: Ty) -> Const:
        """A number of a type, in which it must fit."""
        token = _token(node.children[0])
        if ty.dtype is DType.F32:
            return Const(float(token), ty)
        if token.type != "INT":
            raise self.source.error(token, f"`{token}` is no {ty}; a float is written f32({token})")
        least, most = ty.dtype.limits if ty.dtype.is_integer else (0, 1)
        if not least <= int(token) <= most:
            raise self.source.error(token, f"{token} does not fit {ty}: it is none of {least}..{most}")
        return Const(int(token), ty)

    def call(self, node: Node, args: list[Expr]) -> Expr:
        name = _token(node.children[0])
        if str(name) in ("min", "max") and len(args) == 2:
            return self.binary(str(name), args[0], args[1], node)
        instr = INSTRS.get(str(name))
        if instr is None:
            raise self.source.error(name, f"no instruction is called `{name}`", did_you_mean(str(name), INSTRS))
        have = tuple(a.ty for a in args)
        if have != instr.args:
            wanted = ", ".join(map(str, instr.args))
            raise self.source.error(node, f"`{name}` takes ({wanted}), not ({', '.join(map(str, have))})")
        return Call(instr.name, tuple(args), instr.result)

    def binary(self, op: str, a: Expr, b: Expr, node: Node) -> Expr:
        if a.ty != b.ty:
            raise self.source.error(node, f"`{op}` joins {a.ty} and {b.ty}")
        return Bin(op, a, b)

    def load(self, parts: list[Any]) -> Expr:
        param = self.buffer(_token(parts[0]))
        ty = self.ty(parts[-1]) if isinstance(parts[-1], Tree) and parts[-1].data == "ty" else param.ty
        return Load(param.name, self.indices([c for c in parts[1:] if isinstance(c, Tree) and c.data == "affine"]), ty)

    def buffer(self, token: Token) -> Param:
        if str(token) not in self.params:
            raise self.source.error(token, f"no buffer is called `{token}`", did_you_mean(str(token), self.params))
        return self.params[str(token)]

    # -- indices and types ------------------------------------------------------------------------------------------

    def indices(self, nodes: list[Any]) -> tuple[Affine, ...]:
        return tuple(self.affine(c) for c in nodes if c is not None)

    def affine(self, node: Node) -> Affine:
        total = Affine()
        for term in node.children:
            parts = [str(c) for c in _tree(term).children]
            match str(_tree(term).data):
                case "scaled":
                    total = total + Affine.of(parts[1]) * int(parts[0])
                case "plain_var":
                    total = total + parts[0]
                case _:
                    total = total + int(parts[0])
        return total

    def guard(self, node: Node) -> Guard:
        low, expr, bound = node.children
        if int(str(low)) != 0:
            raise self.source.error(node, "a guard compares with 0 on its left")
        return Guard(self.affine(_tree(expr)), int(str(bound)))

    def ty(self, node: Node) -> Ty:
        token = _token(node.children[0])
        if token.type == "WORD":
            dtype, lanes = str(token).split("x")
            return Ty(DType(dtype), int(lanes))
        return Ty(DType(str(token)))


def _tree(node: Any) -> Tree[Token]:
    assert isinstance(node, Tree)
    return node


def _token(node: Any) -> Token:
    assert isinstance(node, Token)
    return node
