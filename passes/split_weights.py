"""Layers of which some input channels are trained: the weights in two parts, and the trained channels in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import Builder
from tinyir.ir.core import Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_elementwise import Add
from tinyir.ir.ops.nn_window import AveragePool2D, MaxPool2D, Mean
from tinyir.ir.ops.tensor import Concat, Reshape
from tinyir.ir.rewrite import replace_op
from tinyir.ir.types import DType, QType
from tinyir.train_plan import Layer, PlanError


def split_channels(layer: Layer, count: int) -> tuple[Op, Op]:
    """Take the weights of the layer apart, into its first `count` input channels and the others. A float layer becomes
    the sum of two:

        %y = nn.dense(%x, %w, %b)  ->  %t = nn.dense(%x, %w[:, :count]) {first_channel = 0}
                                       %f = nn.dense(%x, %w[:, count:], %b) {first_channel = count}
                                       %y = nn.add(%f, %t)

    The weights of a quantised one are joined again by a tensor.concat, which legalize-quant turns into a sum of
    accumulators. Returns the op that reads the trained part (see `trained_operand`), and the one that reads the bias.
    """
    op, weights = layer.op, _const(layer, 1)
    axis = weights.type.axis("I") if weights.type.layout else 1
    assert op.block is not None
    b = Builder(op.block, before=op, loc=op.loc)
    array, name = weights.value, weights.result.name
    parts = np.split(array, [count], axis)
    first, rest = (_taken(b, weights.result, part) for part in parts)
    rest.name = f"{name}.frozen"
    if weights.type.elem != DType.F32:
        joined = Concat(first, rest, axis=axis, name=f"{name}.joined")
        op.set_operand(1, b.add(joined))
        _drop(weights)
        return joined, op
    x, y = op.operands[0], op.results[0]
    attrs = {name: value for name, value in op.attrs.items() if name != "first_channel"}
    trained = type(op)(x, first, **attrs, first_channel=0, types=y.type, name=f"{y.name}.trained")
    b.insert(trained)
    frozen = type(op)(x, rest, *op.operands[2:], **attrs, first_channel=count, types=y.type, name=f"{y.name}.frozen")
    total = b.add(Add(b.add(frozen), trained.result, name=y.name))
    replace_op(op, [total])
    _drop(weights)
    return trained, frozen


def trained_operand(op: Op) -> int:
    """Which operand of the first op that `split_channels` returns is the trained part."""
    return 0 if isinstance(op, Concat) else 1


def largest_first(layer: Layer, count: int) -> None:
    """Renumber the input channels of the layer so that the `count` with the largest weights (sum of magnitudes) come
    first, each part in its old order. The layer that makes them renumbers its outputs, and what lies between them, so
    that the model computes what it did up to the order of its sums.

    Raises PlanError where the channels cannot be renumbered.
    """
    weights = _const(layer, 1)
    axis = weights.type.axis("I") if weights.type.layout else 1
    others = tuple(i for i in range(weights.value.ndim) if i != axis)
    size = np.abs(_real(weights)).sum(axis=others)
    first = np.sort(np.argsort(-size, kind="stable")[:count])
    order = np.concatenate([first, np.setdiff1d(np.arange(size.size), first)])
    makers = _makers(layer)
    _renumber(layer.op, 1, axis, order)
    for maker in makers:
        weight = maker.operands[1].type
        _renumber(maker, 1, weight.axis("O") if weight.layout else 0, order)
        if len(maker.operands) > 2:
            _renumber(maker, 2, 0, order)


def _makers(layer: Layer) -> list[Op]:
    """The layers whose output channels are the input channels of this one: the last that mixes channels, and depthwise
    convolutions behind it. Raises PlanError, with the op in the way, for channels that others see too."""
    makers: list[Op] = []
    value = layer.op.operands[0]
    while True:
        op = value.defining_op
        if op is None:
            raise _fixed(layer, f"they are those of the input `{value.name}`")
        if len(value.users) > 1:
            raise _fixed(layer, f"`{value.name}` has other readers")
        if op.has(Trait.CONTRACTION):
            if any(not isinstance(v.defining_op, Const) for v in op.operands[1:]):
                raise _fixed(layer, f"`{value.name}` has weights that are no constants")
            makers.append(op)
            if "I" in op.operands[1].type.layout or isinstance(op, Dense):
                return makers
            if op.operands[0].type.size("C") != op.result.type.size("C"):
                raise _fixed(layer, f"`{value.name}` makes several channels of one")
        elif not _keeps_channels(op):
            raise _fixed(layer, f"`{op.opname}` lies between")
        value = op.operands[0]


def _fixed(layer: Layer, reason: str) -> PlanError:
    return PlanError(
        f"the input channels of `{layer.name}` cannot be renumbered by magnitude: {reason}", help='select = "first"'
    )


def _keeps_channels(op: Op) -> bool:
    """Whether the op, whose last axis is the channels, does the same to each of them."""
    x, y = op.operands[0].type, op.results[0].type
    if isinstance(op, Mean):
        return len(x.shape) - 1 not in op.axes
    if op.has(Trait.ELEMENTWISE):
        return x.shape == y.shape and all(v.type.elements == 1 for v in op.operands[1:])
    return isinstance(op, (MaxPool2D, AveragePool2D, Reshape)) and x.shape[-1] == y.shape[-1]


def _const(layer: Layer, index: int) -> Const:
    const = layer.op.operands[index].defining_op
    if not isinstance(const, Const):
        raise PlanError(f"the weights of `{layer.name}` are no constant")
    return const


def _real(weights: Const) -> npt.NDArray[np.float64]:
    """The weights as real numbers, but for a zero point, which moves all channels alike."""
    array, quant = weights.value.astype(np.float64), weights.type.quant
    if quant is None:
        return array
    shape = [-1 if i == quant.axis else 1 for i in range(array.ndim)]
    return np.asarray(array * np.reshape(quant.scales, shape if quant.per_axis else ()))


def _renumber(op: Op, index: int, axis: int, order: npt.NDArray[np.intp]) -> None:
    """Permute a constant operand along an axis. Other readers of the constant keep it as it is."""
    value = op.operands[index]
    const = value.defining_op
    assert isinstance(const, Const) and op.block is not None
    b = Builder(op.block, before=op, loc=const.loc)
    elem = value.type.elem
    if isinstance(elem, QType) and elem.per_axis and elem.axis == axis:
        scales, zeros = (tuple(each[i] for i in order) for each in (elem.scales, elem.zero_points))
        elem = replace(elem, scales=scales, zero_points=zeros)
    op.set_operand(index, b.const(np.take(const.value, order, axis), value.name, elem, value.type.layout))
    _drop(const)


def _taken(b: Builder, like: Value, array: npt.NDArray[np.generic]) -> Value:
    return b.const(array, like.name, like.type.elem, like.type.layout)


def _drop(const: Const) -> None:
    if not const.result.uses:
        const.erase()
