"""Teaches an int8 model digits that it has never seen, on an emulated Cortex-M7 with 64 KB of RAM, from 200 images.

    python examples/finetune/finetune.py

`backbone.tflite` knows the digits 0 to 4 (README.md says how it was made); the classifier is replaced by one for 5 to
9. The same steps are taken in C on this machine, which must come to the same bits.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import tinyir
from tinyir.diagnostics import TinyIRError
from tinyir.fit import History, Plan, fit
from tinyir.passes.augment import Augment
from tinyir.pipeline import Training
from tinyir.runtime.program import TensorInfo
from tinyir.runtime.train_program import M7Trainer, Trainer
from tinyir.training_data import Data, Examples, read_data

HERE = Path(__file__).parent
BACKBONE = HERE / "backbone.tflite"
NEW_DIGITS = [5, 6, 7, 8, 9]
IMAGES = 200
RAM = 64 * 1024
TARGET = "stm32f746g-disco"
MEASURED_ON_M7 = 10
PLANS = ("head", "biases", "all")


@dataclass(frozen=True)
class Settings:
    """How to train: steps of one image each, the rate at the start of half a cosine, how far images are shifted (a
    share of their size), and the seed of the order of images and of the new classifier."""

    steps: int
    lr: float
    shift: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of one plan: bytes of RAM and flash, instructions of a step, scores along the way, whether the
    emulated core and this machine agree."""

    plan: str
    arena_bytes: int
    params_bytes: int
    stack_bytes: int
    constants_bytes: int
    instructions: int
    history: History
    m7_is_host: bool

    @property
    def ram_bytes(self) -> int:
        return self.arena_bytes + self.params_bytes + self.stack_bytes


def load_data(x: TensorInfo, seed: int = 0) -> Data:
    """Images of the new digits, as the model takes them: 200 to learn from, as many of each digit, and all of those
    held out."""
    sys.path.insert(0, str(HERE.parent / "digits"))
    from train import load_split

    split = load_split(NEW_DIGITS, seed)
    each = IMAGES // len(NEW_DIGITS)
    chosen = np.concatenate([np.flatnonzero(split.train_labels == c)[:each] for c in range(len(NEW_DIGITS))])
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        path = Path(folder) / "digits.npz"
        arrays = {
            "x": split.train_images[chosen],
            "y": split.train_labels[chosen],
            "x_test": split.test_images,
            "y_test": split.test_labels,
        }
        np.savez(path, **arrays)
        return read_data(path, x, len(NEW_DIGITS))


def finetune(plan: str, settings: Settings, progress: Progress) -> Outcome:
    """Train by `plan` on this machine, measuring as it goes, then on the emulated core. Raises TinyIRError where the
    program needs more than 64 KB."""
    program = tinyir.compile(
        BACKBONE,
        target=TARGET,
        train=Training(plan=HERE / f"{plan}.toml", classes=len(NEW_DIGITS), classifier_seed=settings.seed),
        augment=Augment(shift=settings.shift),
        max_ram=RAM,
    )
    host, m7 = program.trainer("host"), program.trainer("m7")
    assert isinstance(m7, M7Trainer)
    data = load_data(m7.info.inputs[0])
    run = Plan(settings.steps, settings.lr, "cosine", settings.seed, eval_every=max(50, settings.steps // 4))
    history = fit(host, data, run)

    few = Data(data.train, Examples(data.test.x[:MEASURED_ON_M7], data.test.y[:MEASURED_ON_M7]), True)
    task = progress.add_task(f"emulated Cortex-M7, {plan}", total=settings.steps)
    emulated = fit(m7, few, replace(run, eval_every=0), lambda step, _: progress.update(task, completed=step))
    progress.remove_task(task)
    equal = same(host, m7) and emulated.losses == history.losses
    counted = m7.step(data.train.x[0], data.train.target(0), 0.0, count=True)
    assert counted.trace is not None and counted.stack_bytes is not None
    return Outcome(
        plan,
        program.arena_bytes,
        program.report["training"]["params_bytes"],
        counted.stack_bytes,
        program.report["flash_bytes"]["weights"],
        counted.trace.instructions,
        history,
        equal,
    )


def same(a: Trainer, b: Trainer) -> bool:
    """Whether two trainers hold the same bits."""
    have, want = a.params, b.params
    return have.keys() == want.keys() and all(have[name].tobytes() == want[name].tobytes() for name in want)


def table(outcomes: Sequence[Outcome]) -> Table:
    """A line for each plan: what it takes, and the share of held-out images that are right after so many steps."""
    t = Table(box=MARKDOWN)
    measured = [m.step for m in outcomes[0].history.measurements]
    names = ["plan", "RAM", "arena + params + stack", "constants", "M instr/step", "M7 = host"]
    for name in (*names, *(f"{step} steps" for step in measured)):
        t.add_column(name, justify="left" if name == "plan" else "right")
    for o in outcomes:
        t.add_row(
            o.plan,
            f"{o.ram_bytes:,}",
            f"{o.arena_bytes:,} + {o.params_bytes:,} + {o.stack_bytes:,}",
            f"{o.constants_bytes:,}",
            f"{o.instructions / 1e6:.2f}",
            "yes" if o.m7_is_host else "NO",
            *(f"{m.scores.accuracy:.1%}" for m in o.history.measurements),
        )
    return t


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Fine-tune an int8 model for new digits on an emulated Cortex-M7.")
    p.add_argument("--plans", nargs="+", choices=PLANS, default=list(PLANS), help="what is trained: *.toml here")
    p.add_argument("--steps", type=int, default=200, help="of one image each (default: 200, every image once)")
    p.add_argument("--lr", type=float, default=0.05, help="learning rate at the start (default: 0.05)")
    p.add_argument("--shift", type=float, default=0.0, metavar="SHARE", help="shift images at random: 0.1")
    p.add_argument("--seed", type=int, default=0, help="of the order of images and the new classifier")
    return p


def main() -> None:
    """Train by each plan and print the table. Ends with status 1 where the emulated core differs from this machine."""
    args = parser().parse_args()
    settings = Settings(args.steps, args.lr, args.shift, args.seed)
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            outcomes = [finetune(plan, settings, progress) for plan in args.plans]
    except TinyIRError as error:
        raise SystemExit(error.render()) from None
    print(f"{IMAGES} images of {NEW_DIGITS}, learned by a model of 0 to 4; {TARGET}, emulated, {RAM:,} bytes of RAM")
    Console(width=200).print(table(outcomes))
    if not all(o.m7_is_host for o in outcomes):
        raise SystemExit("the emulated core and this machine differ")


if __name__ == "__main__":
    main()
