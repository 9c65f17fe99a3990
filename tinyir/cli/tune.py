"""Search for the fastest schedules of a model's kernels. Each trial compiles the whole program with other schedules and
measures every kernel on the emulated Cortex-M7; then each kernel gets the fastest that RAM and flash allow.

Trials are logged beside the output: the same command goes on where it was stopped, and Ctrl-C keeps the best so far.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tinyir.cli.compile_options import add_compile_options, options_from
from tinyir.cli.progress import progress_bar
from tinyir.loops.schedule_file import write_schedules
from tinyir.tables import print_table
from tinyir.tune.executors import executor
from tinyir.tune.search import Outcome, Search

EXAMPLE = """  tinyir tune person.tflite -o person.toml -O speed --jobs 4
  tinyir tune person.tflite -o person.toml --max-ram 64K --max-flash 256K
  tinyir compile person.tflite -o out/ --schedule person.toml"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file, an .npz backbone or IR text")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where schedules go (TOML)")
    parser.add_argument("--trials", type=_positive, default=40, metavar="N", help="programs to measure (default: 40)")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="trials at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of candidates (default: 0)")
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler whose workers run the trials")
    add_compile_options(parser)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"`{text}` is no positive number")
    return int(text)


def run(args: argparse.Namespace) -> int:
    log = args.output.with_name(f"{args.output.name}.trials.jsonl")
    search = Search(args.model, options_from(args), args.seed, log)
    with progress_bar(args.trials) as progress:
        with executor(args.jobs, args.dask) as pool:
            interrupted = search.run(args.trials, pool, progress)
        outcome = search.finish(interrupted, progress)
    write_schedules(outcome.schedules, args.output)
    _show(outcome)
    print(f"{args.output}: use it with tinyir compile {args.model} --schedule {args.output}{_same(args)}")
    return 0


def _same(args: argparse.Namespace) -> str:
    """Options that the compilation must share."""
    words = [("--io", args.io, "model"), ("--numerics", args.numerics, "tflm")]
    return "".join(f" {option} {value}" for option, value, default in words if value != default)


def _show(outcome: Outcome) -> None:
    rows = [(name, *_gain(outcome.builtin.cycles[name], cycles)) for name, cycles in outcome.tuned.cycles.items()]
    rows.append(("total", *_gain(outcome.builtin.total, outcome.tuned.total)))
    print_table("", ["kernel", "built-in cycles", "tuned cycles", "gain"], rows, sys.stdout)
    old, new = outcome.builtin_needs, outcome.tuned_needs
    print(f"\nRAM {old.ram:,} -> {new.ram:,} bytes with the stack, flash {old.flash:,} -> {new.flash:,}")
    state = "interrupted" if outcome.interrupted else "done"
    failed = f", {outcome.failed} failed" if outcome.failed else ""
    print(f"{state} after {outcome.trials} trials{failed}; outputs equal the interpreter's, bit for bit")


def _gain(old: float, new: float) -> tuple[str, str, str]:
    return f"{old:,.0f}", f"{new:,.0f}", f"{100 * (old - new) / max(old, 1):.1f}%"
