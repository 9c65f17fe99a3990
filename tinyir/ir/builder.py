"""Making ops: a Builder puts each new op in place and gives its value back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import UNKNOWN, Loc
from tinyir.ir.core import Block, Func, Op, Value
from tinyir.ir.ops.func import Const, Return
from tinyir.ir.types import ElemType, TensorType, dtype_of


class Builder:
    """Inserts ops into `block`, before `before` or at the end. Ops made here get `loc` unless they bring their own."""

    def __init__(self, block: Block, before: Op | None = None, loc: Loc = UNKNOWN, numerics: str = "tflm") -> None:
        self.block = block
        self.before = before
        self.loc = loc
        self.numerics = numerics

    def insert(self, op: Op) -> Op:
        """Put `op` in place."""
        if not op.loc:
            op.loc = self.loc
        if self.before is not None:
            return self.block.insert_before(self.before, op)
        return self.block.append(op)

    def add(self, op: Op) -> Value:
        """Put `op`, which has one result, in place and give that result back."""
        return self.insert(op).result

    def const(self, array: npt.NDArray[Any], name: str = "", elem: ElemType | None = None, layout: str = "") -> Value:
        """A constant; its element type is the array's unless `elem` says more (scales)."""
        array = np.asarray(array, order="C")
        type = TensorType(tuple(array.shape), elem if elem is not None else dtype_of(array), layout)
        return self.add(Const(value=array, types=type, name=name))


class FuncBuilder(Builder):
    """Builds a function from Python, for examples, tests and front ends.

    b = FuncBuilder("main")
    x = b.arg(TensorType((1, 8), DType.F32), "x")
    func = b.ret(b.add(Tanh(x)))
    """

    def __init__(self, name: str = "main") -> None:
        self.func = Func(name)
        super().__init__(self.func.block)

    def arg(self, type: TensorType, name: str = "") -> Value:
        return self.func.block.add_arg(type, name)

    def ret(self, *values: Value | Sequence[Value]) -> Func:
        """End the function: its outputs are `values`."""
        self.insert(Return(*values))
        return self.func
