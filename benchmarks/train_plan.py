"""Does a searched plan beat the last k layers under the same budget of RAM? A transfer task on handwritten digits.

    python benchmarks/train_plan.py [--budgets BYTES ...] [--seeds N] [--jobs N]

A dense network (64-48-32-24-5, ReLU) learns the digits 0 to 4; then it gets a new classifier and learns the digits 5 to
9 from 100 images, with SGD of one image a step, on the NumPy backend. For each budget: the classifier alone; the last k
layers, whole, for the largest k that fits; those and as large a share of the one before as fits; the plan that `tinyir
train-plan` finds by gradients, and by trials on the 100 images. The RAM of each is the planner's figure of the compiled
program, arena and parameters; the stack comes on top. Accuracy is on the images of the new digits that no training saw,
the mean and the standard deviation over seeds, which draw the network, its training and the 100 images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinyir
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Relu
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.types import DType, TensorType
from tinyir.pipeline import Options, Training
from tinyir.plan_search.contribution import Lesson, trainer
from tinyir.plan_search.parts import RATIOS, Needs, Task, model_of, needs
from tinyir.plan_search.search import search
from tinyir.runtime.train_program import Trainer
from tinyir.tables import print_table
from tinyir.train_plan import Share, TrainPlan, layers

SIZES = (64, 48, 32, 24, 5)
IMAGES = 100
PRETRAINING, TRANSFER, LR = 3000, 1500, 0.03

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Result:
    """One plan under one budget with one seed."""

    budget: int
    method: str
    seed: int
    needs: Needs
    accuracy: float
    plan: TrainPlan


def network(weights: Sequence[Array]) -> Module:
    """The network with these weights and biases in turn."""
    b = FuncBuilder()
    value = b.arg(TensorType((1, SIZES[0]), DType.F32), "x")
    for k in range(len(SIZES) - 1):
        w, bias = (b.const(weights[2 * k + i], f"{'wb'[i]}{k}") for i in range(2))
        value = b.add(Dense(value, w, bias, name=f"fc{k}"))
        if k + 2 < len(SIZES):
            value = b.add(Relu(value, name=f"act{k}"))
    return Module([b.ret(value)], {"name": "digits"})


def drawn(rng: np.random.Generator, layer: int) -> list[Array]:
    """New weights and biases of a layer."""
    inputs, outputs = SIZES[layer], SIZES[layer + 1]
    w = rng.normal(scale=(2 / inputs) ** 0.5, size=(outputs, inputs)).astype(np.float32)
    return [w, np.zeros(outputs, np.float32)]


def learn(program: Trainer, x: Array, y: Array, steps: int, rng: np.random.Generator) -> None:
    """One image a step, in a new order each time round."""
    order = np.concatenate([rng.permutation(len(x)) for _ in range(steps // len(x) + 1)])[:steps]
    for i in order:
        program.step(x[i], int(y[i]), LR)


def accuracy(program: Trainer, x: Array, y: Array) -> float:
    return float(np.mean([int(program.run(one).argmax()) == label for one, label in zip(x, y, strict=True)]))


def last_layers(task: Task, budget: int, shares: Sequence[float] = ()) -> TrainPlan:
    """The last k layers, whole, for the largest k that fits; then the largest of `shares` of the layer before that
    does."""
    found = layers(model_of(task).main)
    best = TrainPlan()
    for k in range(2, len(found) + 1):
        first, *rest = found[len(found) - k : -1]
        for share in (1.0, *shares):
            weights = (Share(first.name, share), *(Share(layer.name) for layer in rest))
            plan = TrainPlan(k, True, weights)
            size = needs(task, plan)
            if size is not None and size.ram <= budget:
                best = plan
                break
        if best.biases != k or best.weights[0].ratio != 1:
            return best
    return best


def measure(seed: int, budgets: Sequence[int]) -> list[Result]:
    """All methods under all budgets with one seed."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images.reshape(-1, 1, 64) / 16).astype(np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    old, new = (order[digits.target[order] < 5], order[digits.target[order] >= 5])
    first = [array for k in range(len(SIZES) - 1) for array in drawn(rng, k)]
    source = tinyir.compile(network(first), train=Training(), backend="numpy").trainer()
    learn(source, x[old], digits.target[old], PRETRAINING, rng)
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        path = Path(folder) / "digits.tir"
        path.write_text(str(network([*source.params.values()][:-2] + drawn(rng, len(SIZES) - 2))))
        task = Task(path, Options(), Training())
        shown, unseen = new[:IMAGES], new[IMAGES:]
        lesson = Lesson(x[shown], digits.target[shown] - 5, 300, LR)
        results, seen = [], dict[TrainPlan, float]()
        for budget in budgets:
            plans = {
                "classifier": TrainPlan(),
                "last k layers": last_layers(task, budget),
                "last k layers and a share": last_layers(task, budget, RATIOS[1:]),
                "searched, gradients": search(task, budget, seed=seed).plan,
                "searched, trials": search(task, budget, lesson).plan,
            }
            for method, plan in plans.items():
                if plan not in seen:
                    program = trainer(task, plan)
                    learn(program, x[shown], digits.target[shown] - 5, TRANSFER, np.random.default_rng(seed))
                    seen[plan] = accuracy(program, x[unseen], digits.target[unseen] - 5)
                size = needs(task, plan)
                assert size is not None
                results.append(Result(budget, method, seed, size, seen[plan], plan))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=int, nargs="+", default=[3072, 4096, 6144, 8192, 12288])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    parser.add_argument("--plans", action="store_true", help="show the plans of the first seed")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        runs = pool.map(measure, range(args.seeds), [args.budgets] * args.seeds)
        results = [result for run in runs for result in run]
    rows = []
    for budget, method in dict.fromkeys((result.budget, result.method) for result in results):
        those = [r for r in results if (r.budget, r.method) == (budget, method)]
        scores = [100 * r.accuracy for r in those]
        ram = np.mean([r.needs.ram for r in those])
        rows.append((f"{budget:,}", method, f"{ram:,.0f}", f"{np.mean(scores):.1f}", f"{np.std(scores):.1f}"))
    print_table("", ["budget", "trained", "RAM", "accuracy %", "deviation"], rows, sys.stdout)
    if args.plans:
        for result in results:
            if result.seed == 0:
                print(f"\n# {result.method}, {result.budget:,} bytes\n{result.plan.text()}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
