"""What is worth training within a budget of RAM? Plans for the int8 MCUNet, on the images of qas.py.

    python benchmarks/sparse_plans.py --write-data colours.npz
    tinyir train-plan ../shared/models/training/mcunet-5fps.npz --classes 10 --max-ram 168K \\
        --data colours.npz --lr 0.004 -o found.toml
    python benchmarks/sparse_plans.py found.toml [--budget 172032] [--seeds 3]

mcunet-5fps learns ten digits in random colours from 200 images, in 2,000 steps at half a cosine from 0.004, as int8
with quantisation-aware scaling. Compared with the plans in the given files: the classifier alone (at its best rate,
0.025), the biases of the last k layers and the last k layers whole, each for the largest k that fits the budget, and
the scheme of 49 KB that MIT ships.
The budget counts arena, parameters and 640 bytes of stack, which is what steps of this network take. Accuracy is on the
1,297 images that nothing was chosen by, the mean and the deviation over seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import models_folder
from qas import CHOOSE, IMAGES, QAS, TASKS, Lab
from training import SCHEMES
from transfer import make_data

from tinyir.pipeline import Options, Training
from tinyir.plan_search.parts import Task, model_of, needs
from tinyir.tables import print_table
from tinyir.train_plan import Share, TrainPlan, layers

RATE, CLASSIFIER_RATE, EPOCHS = 0.004, 0.025, 10
STACK = 640

TASK = Task(models_folder() / "training" / "mcunet-5fps.npz", Options(), Training(classes=10))


def ram(plan: TrainPlan) -> int | None:
    """All RAM of a step by `plan`, in bytes; None where the model cannot be trained so."""
    found = needs(TASK, plan)
    return None if found is None else found.ram + STACK


def last_biases(k: int) -> TrainPlan:
    """The biases of the last k layers, the classifier among them."""
    return TrainPlan(k)


def last_layers(k: int) -> TrainPlan:
    """The last k layers, whole."""
    chosen = layers(model_of(TASK).main)[-k:-1]
    return TrainPlan(k, True, tuple(Share(layer.index) for layer in chosen))


def largest(family: Callable[[int], TrainPlan], budget: int) -> TrainPlan:
    """The plan of the family with the largest k that fits."""
    best = TrainPlan()
    for k in range(2, len(layers(model_of(TASK).main)) + 1):
        size = ram(family(k))
        if size is None or size > budget:
            return best
        best = family(k)
    return best


def plans(files: list[Path], budget: int) -> Iterator[tuple[str, TrainPlan]]:
    """What is compared: a name, and the plan."""
    yield "classifier", TrainPlan()
    yield "biases of the last k layers", largest(last_biases, budget)
    yield "last k layers", largest(last_layers, budget)
    yield "MIT's scheme of 49 KB", SCHEMES["mcunet-5fps"]["49"]
    for file in files:
        yield file.name, TrainPlan.read(file)


def accuracies(plan: TrainPlan, seeds: int) -> list[float]:
    """Percent of the test images that are right, for each seed."""
    if plan == TrainPlan():
        lab, way, rate = Lab(TASKS["mcunet"], EPOCHS), replace(QAS, classifier_alone=True), CLASSIFIER_RATE
    else:
        lab, way, rate = Lab(replace(TASKS["mcunet"], plan=plan), EPOCHS), QAS, RATE
    return [lab.score(way, rate, seed)[1] for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="*", type=Path, help="what `tinyir train-plan` has written")
    parser.add_argument("--budget", type=int, default=172032, help="bytes (default: 168 K)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write-data", type=Path, metavar="FILE", help="write the 200 images to learn from, and end")
    args = parser.parse_args()
    if args.write_data:
        images, labels = make_data(TASKS["mcunet"].side, TASKS["mcunet"].classes, IMAGES, CHOOSE).train
        np.savez(args.write_data, x=images[:, 0], y=labels)
        return
    rows = []
    for name, plan in plans(args.plans, args.budget):
        print(f"{name}: {plan.text()!r}", file=sys.stderr, flush=True)
        scores = accuracies(plan, args.seeds)
        each = " ".join(f"{score:.1f}" for score in scores)
        rows.append((name, f"{ram(plan):,}", f"{np.mean(scores):.1f} ± {np.std(scores):.1f}", each))
    print_table("", ["trained", "bytes of RAM", "accuracy %", "of each seed"], rows, sys.stdout)


if __name__ == "__main__":
    main()
