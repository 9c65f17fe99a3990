"""Updates of parameters that are stored integers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyir.ir.builder import Builder
from tinyir.ir.core import Value
from tinyir.ir.ops.expand import storage
from tinyir.ir.ops.nn_elementwise import Mul
from tinyir.ir.ops.random import NextStep, Random
from tinyir.ir.ops.tensor import Typed
from tinyir.ir.ops.train_int import LIMITS, Rounding, SgdInt
from tinyir.ir.types import DType


@dataclass
class IntUpdates:
    """Makes the new values of int8 weights and int32 biases, each with random words of its own where `rounding` asks
    for them; `rng` is then the state that they are drawn from.

    With `qas` (quantisation-aware scaling) the gradient by a stored integer q of scale s is divided by s^2. The weight
    is w = s q, so dL/dq = s dL/dw, and a step of lr dL/dw on w is one of lr dL/dw / s = lr dL/dq / s^2 on q: integers
    then move as the weights of the float model do.
    """

    b: Builder
    lr: Value
    rounding: Rounding
    qas: bool
    rng: Value | None = None
    draws: int = field(default=0, init=False)

    def __call__(self, param: Value, grad: Value) -> Value:
        """The new value of `param`, of its type."""
        stored = storage(self.b, param) if param.type.quant is not None else param
        scale = _inverse_square(self.b, param) if self.qas else None
        if scale is not None:
            grad = self.b.add(Mul(grad, scale, types=stored.type.with_elem(DType.F32)))
        operands = [stored, grad, self.lr]
        if self.rng is not None:
            shape = stored.type.shape
            operands.append(
                self.b.add(Random(self.rng, salt=self.draws, shape=shape, types=stored.type.with_elem(DType.I32)))
            )
            self.draws += 1
        lo, hi = LIMITS[stored.type.storage]
        new = self.b.add(SgdInt(*operands, rounding=self.rounding, lo=lo, hi=hi, types=stored.type))
        new.name = f"{param.name}.new"
        return new if param.type.quant is None else self.b.add(Typed(new, types=param.type))

    def next_rng(self) -> Value:
        """The new value of `rng`."""
        assert self.rng is not None
        return self.b.add(NextStep(self.rng, name=f"{self.rng.name}.new"))


def _inverse_square(b: Builder, param: Value) -> Value | None:
    """1 / scale^2 of a parameter, in a shape that goes with it; None where the type has no scale."""
    type, quant = param.type, param.type.quant
    if quant is None:
        return None
    factors = np.asarray(1 / np.square(np.array(quant.scales, np.float64)), np.float32)
    if quant.axis is None:
        return b.const(factors.reshape(()))
    if type.layout:
        return b.const(factors, layout=type.layout[quant.axis])
    return b.const(factors.reshape([-1 if i == quant.axis else 1 for i in range(len(type.shape))]))
