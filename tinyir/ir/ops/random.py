"""Random words that follow from a state of two words, the seed and the number of the step.

A word is a hash of both, of the number of the draw in the program, and of the element's index: in whatever order loops
run, every backend draws the same.
"""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.types import DType, TensorType

RNG_TYPE = TensorType((2,), DType.I32)
"""The state: (seed, step)."""


@define_op("train.random", Trait.PURE, Trait.ELEMENTWISE)
class Random(Op):
    """y[i] = 32 random bits; i counts the elements in the order of `shape`."""

    state: Value = operand("i32 [seed, step]")
    salt: int = attr("the number of this draw: other draws of the step give other words")
    shape: tuple[int, ...] = attr("of the result")
    y: Value = result("i32")

    def infer(self) -> TensorType:
        self.require(self.state.type == RNG_TYPE, f"needs the state {RNG_TYPE}, not {self.state.type}")
        declared = self.declared_type()
        named = declared is not None and len(declared.layout) == len(self.shape)
        return TensorType(self.shape, DType.I32, declared.layout if declared is not None and named else "")

    def reference(self) -> Reference:
        return Reference(semantics.random, {"salt": self.salt, "shape": self.shape})


@define_op("train.next_step", Trait.PURE, Trait.ELEMENTWISE)
class NextStep(Op):
    """(seed, step) -> (seed, step + 1): the next step draws other words."""

    state: Value = operand("i32 [seed, step]")
    y: Value = result("the new state")

    def infer(self) -> TensorType:
        self.require(self.state.type == RNG_TYPE, f"needs the state {RNG_TYPE}, not {self.state.type}")
        return RNG_TYPE

    def reference(self) -> Reference:
        return Reference(semantics.next_step)
