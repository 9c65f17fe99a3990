"""The loop IR: a kernel is a loop nest over buffers with explicit loads, stores and locals.

Everything is a frozen dataclass; a change makes a new kernel. Indices are affine in the loop variables, one for each
dimension of the buffer, so that bounds, dependences and overlaps follow exactly. Locals (`Let`, `Var`) belong to the
block they stand in. Nothing here knows a graph op or a C compiler.
"""

from __future__ import annotations

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
