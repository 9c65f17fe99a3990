"""Steps of training of int8 backbones on the emulated Cortex-M7: RAM, flash and cycles of the published sparse schemes.

    python benchmarks/training.py [--model mcunet-5fps] [--schemes 49,148] [--level speed]

The schemes are those that MIT's tiny-training ships for mcunet-5fps (mcu_ir_gen.py), named by the KB that its memory
model gives them: the biases of the last convolutions, and shares of the input channels of some 1x1 convolutions; the
classifier, of 10 classes, always trains. TinyEngine takes 92.9 M cycles and 230,432 bytes of static RAM for the first.
Each step runs once on a pattern; its cycles are m7prof's (see common.py). RAM is everything: the arena with the input,
the parameters, the stack. Before that a step is made on this machine and on the emulated core: the loss and every byte
of the parameters must be equal.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import find_referee, models_folder, pattern

import tinyir
from tinyir.frontends import training_npz
from tinyir.pipeline import Training
from tinyir.runtime.qemu import build_referee_elf
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.train_program import HostTrainer, M7Trainer
from tinyir.train_plan import Share, TrainPlan

CLASSES = 10


def _plan(biases: int, ratios: dict[int, float]) -> TrainPlan:
    """`biases` convolutions and the classifier; the convolutions of `ratios` by their index."""
    return TrainPlan(biases + 1, True, tuple(Share(layer, ratio) for layer, ratio in ratios.items()))


SCHEMES = {
    "49": _plan(20, {24: 0.25, 27: 0.5, 30: 0.5}),
    "74": _plan(21, {21: 1, 24: 1, 27: 0.5, 30: 1}),
    "99": _plan(22, {21: 1, 24: 1, 27: 1, 30: 1, 36: 0.125, 39: 0.25}),
    "124": _plan(24, {21: 0.25, 24: 1, 27: 1, 30: 1, 33: 0.5, 39: 0.5}),
    "148": _plan(23, {21: 1, 24: 1, 27: 1, 30: 1, 36: 1, 39: 0.5}),
}


@dataclass(frozen=True)
class Row:
    """What one step takes; sizes in bytes."""

    scheme: str
    cycles: float
    instructions: int
    arena: int
    params: int
    stack: int
    code: int
    weights: int

    @property
    def ram(self) -> int:
        return self.arena + self.params + self.stack


class BenchmarkError(Exception):
    """The program does not do what it should."""


def check_step(program: Path, opt: str) -> None:
    """Make one step in C on this machine and on the emulated core. Raises BenchmarkError unless both do the same."""
    host, core = HostTrainer.build(program), M7Trainer.build(program, opt=opt)
    x = pattern(host.training.inputs[0])
    start, outcomes = host.params, [trainer.step(x, CLASSES - 1, 0.01) for trainer in (host, core)]
    found = [(outcome.status, np.float32(outcome.loss).tobytes()) for outcome in outcomes]
    if found[0] != found[1] or found[0][0] != 0:
        raise BenchmarkError(f"a step gives {outcomes[0]} here and {outcomes[1]} on the core")
    ours, theirs = host.params, core.params
    wrong = [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]
    if wrong:
        raise BenchmarkError(f"parameters that differ after a step: {', '.join(wrong)}")
    if all((ours[name] == start[name]).all() for name in ours):
        raise BenchmarkError("a step changes no parameter")


def measure(model: Path, scheme: str, level: str) -> Row:
    """Compile the model with a scheme, check a step, run one under the referee. Raises TinyIRError, BenchmarkError."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        folder = Path(scratch)
        plan = folder / "plan.toml"
        plan.write_text(SCHEMES[scheme].text())
        compiled = tinyir.compile(training_npz.load(model, CLASSES), train=Training(plan=plan), level=level)
        opt, out = compiled.options.c_level, compiled.write(folder / "out")
        check_step(out, opt)
        elf = build_referee_elf(out, folder / "step.elf", CrossCompiler.detect(), opt, step=True)
        os.chdir(folder)  # the referee's program looks for a file of inputs where it runs
        total = find_referee().profile(str(elf), engine="qemu").total
        os.chdir("/")
    report = compiled.report
    flash, params = report["flash_bytes"], report["training"]["params_bytes"]
    stack = report["stack_bytes"] or 0
    return Row(
        scheme, total.cycles, total.instructions, compiled.arena_bytes, params, stack, flash["code"], flash["weights"]
    )


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        "| scheme | M cycles | M instructions | RAM | arena | parameters | stack | flash | code | constants |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for r in rows:
        sizes = (r.ram, r.arena, r.params, r.stack, r.code + r.weights, r.code, r.weights)
        figures = [f"{r.cycles / 1e6:.2f}", f"{r.instructions / 1e6:.2f}", *(f"{size:,}" for size in sizes)]
        lines.append(f"| {r.scheme} KB | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mcunet-5fps")
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--level", default="speed", choices=["size", "balanced", "speed"])
    args = parser.parse_args()
    path = models_folder() / "training" / f"{args.model}.npz"
    print(markdown([measure(path, scheme, args.level) for scheme in args.schemes.split(",")]))


if __name__ == "__main__":
    main()
