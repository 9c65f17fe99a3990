"""Training: targets, and optimisers.

An optimiser is ops that end in a `train.accept`, whose results are new values of its first operands. Those are state of
the caller's; memory planning lets the results take their places.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.types import DType, TensorType


@define_op("train.one_hot", Trait.PURE, Trait.ELEMENTWISE)
class OneHot(Op):
    """y[0, i] = 1 where i is the label, else 0."""

    label: Value = operand("one i32")
    classes: int = attr("how many labels there are")
    y: Value = result("f32 [1, classes]")

    def infer(self) -> TensorType:
        self.require(self.label.type == TensorType((), DType.I32), f"needs one i32, not {self.label.type}")
        return TensorType((1, self.classes), DType.F32)

    def verify(self) -> None:
        self.require(self.classes > 0, f"has {self.classes} classes")

    def reference(self) -> Reference:
        return Reference(semantics.one_hot, {"classes": self.classes})


@define_op("train.sgd", Trait.PURE, Trait.ELEMENTWISE)
class Sgd(Op):
    """y = param - lr * grad."""

    param: Value = operand("f32")
    grad: Value = operand("f32, of the same shape")
    lr: Value = operand("one f32: the learning rate")
    y: Value = result("the new value of param")

    def infer(self) -> TensorType:
        same = self.param.type.shape == self.grad.type.shape
        self.require(same, f"has a gradient of another shape: {self.param.type}, {self.grad.type}")
        self.require(self.lr.type == TensorType((), DType.F32), f"needs one f32 as rate, not {self.lr.type}")
        return elementwise_result(self, DType.F32)

    def reference(self) -> Reference:
        return Reference(semantics.sgd)


@define_op("train.accept", Trait.PURE, Trait.ELEMENTWISE, Trait.UPDATE)
class Accept(Op):
    """New values of state, unless that loses what was learned: y[k] = new[k] where all probes are finite, else old[k].

    A gradient that overflows so leaves an element of a parameter, and all that is remembered of it, as it was.
    """

    values: tuple[Value, ...] = operand("`states` old values, as many new ones, then f32 probes", variadic=True)
    states: int = attr("how many values are replaced")
    ys: tuple[Value, ...] = result("as the new values", variadic=True)

    @property
    def old(self) -> tuple[Value, ...]:
        return self.values[: self.states]

    @property
    def new(self) -> tuple[Value, ...]:
        return self.values[self.states : 2 * self.states]

    @property
    def probes(self) -> tuple[Value, ...]:
        return self.values[2 * self.states :]

    def infer(self) -> Sequence[TensorType]:
        return [value.type for value in self.new]

    def verify(self) -> None:
        self.require(self.states > 0 and len(self.probes) > 0, "needs old values, new values and probes")
        self.require([v.type for v in self.old] == [v.type for v in self.new], "has new values of other types")
        self.require(len({v.type.shape for v in self.values}) == 1, "has operands of several shapes")
        self.require(all(v.type.elem == DType.F32 for v in self.probes), "has probes that are not f32")

    def reference(self) -> Reference:
        return Reference(semantics.accept, {"states": self.states})


@define_op("train.next_turn", Trait.PURE, Trait.ELEMENTWISE)
class NextTurn(Op):
    """y = turn + 1, or 0 where that would be `count` or more: counts 0, 1, ..., count - 1, 0, ..."""

    turn: Value = operand("one i32, state")
    count: int = attr("how many turns there are")
    y: Value = result("the new value of turn")

    def infer(self) -> TensorType:
        self.require(self.turn.type == TensorType((), DType.I32), f"needs one i32, not {self.turn.type}")
        return self.turn.type

    def verify(self) -> None:
        self.require(self.count > 0, f"has {self.count} turns")

    def reference(self) -> Reference:
        return Reference(semantics.next_turn, {"count": self.count})


@define_op("train.turn", Trait.PURE, Trait.ELEMENTWISE)
class Turn(Op):
    """y = a where the turn is `at`, else b."""

    turn: Value = operand("one i32")
    a: Value = operand("f32 or integers; extents of 1 broadcast")
    b: Value = operand("of the same elements; extents of 1 broadcast")
    at: int = attr("the turn of a")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(self.turn.type == TensorType((), DType.I32), f"needs one i32, not {self.turn.type}")
        self.require(self.a.type.elem == self.b.type.elem, f"chooses from {self.a.type} and {self.b.type}")
        return elementwise_result(self, self.a.type.elem)

    def reference(self) -> Reference:
        return Reference(semantics.turn, {"at": self.at})
