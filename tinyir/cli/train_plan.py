"""Find what to train under a budget of RAM: which biases, and which share of the input channels of which layers.

Each part of a plan is tried together with the classifier: what it takes off the loss after some steps on the data, or
without data the gradient it gets on random examples. Then the parts with the largest sum of gains are taken whose
program fits. RAM is what `tinyir compile --max-ram` counts: the arena that the memory planner finds for the whole step,
the parameters, and the stack where there are tools to measure it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from tinyir.cli.compile_options import add_compile_options, add_training_options, options_from, training_from
from tinyir.cli.progress import progress_bar
from tinyir.diagnostics import UsageError
from tinyir.plan_search.contribution import Lesson
from tinyir.plan_search.parts import Task, tensors
from tinyir.plan_search.search import Found, Progress, search
from tinyir.tables import print_table
from tinyir.train_plan import TrainPlan
from tinyir.training_data import read_data
from tinyir.tune.executors import executor

EXAMPLE = """  tinyir train-plan person.tflite --max-ram 128K -o plan.toml
  tinyir train-plan person.tflite --max-ram 128K --data photos.npz --jobs 4 -o plan.toml
  tinyir compile person.tflite --train plan.toml -o out/"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file or IR text")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the plan goes (default: stdout)")
    parser.add_argument("--data", type=Path, metavar="FILE", help=".npz with x, y to try parts on")
    parser.add_argument("--steps", type=_positive, default=100, help="steps that each part is tried for (default: 100)")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate of the trials (default: 0.01)")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="trials at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the random examples (default: 0)")
    add_training_options(parser)
    add_compile_options(parser)
    parser.set_defaults(train="all")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"`{text}` is no positive number")
    return int(text)


def run(args: argparse.Namespace) -> int:
    if args.max_ram is None:
        raise UsageError("how much RAM may the program take?", help="--max-ram 128K")
    if args.train != "all":
        raise UsageError("train-plan makes the plan that --train names", help="leave out --train")
    training = training_from(args)
    assert training is not None
    task = Task(args.model, options_from(args), training)
    lesson = _lesson(args, task) if args.data is not None else None
    with _pool(args.jobs) as pool, _progress() as progress:
        found = search(task, args.max_ram, lesson, seed=args.seed, pool=pool, progress=progress)
    _show(found, args.max_ram, "loss saved" if lesson is not None else "gradient^2")
    if args.output is None:
        print(found.plan.text(), end="")
        return 0
    try:
        args.output.write_text(found.plan.text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {args.output}: {error.strerror}") from None
    print(f"{args.output}: use it with tinyir compile {args.model} --train {args.output}")
    return 0


def _lesson(args: argparse.Namespace, task: Task) -> Lesson:
    x, classes, target = tensors(task)
    examples = read_data(args.data, x, classes, target).train
    return Lesson(examples.x, examples.y, args.steps, args.lr)


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[Executor | None]:
    if jobs == 1:
        yield None
        return
    with executor(jobs, None) as pool:
        yield pool


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """One bar for each stage."""
    with contextlib.ExitStack() as stack:
        bars: dict[str, Callable[[int, str], None]] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in bars:
                stack.close()
                bars[what] = stack.enter_context(progress_bar(total))
            bars[what](done, what)

        yield show


def _show(found: Found, budget: int, unit: str) -> None:
    """The parts, the best for their bytes first, and the plan, on stderr."""
    rows = [
        (_part_text(part.plan), f"{part.gain:.4g}", f"{part.needs.arena:,}", f"{part.needs.params:,}")
        for part in sorted(found.parts, key=lambda part: -part.gain)
    ]
    print_table("parts, each with the classifier", ["part", unit, "arena", "parameters"], rows, sys.stderr)
    n = found.needs
    print(
        f"\n{n.ram:,} of {budget:,} bytes: arena {n.arena:,}, parameters {n.params:,}, stack "
        f"{'not measured' if n.stack is None else f'{n.stack:,}'}\n"
        f"{unit} {found.gain:.4g} beyond the classifier; {_claim(found)}; {found.compiled} plans compiled",
        file=sys.stderr,
    )


def _claim(found: Found) -> str:
    """How good the plan is."""
    if found.proven:
        return "proven: no choice of these parts that fits is worth more"
    return f"the best found: no choice of these parts that fits is worth more than {found.bound:.4g}"


def _part_text(plan: TrainPlan) -> str:
    (share,) = plan.weights or (None,)
    if share is None:
        return f"biases of the last {plan.biases} layers"
    return f"`{share.layer}` {share.ratio:g}"
