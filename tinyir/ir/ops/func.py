"""Structure: constants, returns, groups of fused ops, and calls of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyir.ir.core import Op, Reference, Symbol, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.types import TensorType


@define_op("nn.const", Trait.PURE)
class Const(Op):
    """A compile-time array. Its type may be quantised; the array then holds the stored integers."""

    value: np.ndarray[Any, Any] = attr("the elements, in the order of the type's layout")
    y: Value = result()

    def infer(self) -> TensorType:
        declared = self.declared_type()
        if declared is None:
            raise self.fail("needs an explicit type")
        return declared

    def verify(self) -> None:
        want = (self.type.shape, self.type.storage.numpy)
        have = (self.value.shape, self.value.dtype)
        self.require(want == have, f"is declared {self.type}, but its array is {have[1]} {list(have[0])}")

    def reference(self) -> Reference:
        return Reference(lambda: self.value)


@define_op("func.return", Trait.TERMINATOR)
class Return(Op):
    """Hands out the function's results."""

    values: tuple[Value, ...] = operand(variadic=True)

    def infer(self) -> Sequence[TensorType]:
        return ()


@define_op("kernel.yield", Trait.TERMINATOR)
class Yield(Op):
    """Hands out the results of a `kernel.fused` region."""

    values: tuple[Value, ...] = operand(variadic=True)

    def infer(self) -> Sequence[TensorType]:
        return ()


@define_op("kernel.fused", Trait.PURE)
class Fused(Op):
    """Ops that become one kernel: nothing between them is stored. The region reads only its own arguments."""

    inputs: tuple[Value, ...] = operand(variadic=True)
    outputs: tuple[Value, ...] = result(variadic=True)

    def infer(self) -> Sequence[TensorType]:
        if self.region is None:
            raise self.fail("needs a region")
        return [value.type for value in self.region.terminator.operands]

    def verify(self) -> None:
        assert self.region is not None
        have = [arg.type for arg in self.region.args]
        want = [value.type for value in self.operands]
        self.require(have == want, "has a region whose arguments do not have the types of the operands")

    def macs(self) -> int:
        assert self.region is not None
        return sum(op.macs() for op in self.region.ops)


@define_op("loop.call")
class LoopCall(Op):
    """Runs a kernel of the loop IR: operands are its inputs and constants in order, results its outputs."""

    inputs: tuple[Value, ...] = operand(variadic=True)
    kernel: Symbol = attr("the kernel")
    work: int = attr("multiply-accumulates of one run", default=0)
    offsets: tuple[int, ...] = attr("arena offset of each result in bytes, from plan-memory", default=())
    scratch: tuple[int, ...] = attr("arena offset of each scratch buffer, from plan-memory", default=())
    outputs: tuple[Value, ...] = result(variadic=True)

    def infer(self) -> Sequence[TensorType]:
        return self.declared_types

    def macs(self) -> int:
        return self.work
