"""Steps of training of int8 backbones on the emulated Cortex-M7: RAM, flash and cycles of the published sparse schemes.

    python benchmarks/training.py [--model mcunet-5fps|mbv2-w0.35] [--schemes 49,148] [--level speed] [--grad f32]

The schemes are those that MIT's tiny-training ships (mcu_ir_gen.py), named by the KB that its memory model gives them:
the biases of the last convolutions, and shares of the input channels of some of them, mostly 1x1; the classifier, of 10
classes, always trains. Where MIT's list has a share of a depthwise convolution, all of its filters train here.
TinyEngine takes 92.9 M cycles and 230,432 bytes of static RAM for the first of mcunet-5fps.

The cycles are m7prof's (see common.py), of one step on a pattern. RAM is everything: the arena with the input, the
parameters, the stack. The loss and the parameters after a step are compared, bit for bit, between the emulated core and
the C on this machine; a difference ends the benchmark.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from common import find_referee, models_folder, pattern

import tinyir
from tinyir.api import Compiled
from tinyir.diagnostics import UsageError
from tinyir.frontends import training_npz
from tinyir.passes.step_options import GradName
from tinyir.pipeline import Training
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.qemu import build_referee_elf
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.train_plan import Share, TrainPlan

CLASSES = 10


def _plan(biases: int, ratios: dict[int, float]) -> TrainPlan:
    """`biases` convolutions and the classifier; the convolutions of `ratios` by their index."""
    return TrainPlan(biases + 1, True, tuple(Share(layer, ratio) for layer, ratio in ratios.items()))


SCHEMES = {
    "mcunet-5fps": {
        "49": _plan(20, {24: 0.25, 27: 0.5, 30: 0.5}),
        "74": _plan(21, {21: 1, 24: 1, 27: 0.5, 30: 1}),
        "99": _plan(22, {21: 1, 24: 1, 27: 1, 30: 1, 36: 0.125, 39: 0.25}),
        "124": _plan(24, {21: 0.25, 24: 1, 27: 1, 30: 1, 33: 0.5, 39: 0.5}),
        "148": _plan(23, {21: 1, 24: 1, 27: 1, 30: 1, 36: 1, 39: 0.5}),
    },
    "mbv2-w0.35": {
        "49": _plan(16, {36: 1, 39: 1, 41: 0.25, 42: 0.125, 45: 0.125, 48: 0.125, 49: 0.125}),
        "73": _plan(20, {32: 0.125, 33: 0.5, 36: 0.5, 39: 1, 41: 0.25, 42: 0.125, 45: 0.125, 48: 1}),
        "99": _plan(25, {27: 1, 30: 1, 33: 1, 36: 1, 39: 1, 42: 0.125, 45: 0.5, 48: 1}),
        "123": _plan(31, {27: 1, 30: 1, 33: 1, 36: 1, 39: 1, 42: 0.5, 45: 1, 48: 1}),
        "138": _plan(34, {27: 1, 30: 1, 33: 1, 36: 1, 39: 1, 42: 1, 45: 1, 48: 1}),
    },
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


def measure(model: Path, scheme: str, plan: TrainPlan, level: str, grad: GradName) -> Row:
    """Compile the model with a plan, check a step, and run one under the referee. Raises TinyIRError."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        folder = Path(scratch)
        file = folder / "plan.toml"
        file.write_text(plan.text())
        training = Training(plan=file, grad=grad)
        compiled = tinyir.compile(training_npz.load(model, CLASSES), train=training, level=level)
        opt, out = compiled.options.c_level, compiled.write(folder / "out")
        require_equal_steps(compiled, pattern(ProgramInfo.load(out).inputs[0]))
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


def require_equal_steps(compiled: Compiled, x: np.ndarray[Any, Any]) -> None:
    """Raise UsageError unless the emulated core and the C on this machine make the same step on `x`."""
    host, core = compiled.trainer("host"), compiled.trainer("m7")
    for trainer in (host, core):
        trainer.seed(1)
    expected, got = (trainer.step(x, 3, 0.01) for trainer in (host, core))
    if (expected.status, expected.loss) != (got.status, got.loss) or expected.status:
        raise UsageError(f"the step gives {got} on the core, {expected} on this machine")
    after = core.params
    for name, value in host.params.items():
        if value.tobytes() != after[name].tobytes():
            raise UsageError(f"`{name}` differs between the core and this machine after the step")


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
    parser.add_argument("--model", default="mcunet-5fps", choices=list(SCHEMES))
    parser.add_argument("--schemes", help="which of them, with commas; by default all")
    parser.add_argument("--level", default="speed", choices=["size", "balanced", "speed"])
    parser.add_argument("--grad", default="f32", choices=get_args(GradName), help="what gradients are stored as")
    args = parser.parse_args()
    path = models_folder() / "training" / f"{args.model}.npz"
    plans = SCHEMES[args.model]
    names = args.schemes.split(",") if args.schemes else list(plans)
    print(markdown([measure(path, name, plans[name], args.level, args.grad) for name in names]))


if __name__ == "__main__":
    main()
