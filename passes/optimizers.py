"""Optimisers, as graphs of ops on a parameter, its gradient and the optimiser's own state.

What an optimiser remembers (momentum, moments, a sum of gradients, a counter) is state of the program's like the
parameters: a value that comes in, and a new value of it. What all parameters share advances first, and only its new
value is read then, so that every new value can be computed in place of the old one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from tinyir.ir.core import Value
from tinyir.ir.gradients import Backward
from tinyir.ir.ops.nn_elementwise import Add, Div, Mul, Sqrt, Sub
from tinyir.ir.ops.train import Accept, NextTurn, Turn
from tinyir.ir.types import DType, TensorType
from tinyir.passes.int_updates import IntUpdates
from tinyir.passes.step_options import Hyper, OptimizerName


@dataclass(frozen=True)
class Slot:
    """State: what it is called, its type, what all of it is at first."""

    name: str
    type: TensorType
    init: float = 0.0


def _real(type: TensorType) -> TensorType:
    """The type of what is remembered of a parameter: f32, whatever the parameter is stored as."""
    return type.with_elem(DType.F32)


@dataclass(frozen=True)
class Change:
    """New values of a parameter, as it is stored, and of its slots: `new` where all `probes` are finite, which they are
    only if all of `new` is, else `old`."""

    old: Sequence[Value]
    new: Sequence[Value]
    probes: Sequence[Value]


class Optimizer(ABC):
    """How parameters change. `hyper` holds the numbers; `updates` takes the last step, param - rate * direction."""

    def __init__(self, hyper: Hyper, updates: IntUpdates) -> None:
        self.hyper, self.updates = hyper, updates

    def shared(self) -> list[Slot]:
        """State that all parameters have in common."""
        return []

    def advance(self, b: Backward, shared: Sequence[Value]) -> list[Value]:
        """The new values of the shared state."""
        return []

    @abstractmethod
    def slots(self, param: Value) -> list[Slot]:
        """The state of one parameter."""

    @abstractmethod
    def change(
        self, b: Backward, param: Value, grad: Value, lr: Value, slots: Sequence[Value], shared: Sequence[Value]
    ) -> Change:
        """What becomes of `param` and its slots. `shared` is the new shared state."""

    def _decayed(self, b: Backward, param: Value, grad: Value) -> Value:
        """The gradient with that of weight_decay / 2 * param^2."""
        if not self.hyper.weight_decay:
            return grad
        return b.add(Add(grad, b.add(Mul(b.number(self.hyper.weight_decay), self.updates.real(b, param)))))


class StochasticGradientDescent(Optimizer):
    """v' = momentum * v + grad; param' = param - lr * v', or with Nesterov's look ahead - lr * (grad + momentum * v')
    (the forms of torch.optim.SGD). Without momentum there is no v."""

    def slots(self, param: Value) -> list[Slot]:
        return [Slot(f"{param.name}_momentum", _real(param.type))] if self.hyper.momentum else []

    def change(
        self, b: Backward, param: Value, grad: Value, lr: Value, slots: Sequence[Value], shared: Sequence[Value]
    ) -> Change:
        grad = self._decayed(b, param, grad)
        direction, kept = grad, list[Value]()
        for velocity in slots:
            direction = b.add(Add(b.add(Mul(b.number(self.hyper.momentum), velocity)), grad))
            kept = [direction]
            if self.hyper.nesterov:
                ahead = b.add(Mul(b.number(self.hyper.momentum), direction))
                direction = b.add(Add(grad, ahead))
        new, probe = self.updates.apply(b, param, direction, lr)
        return Change([self.updates.stored(b, param), *slots], [new, *kept], [probe])


class Adam(Optimizer):
    """m' = beta1 m + (1 - beta1) grad, v' = beta2 v + (1 - beta2) grad^2,
    param' = param - lr / (1 - beta1^t) * m' / (sqrt(v' / (1 - beta2^t)) + epsilon) at update t (Kingma and Ba, 2015).

    The powers of both betas are state, multiplied once an update.
    """

    def shared(self) -> list[Slot]:
        return [Slot(name, TensorType((), DType.F32), 1.0) for name in ("beta1_power", "beta2_power")]

    def advance(self, b: Backward, shared: Sequence[Value]) -> list[Value]:
        betas = (self.hyper.beta1, self.hyper.beta2)
        return [b.add(Mul(power, b.number(beta))) for power, beta in zip(shared, betas, strict=True)]

    def slots(self, param: Value) -> list[Slot]:
        return [Slot(f"{param.name}_{name}", _real(param.type)) for name in ("mean", "square")]

    def change(
        self, b: Backward, param: Value, grad: Value, lr: Value, slots: Sequence[Value], shared: Sequence[Value]
    ) -> Change:
        grad = self._decayed(b, param, grad)
        mean = self._blend(b, self.hyper.beta1, slots[0], grad)
        square = self._blend(b, self.hyper.beta2, slots[1], b.add(Mul(grad, grad)))
        corrections = [b.add(Sub(b.number(1), power)) for power in shared]
        rate = b.add(Div(lr, corrections[0]))
        root = b.add(Sqrt(b.add(Div(square, corrections[1]))))
        direction = b.add(Div(mean, b.add(Add(root, b.number(self.hyper.epsilon)))))
        new, probe = self.updates.apply(b, param, direction, rate)
        return Change([self.updates.stored(b, param), *slots], [new, mean, square], [probe, square])

    def _blend(self, b: Backward, beta: float, old: Value, new: Value) -> Value:
        """beta * old + (1 - beta) * new"""
        return b.add(Add(b.add(Mul(b.number(beta), old)), b.add(Mul(b.number(1 - beta), new))))


class Accumulating(Optimizer):
    """Another optimiser, at every n-th step: sum' = (0 at the first of n steps, else sum) + grad / n, and what the
    other one makes of sum' counts at the last of them."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.hyper, inner.updates)
        self._inner = inner

    def shared(self) -> list[Slot]:
        return [*self._inner.shared(), Slot("turn", TensorType((), DType.I32))]

    def advance(self, b: Backward, shared: Sequence[Value]) -> list[Value]:
        *old, turn = shared
        turn = b.add(NextTurn(turn, count=self.hyper.accumulate))
        return [*self._at_last(b, turn, self._inner.advance(b, old), old), turn]

    def slots(self, param: Value) -> list[Slot]:
        return [*self._inner.slots(param), Slot(f"{param.name}_sum", _real(param.type))]

    def change(
        self, b: Backward, param: Value, grad: Value, lr: Value, slots: Sequence[Value], shared: Sequence[Value]
    ) -> Change:
        *old, total = slots
        *inner, turn = shared
        # `turn` is the next one: 1 in the first of n steps, 0 in the last.
        kept = b.add(Turn(turn, b.number(0), total, at=1))
        added = b.add(Add(kept, b.add(Mul(grad, b.number(1 / self.hyper.accumulate)))))
        (total,) = b.insert(Accept(kept, added, added, states=1)).results
        change = self._inner.change(b, param, total, lr, old, inner)
        new = self._at_last(b, turn, change.new, change.old)
        probes = self._at_last(b, turn, change.probes, [total] * len(change.probes))
        return Change([*change.old, total], [*new, total], probes)

    def _at_last(self, b: Backward, turn: Value, new: Sequence[Value], old: Sequence[Value]) -> list[Value]:
        """Each of `new` in the last of n steps, else that of `old`."""
        return [b.add(Turn(turn, *pair, at=0)) for pair in zip(new, old, strict=True)]


OPTIMIZERS: dict[OptimizerName, type[Optimizer]] = {"sgd": StochasticGradientDescent, "adam": Adam}


def make_optimizer(name: OptimizerName, hyper: Hyper, updates: IntUpdates) -> Optimizer:
    """The optimiser of that name, which takes its steps by `updates`. Raises UsageError for numbers that it cannot work
    with."""
    hyper.check(name)
    optimizer = OPTIMIZERS[name](hyper, updates)
    return Accumulating(optimizer) if hyper.accumulate > 1 else optimizer
