"""What gradients of int8 layers cost and gain as f32, int16 and int8, on the transfer task of `examples/finetune`.

    python benchmarks/gradients.py [--plans all,biases] [--grads f32,i16,i8] [--steps 200,800] [--seeds 5]

Accuracy is that of the C on this machine on the held-out images, which the Cortex-M7 repeats bit for bit; mean and
deviation over the seeds of the order of images, the new classifier and the rounding. Bytes and cycles (m7prof, see
common.py) are those of one step on the Cortex-M7.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from common import find_referee

import tinyir
from tinyir.fit import Plan, fit
from tinyir.passes.step_options import GradName
from tinyir.pipeline import Training
from tinyir.runtime.program import TensorInfo
from tinyir.runtime.qemu import build_referee_elf
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.train_program import HostTrainer
from tinyir.training_data import Data

FINETUNE = Path(__file__).parents[1] / "examples" / "finetune"
RATE = 0.05


def training(plan: str, grad: GradName, seed: int) -> Training:
    """How to train by a plan of the example."""
    return Training(plan=FINETUNE / f"{plan}.toml", classes=5, classifier_seed=seed, grad=grad)


def accuracies(plan: str, grad: GradName, steps: list[int], seeds: int) -> list[list[float]]:
    """The share of held-out images that are right after training of so many steps: a list for each seed."""
    sys.path.insert(0, str(FINETUNE))
    from finetune import BACKBONE, load_data

    found = []
    for seed in range(seeds):
        scores: list[float] = []
        trainer = tinyir.compile(BACKBONE, train=training(plan, grad, seed), measure=False).trainer("host")
        assert isinstance(trainer, HostTrainer)
        start = trainer.params
        for count in steps:
            trainer.set_params(start)
            scores.append(accuracy(trainer, count, seed, load_data))
        found.append(scores)
    return found


def accuracy(trainer: HostTrainer, steps: int, seed: int, load_data: Callable[[TensorInfo], Data]) -> float:
    """The share that is right after one training."""
    trainer.seed(seed)
    history = fit(trainer, load_data(trainer.info.inputs[0]), Plan(steps, RATE, "cosine", seed, eval_every=steps))
    return history.measurements[-1].scores.accuracy


def cost(plan: str, grad: GradName) -> list[str]:
    """M cycles of a step, and bytes of RAM, arena, parameters, stack and flash, as text."""
    compiled = tinyir.compile(
        FINETUNE / "backbone.tflite", target="stm32f746g-disco", train=training(plan, grad, 0), level="speed"
    )
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        out = compiled.write(Path(folder) / "out")
        options = (CrossCompiler.detect(), compiled.options.c_level)
        elf = build_referee_elf(out, Path(folder) / "step.elf", *options, step=True)
        os.chdir(folder)  # the referee's program looks for a file of inputs where it runs
        total = find_referee().profile(str(elf), engine="qemu").total
        os.chdir("/")
    report = compiled.report
    params, stack = report["training"]["params_bytes"], report["stack_bytes"]
    arena, flash = compiled.arena_bytes, sum(report["flash_bytes"].values())
    sizes = (arena + params + stack, arena, params, stack, flash)
    return [f"{total.cycles / 1e6:.2f}", *(f"{size:,}" for size in sizes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", default="all,biases")
    parser.add_argument("--grads", default=",".join(get_args(GradName)))
    parser.add_argument("--steps", default="200,800")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    steps = [int(count) for count in args.steps.split(",")]
    names = [*(f"% after {count}" for count in steps), "M cycles", "RAM", "arena", "parameters", "stack", "flash"]
    print(f"| trained | gradients | {' | '.join(names)} |")
    print(f"| --- | --- |{' --: |' * len(names)}")
    for plan in args.plans.split(","):
        for grad in args.grads.split(","):
            shares = 100 * np.array(accuracies(plan, grad, steps, args.seeds))
            scores = [f"{mean:.1f} ± {off:.1f}" for mean, off in zip(shares.mean(0), shares.std(0), strict=True)]
            print(f"| {plan} | {grad} | {' | '.join([*scores, *cost(plan, grad)])} |", flush=True)


if __name__ == "__main__":
    main()
