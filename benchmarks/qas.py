"""Does quantisation-aware scaling matter? Transfer learning of an int8 model, against the same in floats.

    python examples/digits/train.py --classes 0,1,2,3,4 --out /tmp/half        # needs TensorFlow; see there
    python benchmarks/qas.py /tmp/half/digits.tflite [--images 200] [--epochs 10] [--seeds 3] [--jobs 2]

The model knows the digits 0 to 4. All its weights and biases are trained, one image at a time, on images of the digits
5 to 9, with plain SGD and a rate that falls to 0 along a half cosine: as integers by the C of this machine, and as
floats from the same values. Each way takes the best of its rates, by the mean accuracy on images that are neither
trained on nor tested. Printed is the accuracy on the held-out images of `train.py`. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tinyir
from tinyir.frontends.load import load
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.types import DType, QType, TensorType
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer
from tinyir.tables import print_table

Array = npt.NDArray[Any]

CLASSES = [5, 6, 7, 8, 9]
REAL_RATES = (0.001, 0.003, 0.01, 0.03)
INTEGER_RATES = (10.0, 100.0, 1000.0, 10000.0)


@dataclass(frozen=True)
class Way:
    """One way to train: floats or integers, how, and the rates that are tried."""

    name: str
    training: Training
    rates: tuple[float, ...]
    floats: bool = False


WAYS = [
    Way("float32", Training(), REAL_RATES, floats=True),
    Way("int8, QAS, stochastic rounding", Training(), REAL_RATES),
    Way("int8, QAS, nearest", Training(rounding="nearest"), REAL_RATES),
    Way("int8, QAS, truncation (TinyEngine's C)", Training(rounding="truncate"), REAL_RATES),
    Way("int8, stochastic rounding", Training(qas=False), INTEGER_RATES),
    Way("int8, nearest", Training(rounding="nearest", qas=False), INTEGER_RATES),
]


@dataclass(frozen=True)
class Data:
    """Images [n, 1, 8, 8, 1] as the int8 model takes them, and labels, in three parts."""

    train: tuple[Array, Array]
    choose: tuple[Array, Array]
    test: tuple[Array, Array]


@dataclass(frozen=True)
class Run:
    """One training, and the accuracies after it in percent."""

    way: int
    rate: float
    seed: int
    choose: float
    test: float


# -- the float model --------------------------------------------------------------------------------------------------


def float_twin(module: Module) -> Module:
    """The model with the real numbers that its integers stand for, and nothing rounded. Needs: one input."""
    b = FuncBuilder()
    (x,) = module.main.args
    env: dict[Value, Value] = {x: b.arg(_real(x.type), x.name)}
    for op in module.main.ops[:-1]:
        if isinstance(op, Const):
            continue
        for index, value in enumerate(op.operands):
            if value not in env:
                env[value] = b.const(_numbers(op, index), value.name, layout=value.type.layout)
        types = [_real(result.type) for result in op.results]
        twin = type(op)(*(env[v] for v in op.operands), types=types, name=op.results[0].name, **op.attrs)
        b.insert(twin)
        env.update(zip(op.results, twin.results, strict=True))
    return Module([b.ret(*(env[v] for v in module.main.outputs))], {"name": "twin"})


def _real(type: TensorType) -> TensorType:
    return type.with_elem(DType.F32)


def _numbers(op: Op, index: int) -> Array:
    """What the constant operand stands for; the bias of a layer has the scales of its input times its weights."""
    const = op.operands[index].defining_op
    assert isinstance(const, Const) and op.has(Trait.CONTRACTION)
    x, w = (value.type.quant for value in op.operands[:2])
    assert isinstance(x, QType) and isinstance(w, QType)
    value = const.value.astype(np.float64)
    if index == 2:
        return np.asarray(value * np.array(w.scales) * x.scale, np.float32)
    shape = [-1 if i == w.axis else 1 for i in range(value.ndim)]
    scales, zeros = (np.array(v, np.float64).reshape(shape) for v in (w.scales, w.zero_points))
    return np.asarray((value - zeros) * scales, np.float32)


# -- training ---------------------------------------------------------------------------------------------------------


@cache
def load_data(images: int) -> Data:
    """`images` to train on, the others of the training part to choose the rate by, and the held-out ones."""
    sys.path.append(str(Path(__file__).parents[1] / "examples" / "digits"))
    import train as digits

    split = digits.load_split(CLASSES)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(split.train_images))
    chosen, rest = order[:images], order[images:]
    pixels, labels = _stored(split.train_images), split.train_labels
    train, choose = ((pixels[part], labels[part]) for part in (chosen, rest))
    return Data(train, choose, (_stored(split.test_images), split.test_labels))


def _stored(images: Array) -> Array:
    """Pixels of 0 to 1 under the scale 1/255 and the zero point -128."""
    return (np.round(images * 255) - 128).astype(np.int8)[:, np.newaxis]


@cache
def program(model: Path, way: int) -> Any:
    module = load(model)
    chosen = WAYS[way]
    return tinyir.compile(float_twin(module) if chosen.floats else module, train=chosen.training, measure=False)


def given(images: Array, floats: bool) -> Array:
    """The images as the model takes them."""
    return ((images.astype(np.float32) + 128) / np.float32(255)) if floats else images


def accuracy(trainer: Trainer, part: tuple[Array, Array], floats: bool) -> float:
    """Percent of the images that get their label."""
    images = given(part[0], floats)
    right = [int(trainer.run(x).argmax()) == int(label) for x, label in zip(images, part[1], strict=True)]
    return 100 * float(np.mean(right))


def run(model: Path, way: int, rate: float, seed: int, images: int, epochs: int) -> Run:
    """Train once; `seed` orders the images and rounds."""
    chosen, data = WAYS[way], load_data(images)
    trainer: Trainer = program(model, way).trainer("host")
    if "rng" in trainer.params:
        trainer.set_params({**trainer.params, "rng": np.array([seed, 0], np.int32)})
    rng = np.random.default_rng(seed)
    xs, labels = given(data.train[0], chosen.floats), data.train[1]
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])
    for step, i in enumerate(order):
        trainer.step(xs[i], int(labels[i]), rate * 0.5 * (1 + math.cos(math.pi * step / len(order))))
    parts = [accuracy(trainer, part, chosen.floats) for part in (data.choose, data.test)]
    return Run(way, rate, seed, *parts)


def table(runs: Sequence[Run]) -> list[list[str]]:
    """A line for each way: the rate that is best on the images to choose by, and the accuracies with it."""
    lines = []
    for way, chosen in enumerate(WAYS):
        mine = [r for r in runs if r.way == way]
        rates = sorted({r.rate for r in mine})
        if not rates:
            continue
        best = max(rates, key=lambda rate: np.mean([r.choose for r in mine if r.rate == rate]))
        tests = [r.test for r in mine if r.rate == best]
        each = " ".join(f"{t:.1f}" for t in tests)
        lines.append([chosen.name, f"{best:g}", f"{np.mean(tests):.1f} ({np.std(tests):.1f})", each])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Transfer learning with and without quantisation-aware scaling.")
    parser.add_argument("model", type=Path, help="int8 digits model of 5 classes")
    parser.add_argument("--images", type=int, default=200, help="to train on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    tasks = [
        (args.model, way, rate, seed, args.images, args.epochs)
        for way, chosen in enumerate(WAYS)
        for rate, seed in product(chosen.rates, range(args.seeds))
    ]
    with ProcessPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(run, *zip(*tasks, strict=True)))
    print_table("", ["trained", "rate", "accuracy % (deviation)", "of each seed"], table(runs), sys.stdout)


if __name__ == "__main__":
    main()
