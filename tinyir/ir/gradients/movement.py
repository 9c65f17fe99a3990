"""Gradients of ops that move elements."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.gradients.rule import Backward, gradient
from tinyir.ir.ops.tensor import Broadcast, Reshape


@gradient.register
def _(op: Reshape, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [b.add(Reshape(g, shape=op.x.type.shape, types=op.x.type.with_elem(g.type.elem)))]


@gradient.register
def _(op: Broadcast, b: Backward, g: Value, wants: tuple[bool, ...]) -> list[Value | None]:
    return [b.sum_to(g, op.x.type)]
