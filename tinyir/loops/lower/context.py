"""What every lowering works with: the group's ops, the kernel's parameters, and points of index spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.func import Fused
from tinyir.ir.shapes import broadcast_axes
from tinyir.ir.types import DType, TensorType, dtype_of
from tinyir.loops.affine import Affine
from tinyir.loops.ir import I32, Body, Const, Expr, For, Let, Load, Local, Param, Stmt, Store, Ty

Array = npt.NDArray[Any]
Point = tuple[Affine, ...]
"""An index for each axis of a tensor type."""

OPERAND_NAMES = {"w": "weights"}
"""Operands that would be called like a loop."""

AXIS_NAMES = {"N": "n", "H": "h", "W": "w", "C": "c"}


@dataclass(frozen=True)
class Group:
    """The ops of one kernel: at most one anchor that makes the loops, then ops that finish each element."""

    ops: tuple[Op, ...]
    outputs: tuple[Value, ...]

    @staticmethod
    def of(op: Op) -> Group:
        """A `kernel.fused` as a group, or any other op as a group of one."""
        if isinstance(op, Fused):
            assert op.region is not None
            return Group(tuple(op.region.ops[:-1]), tuple(op.region.terminator.operands))
        return Group((op,), tuple(op.results))

    @property
    def anchor(self) -> Op:
        """The op that is not elementwise, or else the first."""
        return next((op for op in self.ops if not op.has(Trait.ELEMENTWISE)), self.ops[0])


class Lowering:
    """Collects the parameters and names of one kernel while its body is built."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.params: list[Param] = []
        self.bindings: dict[str, Value | Array] = {}
        self._of_value: dict[Value, str] = {}
        self._names: set[str] = set()
        self._hints = self._operand_names()
        self.env: dict[Value, Expr] = {}
        self.point_space = group.anchor.results[0].type
        """The type whose axes, in its order, the indices of a point belong to."""

    def _operand_names(self) -> dict[Value, str]:
        """A name for each value the group reads: that of the first operand it serves as."""
        hints: dict[Value, str] = {}
        for op in self.group.ops:
            fields = [f.name for f in op.spec.operands]
            for i, value in enumerate(op.operands):
                name = fields[min(i, len(fields) - 1)]
                hints.setdefault(value, OPERAND_NAMES.get(name, name))
        return hints

    # -- names and parameters ---------------------------------------------------------------------------------------

    def unique(self, hint: str) -> str:
        """A name not taken yet, from `hint`."""
        name, number = hint, 1
        while name in self._names:
            name, number = f"{hint}{number}", number + 1
        self._names.add(name)
        return name

    def buffer(self, value: Value) -> str:
        """The parameter through which the kernel reads `value`."""
        if value not in self._of_value:
            role = "const" if constant_of(value) is not None else "in"
            name = self._add(self._hints.get(value, "x"), role, value.type.storage, value.type.shape)
            self._of_value[value] = name
            self.bindings[name] = value.outer
        return self._of_value[value]

    def table(self, array: Array, hint: str) -> str:
        """A parameter for a constant that the lowering makes."""
        name = self._add(hint, "const", dtype_of(array), tuple(array.shape))
        self.bindings[name] = array
        return name

    def channel_table(self, like: Value, array: Array, hint: str, point: Point) -> Expr:
        """An element of a table made here that runs along the same axes as the constant `like`; equal entries become
        one number."""
        if (array == array.reshape(-1)[0]).all():
            return Const(int(array.reshape(-1)[0]))
        axes = broadcast_axes(like.type, self.point_space)
        index = tuple(Affine() if n == 1 else point[a] for a, n in zip(axes, like.type.shape, strict=True))
        return Load(self.table(array.reshape(like.type.shape), hint), index, I32)

    def output(self, value: Value, hint: str = "y") -> str:
        """The parameter through which the kernel writes `value`."""
        if value not in self._of_value:
            self._of_value[value] = self._add(hint, "out", value.type.storage, value.type.shape)
        return self._of_value[value]

    def scratch(self, hint: str, dtype: DType, shape: tuple[int, ...]) -> str:
        """A parameter for private memory."""
        return self._add(hint, "scratch", dtype, shape)

    def _add(self, hint: str, role: str, dtype: DType, shape: tuple[int, ...]) -> str:
        name = self.unique(hint)
        self.params.append(Param(name, role, dtype, shape))
        return name

    # -- reading and writing ----------------------------------------------------------------------------------------

    def load(self, value: Value, index: Point) -> Expr:
        """An element of a value from outside the group; a constant of one element is written as a number."""
        ty = Ty(value.type.storage)
        array = constant_of(value)
        if array is not None and array.size == 1:
            number = array.reshape(-1)[0]
            return Const(float(number) if array.dtype.kind == "f" else int(number), ty)
        return Load(self.buffer(value), index, ty)

    def operand(self, value: Value, point: Point) -> Expr:
        """`value` at `point`, broadcast: what the group has computed there, or a load."""
        if value in self.env:
            return self.env[value]
        axes = broadcast_axes(value.type, self.point_space)
        index = tuple(
            Affine() if extent == 1 else point[axis] for axis, extent in zip(axes, value.type.shape, strict=True)
        )
        return self.load(value, index)

    def store(self, value: Value, point: Point, expr: Expr) -> Store:
        """Write `expr` to the element of the output `value` that `point` names."""
        axes = broadcast_axes(value.type, self.point_space)
        return Store(self.output(value), tuple(point[axis] for axis in axes), expr)

    def let(self, hint: str, expr: Expr, into: list[Stmt]) -> Expr:
        """Bind `expr` to a local, unless it is as simple as one."""
        if isinstance(expr, (Const, Local)):
            return expr
        name = self.unique(hint)
        into.append(Let(name, expr))
        return Local(name, expr.ty)

    # -- loops ------------------------------------------------------------------------------------------------------

    def axis(self, hint: str, extent: int) -> tuple[Affine, list[tuple[str, int]]]:
        """A loop variable as an index, and its loop; an extent of 1 is index 0 and no loop."""
        if extent == 1:
            return Affine(), []
        name = self.unique(hint)
        return Affine.of(name), [(name, extent)]

    def space(self, type: TensorType, prefix: str = "") -> tuple[Point, list[tuple[str, int]]]:
        """A point that runs over every element of `type`, and its loops, outermost first."""
        point: list[Affine] = []
        loops: list[tuple[str, int]] = []
        for i, extent in enumerate(type.shape):
            hint = AXIS_NAMES.get(type.layout[i], type.layout[i].lower()) if type.layout else f"i{i}"
            index, loop = self.axis(prefix + hint, extent)
            point.append(index)
            loops += loop
        return tuple(point), loops


def nest(loops: Sequence[tuple[str, int]], body: Body) -> Body:
    """`body` inside `loops`, the first outermost."""
    for var, extent in reversed(loops):
        body = (For(var, extent, body),)
    return body


def by_letter(type: TensorType, point: Point) -> dict[str, Affine]:
    """The point's indices by the letters of the layout."""
    return dict(zip(type.layout, point, strict=True))


def ordered(type: TensorType, letters: dict[str, Affine]) -> Point:
    """Indices by letter in the order of the type's axes."""
    return tuple(letters[letter] for letter in type.layout)


def const_of(value: int | float, ty: Ty) -> Const:
    return Const(float(value) if ty.dtype.numpy.kind == "f" else int(value), ty)


def as_int32(values: Sequence[int]) -> Array:
    return np.array(values, np.int32)
