"""What must hold of every kernel: names are defined, unique and in scope; indices have the right rank and range;
what is stored has the type of its buffer."""

from __future__ import annotations

from typing import Literal

from tinyir.loops.affine import Affine
from tinyir.loops.ir import Body, Cond, Expr, For, Gather, If, Index, Kernel, Let, Load, Local, Set, Store, Ty, Var
from tinyir.loops.walk import children, exprs_of


def check_kernel(kernel: Kernel) -> str:
    """The first mistake in a kernel, in words; empty when there is none."""
    try:
        _Checker(kernel).block(kernel.body, {}, {})
    except _MistakeError as mistake:
        return f"@{kernel.name}: {mistake}"
    return ""


class _MistakeError(Exception):
    pass


class _Checker:
    """Walks a kernel with the loops and locals in scope."""

    def __init__(self, kernel: Kernel) -> None:
        self.params = {p.name: p for p in kernel.params}
        self.loops: set[str] = set()
        if len(self.params) != len(kernel.params):
            raise _MistakeError("two parameters have one name")

    def block(self, body: Body, extents: dict[str, int], scope: dict[str, bool], guarded: bool = False) -> None:
        """`scope` maps each local to whether it may be set; `guarded` code may count on what its guards say."""
        scope = dict(scope)
        for stmt in body:
            for expr in exprs_of(stmt):
                self.expr(expr, extents, scope, guarded)
            match stmt:
                case For(var=var, extent=extent, body=inner):
                    if var in self.loops or var in self.params or var in scope:
                        raise _MistakeError(f"the name `{var}` is taken")
                    if extent < 1:
                        raise _MistakeError(f"the loop over `{var}` has {extent} iterations")
                    self.loops.add(var)
                    self.block(inner, {**extents, var: extent}, scope, guarded)
                case If(guards=guards, body=inner, orelse=orelse):
                    for guard in guards:
                        self.affine(guard.expr, extents)
                    self.block(inner, extents, scope, True)
                    self.block(orelse, extents, scope, True)
                case Let(name=name) | Var(name=name):
                    if name in scope or name in self.params or name in extents:
                        raise _MistakeError(f"the name `{name}` is taken")
                    scope[name] = isinstance(stmt, Var)
                case Set(name=name):
                    if not scope.get(name):
                        raise _MistakeError(f"`{name}` is no variable here")
                case Store(buffer=buffer, index=index, value=value):
                    self.access(buffer, index, value.ty, extents, None if guarded else "written")
                    if self.params[buffer].role in ("in", "const"):
                        raise _MistakeError(f"`{buffer}` is not to be written")

    def expr(self, expr: Expr, extents: dict[str, int], scope: dict[str, bool], guarded: bool) -> None:
        match expr:
            case Local(name=name):
                if name not in scope:
                    raise _MistakeError(f"`{name}` is not defined here")
            case Load(buffer=buffer, index=index, ty=ty):
                self.access(buffer, index, ty, extents, None if guarded else "read")
            case Gather(buffer=buffer, ty=ty):
                self.access(buffer, None, ty, extents)
            case Index(at=at):
                self.affine(at, extents)
            case Cond(guards=guards):
                for guard in guards:
                    self.affine(guard.expr, extents)
        for child in children(expr):
            self.expr(child, extents, scope, guarded or isinstance(expr, Cond))

    def affine(self, at: Affine, extents: dict[str, int]) -> None:
        for var in at.vars:
            if var not in extents:
                raise _MistakeError(f"no loop over `{var}` is around its use")

    def access(
        self,
        buffer: str,
        index: tuple[Affine, ...] | None,
        ty: Ty,
        extents: dict[str, int],
        unguarded: Literal["read", "written"] | None = None,
    ) -> None:
        """An access to a buffer; bounds are checked where no guard has a say in them."""
        if buffer not in self.params:
            raise _MistakeError(f"no buffer is called `{buffer}`")
        if self.params[buffer].dtype is not ty.dtype:
            raise _MistakeError(f"`{buffer}` holds {self.params[buffer].dtype}, not {ty.dtype}")
        if index is None:
            return
        shape = self.params[buffer].shape
        if len(index) != len(shape):
            raise _MistakeError(f"`{buffer}` has {len(shape)} dimensions, not {len(index)}")
        for dim, (at, size) in enumerate(zip(index, shape, strict=True)):
            self.affine(at, extents)
            lo, hi = at.range(extents)
            last = hi + (ty.lanes - 1 if dim == len(shape) - 1 else 0)
            if unguarded and (lo < 0 or last >= size):
                raise _MistakeError(f"`{buffer}` is {unguarded} at {lo}..{last} of {size} along dimension {dim}")
