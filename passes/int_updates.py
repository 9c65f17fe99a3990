"""The last step of an optimiser: a new value for a parameter that is real, or stored as integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyir.ir.builder import Builder
from tinyir.ir.core import Value
from tinyir.ir.ops.expand import storage
from tinyir.ir.ops.int_elementwise import Dequantize
from tinyir.ir.ops.nn_elementwise import Mul
from tinyir.ir.ops.random import NextStep, Random
from tinyir.ir.ops.tensor import Typed
from tinyir.ir.ops.train import Sgd
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

    rounding: Rounding
    qas: bool
    rng: Value | None = None
    _drawn: int = field(default=0, init=False)

    def draws_for(self, params: Sequence[Value]) -> bool:
        """Whether updates of `params` need `rng`."""
        return self.rounding == "stochastic" and any(param.type.storage.is_integer for param in params)

    def scaled(self, b: Builder, param: Value, grad: Value) -> Value:
        """The gradient by the integers as one that goes with them; that of a real parameter as it is."""
        scale = _inverse_square(b, param) if self.qas and param.type.quant is not None else None
        return grad if scale is None else b.add(Mul(grad, scale, types=param.type.with_elem(DType.F32)))

    def apply(self, b: Builder, param: Value, direction: Value, rate: Value) -> Value:
        """param - rate * direction, of the type of `param`."""
        if not param.type.storage.is_integer:
            return b.add(Sgd(param, direction, rate))
        stored = _stored(b, param)
        operands = [stored, direction, rate]
        if self.rng is not None:
            words = stored.type.with_elem(DType.I32)
            operands.append(b.add(Random(self.rng, salt=self._drawn, shape=words.shape, types=words)))
            self._drawn += 1
        lo, hi = LIMITS[stored.type.storage]
        new = b.add(
            SgdInt(*operands, rounding=self.rounding, lo=lo, hi=hi, types=stored.type, name=f"{param.name}.new")
        )
        return new if param.type.quant is None else b.add(Typed(new, types=param.type))

    def next_rng(self, b: Builder) -> list[Value]:
        """The new value of `rng`, if there is one."""
        return [] if self.rng is None else [b.add(NextStep(self.rng, name=f"{self.rng.name}.new"))]


def real_value(b: Builder, param: Value) -> Value:
    """A parameter in f32; one that is stored as integers in units of its scale."""
    if not param.type.storage.is_integer:
        return param
    return b.add(Dequantize(_stored(b, param), scale=1.0, zero_point=0))


def _stored(b: Builder, param: Value) -> Value:
    return storage(b, param) if param.type.quant is not None else param


def _inverse_square(b: Builder, param: Value) -> Value:
    """1 / scale^2 of a quantised parameter, in a shape that goes with it."""
    type, quant = param.type, param.type.quant
    assert quant is not None
    factors = np.asarray(1 / np.square(np.array(quant.scales, np.float64)), np.float32)
    if quant.axis is None:
        return b.const(factors.reshape(()))
    if type.layout:
        return b.const(factors, layout=type.layout[quant.axis])
    return b.const(factors.reshape([-1 if i == quant.axis else 1 for i in range(len(type.shape))]))
