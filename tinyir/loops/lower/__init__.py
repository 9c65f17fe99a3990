"""Graph ops to plain loop nests: the meaning of a group as loops, with no cleverness.

The anchor of a group (a convolution, a pooling, a copy) makes the loops and computes one element at a time; the
elementwise ops after it finish that element, and it is stored. Nothing in between has a buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.types import TensorType
from tinyir.loops.ir import Body, Expr, Kernel, Let, Local, Stmt
from tinyir.loops.lower import floats as _floats  # noqa: F401  # registers the float ops
from tinyir.loops.lower import random as _random  # noqa: F401  # and the random ones
from tinyir.loops.lower import train_int as _train_int  # noqa: F401
from tinyir.loops.lower.context import Group, Lowering, Point, nest
from tinyir.loops.lower.contraction import (
    Finish,
    lower_conv,
    lower_dense,
    lower_dense_input,
    lower_dense_weight,
    lower_fold_zero_point,
)
from tinyir.loops.lower.elementwise import elements
from tinyir.loops.lower.grad_conv import lower_conv_input, lower_conv_weight
from tinyir.loops.lower.grad_window import (
    lower_max_pool_gradient,
    lower_resize_nearest_gradient,
    lower_window_sum,
)
from tinyir.loops.lower.image import lower_image
from tinyir.loops.lower.masks import lower_mask
from tinyir.loops.lower.movement import lower_movement
from tinyir.loops.lower.narrow import lower_exponent, lower_peak
from tinyir.loops.lower.window import (
    lower_average_pool,
    lower_log_softmax,
    lower_max_pool,
    lower_softmax,
    lower_softmax_float,
    lower_sum,
)
from tinyir.loops.walk import exprs_of, subexprs

ANCHORS: dict[str, Callable[[Lowering, Op, Finish], Body]] = {
    "int.conv2d": lower_conv,
    "int.depthwise_conv2d": lower_conv,
    "int.dense": lower_dense,
    "int.fold_zero_point": lower_fold_zero_point,
    "int.average_pool2d": lower_average_pool,
    "int.max_pool2d": lower_max_pool,
    "int.sum": lower_sum,
    "int.softmax": lower_softmax,
    "nn.conv2d": lower_conv,
    "nn.depthwise_conv2d": lower_conv,
    "nn.dense": lower_dense,
    "nn.average_pool2d": lower_average_pool,
    "nn.max_pool2d": lower_max_pool,
    "nn.mean": lower_sum,
    "nn.sum": lower_sum,
    "nn.softmax": lower_softmax_float,
    "nn.log_softmax": lower_log_softmax,
    "grad.dense_input": lower_dense_input,
    "grad.dense_weight": lower_dense_weight,
    "grad.mask": lower_mask,
    "grad.exponent": lower_exponent,
    "grad.peak": lower_peak,
    "grad.conv2d_input": lower_conv_input,
    "grad.conv2d_weight": lower_conv_weight,
    "grad.depthwise_input": lower_conv_input,
    "grad.depthwise_weight": lower_conv_weight,
    "grad.max_pool": lower_max_pool_gradient,
    "grad.window_sum": lower_window_sum,
    "grad.resize_nearest": lower_resize_nearest_gradient,
    "image.affine": lower_image,
    "image.affine_matrix": lower_image,
    "image.resize_bilinear": lower_image,
    "tensor.transpose": lower_movement,
    "tensor.pad": lower_movement,
    "tensor.slice": lower_movement,
    "tensor.concat": lower_movement,
    "tensor.resize_nearest": lower_movement,
}


@dataclass(frozen=True)
class Lowered:
    """A kernel, and what to pass for each of its `in` and `const` parameters: a value of the function, or an array
    that the lowering made (a table of multipliers)."""

    kernel: Kernel
    bindings: dict[str, Value | npt.NDArray[Any]]


def lower(op: Op, name: str) -> Lowered:
    """The kernel of a `kernel.fused`, or of any other op, called `name`. Raises IRError for an op without a lowering,
    and for one that computes with quantised types.

    Parameters are inputs and constants in the order of their first use, then outputs in the order of the op's results,
    then scratch.
    """
    group = Group.of(op)
    low = Lowering(group)
    _refuse_quantised_ops(group)
    anchor = group.anchor
    if anchor.has(Trait.ELEMENTWISE):
        body = _elementwise_nest(low, group)
    else:
        if anchor.opname not in ANCHORS:
            raise anchor.fail("has no lowering to loops")
        body = ANCHORS[anchor.opname](low, anchor, lambda point, value: _finish(low, anchor, point, value))
    order = {"in": 0, "const": 1, "out": 2, "scratch": 3}
    params = tuple(sorted(low.params, key=lambda p: order[p.role]))
    kernel = Kernel(name, params, body, kind=anchor.opname, doc=tuple(_doc(o) for o in group.ops))
    return Lowered(kernel, low.bindings)


def _refuse_quantised_ops(group: Group) -> None:
    """Kernels compute with stored integers; an op that only moves elements does not care what they stand for."""
    for op in group.ops:
        if not op.has(Trait.DATA_MOVEMENT) and any(v.type.quant is not None for v in (*op.operands, *op.results)):
            raise op.fail("computes with quantised types, which kernels do not know", "run `legalize-quant` first")


def _doc(op: Op) -> str:
    """One op with its types, for the comment above the kernel."""
    operands = ", ".join(_short(value.type) for value in op.operands)
    return f"{op.opname}({operands}) -> {', '.join(_short(value.type) for value in op.results)}"


def _short(type: TensorType) -> str:
    dims = "x".join(str(n) for n in (*type.shape, type.storage))
    return f"{dims} {type.layout}".rstrip()


def _finish(low: Lowering, anchor: Op, point: Point, value: Expr) -> Body:
    """The group's elementwise ops at one point (those that do not need the anchor may stand before it), and the stores
    of its outputs."""
    body: list[Stmt] = []
    low.env = {anchor.result: value}
    tail = [op for op in low.group.ops if op is not anchor]
    if any(len(op.operands) > 0 and anchor.result in op.operands for op in tail):
        low.env[anchor.result] = low.let("v", value, body)
    for op in tail:
        _compute(low, op, point, body)
    body += [low.store(v, point, low.env[v]) for v in low.group.outputs]
    return _without_unread(body)


def _compute(low: Lowering, op: Op, point: Point, body: list[Stmt]) -> None:
    """Bind the results of an elementwise op at one point to locals."""
    for value, expr in zip(op.results, elements(op, low, point, body), strict=True):
        low.env[value] = low.let(op.opname.partition(".")[2], expr, body)


def _elementwise_nest(low: Lowering, group: Group) -> Body:
    """Loops over the result of ops that are all elementwise; one loop where every tensor lies in memory alike."""
    low.point_space = group.outputs[0].type
    point, loops = low.space(low.point_space)
    body: list[Stmt] = []
    for op in group.ops:
        _compute(low, op, point, body)
    body += [low.store(v, point, low.env[v]) for v in group.outputs]
    return nest(loops, _without_unread(body))


def _without_unread(body: list[Stmt]) -> Body:
    """The statements without locals that nothing reads: an op may be computed from what its operand was made of."""
    kept: list[Stmt] = []
    read: set[str] = set()
    for stmt in reversed(body):
        if not isinstance(stmt, Let) or stmt.name in read:
            kept.append(stmt)
            read |= {e.name for top in exprs_of(stmt) for e in subexprs(top) if isinstance(e, Local)}
    return tuple(reversed(kept))


def as_array(binding: Value | npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The array of a constant binding, None for a tensor."""
    from tinyir.ir.ops.expand import constant_of

    return binding if isinstance(binding, np.ndarray) else constant_of(binding)
