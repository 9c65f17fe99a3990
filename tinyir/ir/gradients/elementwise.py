"""Gradients of arithmetic element by element. An operand that was broadcast gets the sum over its copies."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.nn_elementwise import Add, Mul, Sub


@gradient.register
def _(op: Add, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [b.sum_to(g, v.type) if wanted else None for v, wanted in zip(op.operands, wants, strict=True)]


@gradient.register
def _(op: Sub, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [
        b.sum_to(g, op.a.type) if wants[0] else None,
        b.sum_to(b.add(Mul(g, b.number(-1))), op.b.type) if wants[1] else None,
    ]


@gradient.register
def _(op: Mul, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [
        b.sum_to(b.add(Mul(g, op.b)), op.a.type) if wants[0] else None,
        b.sum_to(b.add(Mul(g, op.a)), op.b.type) if wants[1] else None,
    ]
