"""Does a searched plan beat the last k layers under the same budget of RAM? The transfer task of examples/finetune.

    python benchmarks/train_plan.py [--budgets BYTES ...] [--seeds N] [--steps N ...]

The int8 network `examples/finetune/backbone.tflite` knows the digits 0 to 4; it gets a new classifier and learns the
digits 5 to 9 from 200 images, 40 of each, with SGD of one image a step at half a cosine from 0.05. For each budget:

- the classifier alone
- the biases of the last k layers, for the largest k that fits
- the last k layers, weights and biases, for the largest k that fits
- those, and as large a share of the one before as fits
- what `tinyir train-plan` finds by gradients on random images, and by trials on the 200 images

RAM is arena and parameters, as planned for the whole step; the stack, 240 to 500 bytes, is not measured for all these
programs (`tinyir train-plan` for a target with a cross compiler counts it). Accuracy is on the 696 images of the new
digits that no training saw, the mean and the standard deviation over seeds, which draw the images to learn from, their
order and the new classifier.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

import tinyir
from tinyir.fit import Plan, evaluate, fit
from tinyir.pipeline import Options, Training
from tinyir.plan_search.contribution import Lesson
from tinyir.plan_search.parts import RATIOS, Needs, Task, model_of, needs, tensors
from tinyir.plan_search.search import Measured, best_plan, measure, valued_anew
from tinyir.runtime.train_program import HostTrainer
from tinyir.tables import print_table
from tinyir.train_plan import Share, TrainPlan, layers
from tinyir.training_data import Data, read_data

BACKBONE = Path(__file__).parents[1] / "examples" / "finetune" / "backbone.tflite"
NEW_DIGITS = range(5, 10)
EACH = 40
LR, TRIAL_STEPS = 0.05, 100

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Result:
    """One plan under one budget with one seed; accuracy after each number of steps."""

    budget: int
    method: str
    seed: int
    needs: Needs
    accuracy: tuple[float, ...]
    plan: TrainPlan
    proven: bool = True


def task_of(seed: int) -> Task:
    return Task(BACKBONE, Options(target="host"), Training(classes=len(NEW_DIGITS), classifier_seed=seed))


@functools.cache
def size_of(plan: TrainPlan) -> Needs | None:
    """What a program needs; the first weights of the classifier make no difference."""
    return needs(task_of(0), plan)


def fits(plan: TrainPlan, budget: int) -> bool:
    size = size_of(plan)
    return size is not None and size.ram <= budget


@functools.cache
def parts() -> Measured:
    """The parts of plans, and what they need."""
    return measure(task_of(0))


@functools.cache
def last_biases(budget: int) -> TrainPlan:
    count = len(layers(model_of(task_of(0)).main))
    return next((plan for k in range(count, 1, -1) if fits(plan := TrainPlan(k), budget)), TrainPlan())


@functools.cache
def last_layers(budget: int, shares: Sequence[float] = ()) -> TrainPlan:
    """The last k layers, whole, for the largest k that fits; then the largest of `shares` of the layer before that
    does."""
    found = layers(model_of(task_of(0)).main)
    for k in range(len(found), 1, -1):
        first, *rest = found[len(found) - k : -1]
        for share in (1.0, *shares):
            plan = TrainPlan(k, True, (Share(first.name, share), *(Share(layer.name) for layer in rest)))
            if fits(plan, budget):
                return plan
    return TrainPlan()


def examples(task: Task, seed: int) -> Data:
    """40 images of each new digit to learn from, all others of them to measure on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[..., np.newaxis]
    order = np.random.default_rng(seed).permutation(len(x))
    shown = np.concatenate([order[digits.target[order] == digit][:EACH] for digit in NEW_DIGITS])
    others = np.setdiff1d(np.flatnonzero(digits.target >= NEW_DIGITS[0]), shown)
    arrays = {"x": x[shown], "y": digits.target[shown], "x_test": x[others], "y_test": digits.target[others]}
    arrays |= {name: arrays[name] - NEW_DIGITS[0] for name in ("y", "y_test")}
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        path = Path(folder) / "digits.npz"
        np.savez(path, **arrays)
        return read_data(path, tensors(task)[0], len(NEW_DIGITS))


def accuracy(task: Task, plan: TrainPlan, data: Data, steps: Sequence[int], seed: int) -> tuple[float, ...]:
    """The share of held-out images that are right after so many steps, each a run of its own."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        path = Path(folder) / "plan.toml"
        path.write_text(plan.text())
        program = tinyir.compile(BACKBONE, target="host", train=replace(task.training, plan=path))
        trainer = HostTrainer.build(program.write(Path(folder) / "c"), opt="-O1")
        start = trainer.params
        found = []
        for count in steps:
            trainer.set_params(start)
            trainer.seed(seed)
            fit(trainer, Data(data.train, data.train, False), Plan(count, LR, "cosine", seed, 0, 1))
            found.append(evaluate(trainer, data.test).accuracy)
    return tuple(found)


def measure_seed(seed: int, budgets: Sequence[int], steps: Sequence[int], progress: Progress) -> list[Result]:
    """All methods under all budgets with one seed."""
    task = task_of(seed)
    data = examples(task, seed)
    mixed = np.random.default_rng(seed).permutation(len(data.train))
    lesson = Lesson(data.train.x[mixed], data.train.y[mixed], TRIAL_STEPS, LR)
    bar = progress.add_task(f"seed {seed}", total=2 + len(budgets))
    by_gradients = valued_anew(task, parts(), None, seed=seed)
    progress.advance(bar)
    by_trials = valued_anew(task, parts(), lesson, seed=seed)
    progress.advance(bar)
    results, seen = [], dict[TrainPlan, tuple[float, ...]]()
    for budget in budgets:
        searched = {"gradients": best_plan(task, budget, by_gradients), "trials": best_plan(task, budget, by_trials)}
        plans = {
            "classifier": TrainPlan(),
            "biases of the last k layers": last_biases(budget),
            "last k layers": last_layers(budget),
            "last k layers and a share of the one before": last_layers(budget, RATIOS[1:]),
            "`train-plan`": searched["gradients"].plan,
            "`train-plan --data`": searched["trials"].plan,
        }
        proven = all(found.proven for found in searched.values())
        for method, plan in plans.items():
            if plan not in seen:
                seen[plan] = accuracy(task, plan, data, steps, seed)
            size = size_of(plan)
            assert size is not None
            results.append(Result(budget, method, seed, size, seen[plan], plan, proven))
        progress.advance(bar)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=int, nargs="+", default=[12288, 16384, 24576])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[800])
    parser.add_argument("--plans", action="store_true", help="show the plans of the first seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file as well")
    args = parser.parse_args()
    results: list[Result] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for seed in range(args.seeds):
            results += measure_seed(seed, args.budgets, args.steps, progress)
            if args.json is not None:
                rows = [vars(r) | {"needs": r.needs.ram, "plan": r.plan.text()} for r in results]
                args.json.write_text(json.dumps(rows, indent=1))
    for index, steps in enumerate(args.steps):
        print(f"\naccuracy in % after {steps} steps")
        show(results, args.budgets, index)
    if not all(result.proven for result in results):
        print("some plans of train-plan are not proven to be the best sum of gains")
    if args.plans:
        for result in results:
            if result.seed == 0:
                print(f"\n# {result.method}, {result.needs.ram:,} of {result.budget:,} bytes")
                print(result.plan.text(), end="")
    return 0


def show(results: Sequence[Result], budgets: Sequence[int], index: int) -> None:
    """A line for each method, a column for each budget: mean and deviation over seeds."""
    rows = []
    for method in dict.fromkeys(result.method for result in results):
        cells = []
        for budget in budgets:
            scores = [100 * r.accuracy[index] for r in results if (r.budget, r.method) == (budget, method)]
            cells.append(f"{np.mean(scores):.1f} ± {np.std(scores):.1f}")
        rows.append((method, *cells))
    print_table("", ["trained", *(f"{budget:,} B" for budget in budgets)], rows, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
