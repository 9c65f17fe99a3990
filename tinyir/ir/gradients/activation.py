"""Gradients of activations. They read the result rather than the operand where it says enough."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.grad import HardSwishGradient, Inside, LeakyReluGradient
from tinyir.ir.ops.nn_activation import HardSwish, LeakyRelu, Logistic, Relu, Softplus, Tanh
from tinyir.ir.ops.nn_elementwise import Clamp, Mul, Sub


@gradient.register(Clamp)
@gradient.register(Relu)
def _(op: Clamp | Relu, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g where the clamp changed nothing"""
    return [b.add(Inside(g, op.y, lo=op.lo, hi=op.hi))]


@gradient.register
def _(op: LeakyRelu, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g, times alpha where x is not positive"""
    return [b.add(LeakyReluGradient(g, op.x, alpha=op.alpha))]


@gradient.register
def _(op: HardSwish, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g (2 x + 3) / 6 between -3 and 3"""
    return [b.add(HardSwishGradient(g, op.x))]


@gradient.register
def _(op: Logistic, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g y (1 - y)"""
    slope = b.add(Mul(op.y, b.add(Sub(b.number(1), op.y))))
    return [b.add(Mul(g, slope))]


@gradient.register
def _(op: Tanh, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g (1 - y^2)"""
    return [b.add(Mul(g, b.add(Sub(b.number(1), b.add(Mul(op.y, op.y))))))]


@gradient.register
def _(op: Softplus, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    """g logistic(x)"""
    return [b.add(Mul(g, b.add(Logistic(op.x))))]
