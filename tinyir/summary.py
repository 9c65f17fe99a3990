"""What is in a function, as data: its inputs, outputs, operators, and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tinyir.ir.core import Func, Op
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.types import TensorType


@dataclass(frozen=True)
class OpRow:
    """One operator. `constant_bytes` counts a constant at each operator that reads it."""

    index: int
    kind: str
    types: tuple[TensorType, ...]
    macs: int
    constant_bytes: int
    location: str


@dataclass(frozen=True)
class Summary:
    """A function: `constant_bytes` counts each constant once, `largest_bytes` is the largest tensor between ops."""

    name: str
    inputs: tuple[tuple[str, TensorType], ...]
    outputs: tuple[tuple[str, TensorType], ...]
    ops: tuple[OpRow, ...]
    macs: int
    constant_bytes: int
    largest_bytes: int

    @property
    def kinds(self) -> Counter[str]:
        """How many operators there are of each kind."""
        return Counter(row.kind for row in self.ops)


def summarize(func: Func) -> Summary:
    """The summary of `func`; constants and the return are no operators."""
    ops = [op for op in func.ops if not isinstance(op, Const) and not op.has(Trait.TERMINATOR)]
    rows = tuple(_row(i, op) for i, op in enumerate(ops))
    return Summary(
        func.name,
        tuple((arg.name or f"input{i}", arg.type) for i, arg in enumerate(func.args)),
        tuple((value.name or f"output{i}", value.type) for i, value in enumerate(func.outputs)),
        rows,
        sum(row.macs for row in rows),
        sum(op.value.nbytes for op in func.walk() if isinstance(op, Const)),
        max((value.type.bytes for op in ops for value in op.results), default=0),
    )


def _row(index: int, op: Op) -> OpRow:
    constants = {value.defining_op for value in op.operands} - {None}
    inner = op.region.ops if op.region is not None else []
    arrays = [c.value for c in (*constants, *inner) if isinstance(c, Const)]
    return OpRow(
        index,
        op.opname,
        tuple(value.type for value in op.results),
        op.macs(),
        sum(array.nbytes for array in arrays),
        str(op.loc),
    )
