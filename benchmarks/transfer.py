"""What benchmarks/qas.py trains: images of digits in random colours, an int8 backbone cut where training begins, and
the float model that its integers stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import Builder, FuncBuilder
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.nn_elementwise import Clamp, Mul
from tinyir.ir.ops.nn_quantize import Dequantize
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.types import DType, QType, TensorType
from tinyir.train_plan import layers

Array = npt.NDArray[Any]
Examples = tuple[Array, Array]


# -- images -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Images and labels to train on, to choose a rate by, and to test on; no handwriting is in two of them."""

    train: Examples
    choose: Examples
    test: Examples


def make_data(side: int, classes: list[int], train: int, choose: int, seed: int = 0) -> Data:
    """scikit-learn's digits of some classes, so many of them to train on and to choose by and the others to test on:
    each drawn once on an image of [1, side, side, 3], or as it is, [1, 8, 8, 1], where `side` is 8; int8."""
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(np.isin(digits.target, classes)))
    parts = []
    for chosen in np.split(order, [train, train + choose]):
        images = [digits.images[i] / 16 for i in chosen]
        drawn = [_stored(image[..., np.newaxis]) if side == 8 else draw(image, side, rng) for image in images]
        parts.append((np.stack(drawn)[:, np.newaxis], np.searchsorted(classes, digits.target[chosen])))
    return Data(*parts)


def draw(digit: Array, side: int, rng: np.random.Generator) -> Array:
    """A digit of [8, 8], 0 to 1, at a random place and size in a random colour on a blotched ground of another:
    [side, side, 3], int8, -128 for black."""
    size = int(rng.integers(side * 7 // 10, side * 9 // 10))
    y, x = rng.integers(0, side - size, 2)
    ink = np.zeros((side, side, 1))
    ink[y : y + size, x : x + size, 0] = np.clip((_enlarged(digit, size) - 0.3) * 4, 0, 1)
    ground = rng.uniform(0, 1, 3)
    colour = (ground + rng.uniform(0.35, 0.65, 3)) % 1
    blotches = _enlarged(rng.uniform(-0.15, 0.15, (int(rng.integers(3, 17)),) * 2), side)[..., np.newaxis]
    image = ground + blotches
    image += ink * (colour - image) + rng.normal(scale=0.03, size=image.shape)
    return _stored(image)


def _stored(image: Array) -> Array:
    return np.asarray(np.clip(np.round(image * 255 - 128), -128, 127), np.int8)


def _enlarged(x: Array, size: int) -> Array:
    """A square image at another size, bilinear."""
    at = np.clip((np.arange(size) + 0.5) * len(x) / size - 0.5, 0, len(x) - 1)
    low = np.minimum(at.astype(int), len(x) - 2)
    part = at - low
    rows = x[low] * (1 - part)[:, None] + x[low + 1] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part)


# -- networks ---------------------------------------------------------------------------------------------------------


def cut(module: Module, layer: int) -> tuple[Module, Module]:
    """The model in two: what comes before the layer with that index, and the rest, which takes what the layer reads.

    Needs: one input, and nothing else of the first part that is read in the second.
    """
    trunk, tail = clone_module(module), clone_module(module)
    trunk.main.block.terminator.set_operand(0, layers(trunk.main)[layer].op.operands[0])
    block, value = tail.main.block, layers(tail.main)[layer].op.operands[0]
    value.replace_uses(block.add_arg(value.type, "x"))
    for part in (trunk, tail):
        drop_dead_ops(part.main)
    old = block.args.pop(0)
    assert not old.uses, "the layer's input does not say all that comes behind"
    block.args[0].index = 0
    return trunk, tail


def scale_classifier(module: Module, factor: float) -> None:
    """Let the real classifier at the end compute `factor` times what it stores. Its logits are as before, and plain SGD
    with a rate r moves them as factor^2 r did."""
    op = layers(module.main)[-1].op
    for value in op.operands[1:]:
        const = value.defining_op
        assert isinstance(const, Const) and const.value.dtype == np.float32
        const.attrs["value"] = const.value / np.float32(factor)
    block, logits = module.main.block, op.results[0]
    scaled = Builder(block, block.ops[block.ops.index(op) + 1]).insert(
        Mul(logits, Builder(block, op).const(np.array(factor, np.float32)))
    )
    logits.replace_uses(scaled.result)
    scaled.set_operand(0, logits)


def float_twin(module: Module) -> Module:
    """The model with the real numbers that its integers stand for: nothing is rounded, but what is beyond the range of
    a tensor is limited as in integers, for activations hide there. Needs: one input."""
    b = FuncBuilder()
    (x,) = module.main.args
    env: dict[Value, Value] = {x: b.arg(_real(x.type), x.name)}
    for op in module.main.ops[:-1]:
        b.loc = op.loc
        if isinstance(op, Const):
            continue
        for index, value in enumerate(op.operands):
            if value not in env:
                env[value] = b.const(_numbers(op, index), value.name, layout=value.type.layout)
        operands = [env[v] for v in op.operands]
        if isinstance(op, Dequantize):
            env[op.results[0]] = operands[0]
            continue
        types = [_real(result.type) for result in op.results]
        result = b.add(type(op)(*operands, types=types, name=op.results[0].name, **op.attrs))
        env[op.results[0]] = _limited(b, result, op.results[0].type.quant)
    return Module([b.ret(*(env[v] for v in module.main.outputs))], {"name": "twin"})


def _limited(b: FuncBuilder, value: Value, quant: QType | None) -> Value:
    """`value` within what a tensor of such scales can hold."""
    if quant is None:
        return value
    lo, hi = (quant.scale * (end - quant.zero_point) for end in (-128, 127))
    return b.add(Clamp(value, lo=lo, hi=hi, types=value.type))


def _real(type: TensorType) -> TensorType:
    return type.with_elem(DType.F32)


def _numbers(op: Op, index: int) -> Array:
    """What the constant operand stands for; the bias of a layer has the scales of its input times its weights."""
    const = op.operands[index].defining_op
    assert isinstance(const, Const) and op.has(Trait.CONTRACTION)
    x, w = (value.type.quant for value in op.operands[:2])
    if x is None or w is None:
        return np.asarray(const.value)
    value = const.value.astype(np.float64)
    if index == 2:
        return np.asarray(value * np.array(w.scales) * x.scale, np.float32)
    shape = [-1 if i == w.axis else 1 for i in range(value.ndim)]
    scales, zeros = (np.array(v, np.float64).reshape(shape) for v in (w.scales, w.zero_points))
    return np.asarray((value - zeros) * scales, np.float32)
