"""Options of every command that runs passes, and the PassManager they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tinyir.passes.manager import ALL, PassManager
from tinyir.passes.registry import Pass, load_pass_file


def add_pass_options(parser: argparse.ArgumentParser) -> None:
    """Add `--print-ir-after`, `--dump-dir` and the like."""
    group = parser.add_argument_group("passes")
    add_load_pass(group)
    group.add_argument(
        "--verify-each",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check the IR after each pass (on unless --no-verify-each)",
    )
    group.add_argument(
        "--print-ir-after", metavar="NAME[,NAME]", type=_names, default=[], help="print the IR after these passes"
    )
    group.add_argument("--print-ir-after-all", action="store_true", help="print the IR after every pass")
    group.add_argument("--dump-dir", metavar="DIR", type=Path, help="write the IR after each pass to numbered files")
    group.add_argument("--timing", action="store_true", help="show the time that each pass took")
    group.add_argument("--stats", action="store_true", help="show what each pass did how often")


def add_load_pass(parser: argparse._ActionsContainer) -> None:
    """Add `--load-pass`, for `load_pass_files`."""
    parser.add_argument(
        "--load-pass", metavar="FILE", type=Path, action="append", default=[], help="a Python file that defines passes"
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def load_pass_files(args: argparse.Namespace) -> None:
    """Register the passes of `--load-pass`."""
    for path in args.load_pass:
        load_pass_file(path)


def make_manager(args: argparse.Namespace, passes: Sequence[Pass]) -> PassManager:
    """A manager for `passes`, watched as the options say. Reproducers go to the dump folder, else to repro.tir."""
    return PassManager(
        passes,
        verify_each=args.verify_each,
        print_after=[*args.print_ir_after, ALL] if args.print_ir_after_all else args.print_ir_after,
        dump_dir=args.dump_dir,
        reproducer=(args.dump_dir or Path()) / "repro.tir",
        timing=args.timing,
        stats=args.stats,
    )
