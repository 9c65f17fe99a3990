"""Train a model: in NumPy, as C on this machine, or as C on an emulated Cortex-M7. All three give the same bits, so a
run here is what the device will do.

The data is an .npz file with `x` (examples along the first axis) and `y` (class numbers from 0), and perhaps `x_test`
and `y_test` to measure on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from tinyir.api import Compiled, compile
from tinyir.cli.compile_options import add_compile_options, add_training_options, options_from, training_from
from tinyir.cli.plots import plot_history, require_format, require_matplotlib
from tinyir.cli.progress import progress_bar, show_step
from tinyir.diagnostics import UsageError
from tinyir.fit import History, Measurement, Plan, Schedule, fit, stop_reason
from tinyir.frontends.load import load
from tinyir.pipeline import Training
from tinyir.runtime.program import TensorInfo
from tinyir.runtime.train_program import Trainer
from tinyir.training_data import Data, read_data

EXAMPLE = """  tinyir train person.tflite --classes 4 --data photos.npz --steps 200 --lr 0.05
  tinyir train mlp.tir --data digits.npz --steps 1000 --lr 0.1 --lr-schedule cosine --plot curve.png
  tinyir train mlp.tir --data digits.npz --steps 200 --backend m7 --checkpoint trained.bin"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file or IR text")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help=".npz with x, y[, x_test, y_test]")
    parser.add_argument("--steps", type=int, default=200, help="steps of one example each (default: 200)")
    parser.add_argument("--backend", choices=["numpy", "host", "m7"], default="host", help="where (default: host)")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate (default: 0.01)")
    parser.add_argument(
        "--lr-schedule",
        choices=get_args(Schedule),
        default=Plan.schedule,
        help="what becomes of it (default: constant)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of examples and of random numbers")
    parser.add_argument("--eval-every", type=int, default=50, metavar="N", help="steps between scores (default: 50)")
    parser.add_argument("--eval-count", type=int, metavar="N", help="measure on so many examples (default: all)")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="start from this checkpoint")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="write the trained parameters, for C as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw loss and scores (.png, .svg; matplotlib)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well; - prints nothing else")
    add_training_options(parser)
    add_compile_options(parser)
    parser.add_argument("--plan", dest="train", metavar="PLAN", help="the same as --train")
    parser.set_defaults(train="all")


def run(args: argparse.Namespace) -> int:
    plan = Plan(args.steps, args.lr, args.lr_schedule, args.seed, args.eval_every, args.eval_count)
    _check_outputs(args)
    show_step("compiling")
    program = _compiled(args)
    data = _data(args, program)
    show_step(f"building for {args.backend}")
    trainer = program.trainer(args.backend)
    trainer.seed(args.seed)
    if args.resume is not None:
        trainer.load(_read(args.resume))
    show_step("")
    quiet = args.json == "-"
    history = _fit(trainer, data, plan, quiet)
    if args.checkpoint is not None:
        _write(args.checkpoint, trainer.save(), quiet)
    if args.plot is not None:
        plot_history(history, f"{args.model.name} on {args.backend}", args.plot)
    if args.json is not None:
        text = json.dumps(history.as_json(), indent=2) + "\n"
        print(text, end="") if quiet else _write(Path(args.json), text.encode(), quiet)
    if history.stopped is not None:
        print(f"error: step {len(history.losses) + 1}: {stop_reason(history.stopped)}", file=sys.stderr)
        return 1
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise UsageError, before anything is learned, for files that could not be written at the end."""
    for path in (args.checkpoint, args.plot, None if args.json in (None, "-") else Path(args.json)):
        if path is not None and path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder")
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise UsageError(f"cannot write {path}", help="it must be in a folder that exists and can be written to")
    if args.plot is not None:
        require_matplotlib()
        require_format(args.plot)


def _compiled(args: argparse.Namespace) -> Compiled:
    training = training_from(args)
    assert isinstance(training, Training)
    backend = "numpy" if args.backend == "numpy" else "c"
    limited = args.max_ram is not None or args.max_flash is not None
    options = options_from(args, backend=backend, train=training, measure=limited)
    model = load(args.model)
    if limited and backend == "numpy":
        compile(model, **vars(replace(options, backend="c")))  # limits are those of the C
    program = compile(model, **vars(options))
    for note in program.notes:
        print(f"note: {note}", file=sys.stderr)
    return program


def _data(args: argparse.Namespace, program: Compiled) -> Data:
    step = program.module.funcs["train_step"]
    x, target = (TensorInfo.of(value) for value in step.args[:2])
    return read_data(args.data, x, step.attrs.get("classes"), target)


def _fit(trainer: Trainer, data: Data, plan: Plan, quiet: bool) -> History:
    """Train, with a line for each measurement."""
    show: Callable[..., Any] = (lambda *line: None) if quiet else _print_line
    on = "held out" if data.held_out else "that are trained on"
    count = min(len(data.test), plan.eval_count or len(data.test))
    if not quiet:
        print(f"{len(data.train):,} examples to train on; scores on {count:,} {on}")
    show("steps", "loss", "accuracy", "precision", "recall", "F1")

    def measured(m: Measurement) -> None:
        loss = "-" if m.loss is None else f"{m.loss:.5g}"
        found = (m.scores.accuracy, m.scores.precision, m.scores.recall, m.scores.f1)
        show(f"{m.step:,}", loss, *(f"{100 * value:.1f} %" for value in found))

    with progress_bar(plan.steps) as progress:
        return fit(trainer, data, plan, progress, measured)


def _print_line(*words: str) -> None:
    print("".join(f"{word:>{7 if i == 0 else 10}}" for i, word in enumerate(words)), flush=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _write(path: Path, data: bytes, quiet: bool) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    if not quiet:
        print(f"wrote {path}, {len(data):,} bytes")
