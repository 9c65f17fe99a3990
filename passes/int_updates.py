"""The last step of an optimiser: a new value for a parameter that is real, or stored as integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import Builder
from tinyir.ir.core import Value
from tinyir.ir.ops.expand import storage
from tinyir.ir.ops.int_elementwise import Dequantize
from tinyir.ir.ops.nn_elementwise import Mul
from tinyir.ir.ops.random import NextStep, Random
from tinyir.ir.ops.tensor import Typed
from tinyir.ir.ops.train import Sgd
from tinyir.ir.ops.train_int import SgdInt, limits
from tinyir.ir.training import Rounding
from tinyir.ir.types import DType


@dataclass
class IntUpdates:
    """Makes the new values of int8 weights and int32 biases, each with random words of its own where `rounding` asks
    for them; `rng` is then the state that they are drawn from.

    With `qas` (quantisation-aware scaling) an optimiser works on the real weights w = s q, whatever their scales s: it
    gets dL/dw = dL/dq / s, and a step d on w is one of d / s on q. Plain SGD then divides by s^2, which is how Lin et
    al. (2022) state it.
    """

    rounding: Rounding
    qas: bool
    rng: Value | None = None
    starts: Mapping[Value, npt.NDArray[Any]] = field(default_factory=dict)
    """What parameters are at first, where that is known."""
    _drawn: int = field(default=0, init=False)

    def draws_for(self, params: Sequence[Value]) -> bool:
        """Whether updates of `params` need `rng`."""
        return self.rounding == "stochastic" and any(param.type.storage.is_integer for param in params)

    def gradient(self, b: Builder, param: Value, grad: Value) -> Value:
        """The gradient by what the optimiser works on, from that by the stored integers (or real numbers)."""
        return self._by_scale(b, param, grad)

    def stored(self, b: Builder, param: Value) -> Value:
        """The integers of a parameter, or its real numbers."""
        return storage(b, param) if param.type.quant is not None else param

    def real(self, b: Builder, param: Value) -> Value:
        """What the optimiser works on, in f32."""
        if not param.type.storage.is_integer:
            return param
        number = b.add(Dequantize(self.stored(b, param), scale=1.0, zero_point=0))
        return b.add(Mul(number, _scales(b, param, 1))) if self._scales_of(param) else number

    def apply(self, b: Builder, param: Value, direction: Value, rate: Value) -> tuple[Value, Value]:
        """param - rate * direction, stored as `param` is; and a number that is finite if the step is."""
        if not param.type.storage.is_integer:
            new = b.add(Sgd(param, direction, rate))
            return new, new
        stored, direction = self.stored(b, param), self._by_scale(b, param, direction)
        operands = [stored, direction, rate]
        if self.rng is not None:
            words = stored.type.with_elem(DType.I32)
            operands.append(b.add(Random(self.rng, salt=self._drawn, shape=words.shape, types=words)))
            self._drawn += 1
        lo, hi = limits(stored.type.storage, self.starts.get(param))
        new = b.add(
            SgdInt(*operands, rounding=self.rounding, lo=lo, hi=hi, types=stored.type, name=f"{param.name}.new")
        )
        return new, b.add(Mul(rate, direction))

    def typed(self, b: Builder, param: Value, stored: Value) -> Value:
        """A new value of `param` in its type."""
        return stored if param.type.quant is None else b.add(Typed(stored, types=param.type))

    def _scales_of(self, param: Value) -> bool:
        return self.qas and param.type.quant is not None

    def _by_scale(self, b: Builder, param: Value, value: Value) -> Value:
        """value / s, where scales count."""
        if not self._scales_of(param):
            return value
        return b.add(Mul(value, _scales(b, param, -1), types=param.type.with_elem(DType.F32)))

    def next_rng(self, b: Builder) -> list[Value]:
        """The new value of `rng`, if there is one."""
        return [] if self.rng is None else [b.add(NextStep(self.rng, name=f"{self.rng.name}.new"))]


def _scales(b: Builder, param: Value, power: int) -> Value:
    """The scales of a quantised parameter, or 1 over them, in a shape that goes with it."""
    type, quant = param.type, param.type.quant
    assert quant is not None
    factors = np.asarray(np.array(quant.scales, np.float64) ** power, np.float32)
    if quant.axis is None:
        return b.const(factors.reshape(()))
    if type.layout:
        return b.const(factors, layout=type.layout[quant.axis])
    return b.const(factors.reshape([-1 if i == quant.axis else 1 for i in range(len(type.shape))]))
