"""List the targets, or show the memories of one."""

from __future__ import annotations

import argparse
import sys

from tinyir.tables import print_table
from tinyir.target import TARGETS, Target, get_target

EXAMPLE = """  tinyir targets
  tinyir targets stm32f746g-disco"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the target to show")


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        width = max(len(name) for name in TARGETS)
        for name, target in TARGETS.items():
            print(f"{name:<{width}}  {target.summary}")
    else:
        _show(get_target(args.name))
    return 0


def _show(target: Target) -> None:
    print(f"{target.name}: {target.summary}")
    if target.clock_hz:
        print(f"clock: {target.clock_hz / 1e6:g} MHz")
    if target.memories:
        rows = [(m.name, m.kind, f"0x{m.origin:08x}", f"{m.length:,}") for m in target.memories]
        print_table("", ("memory", "kind", "origin", "bytes"), rows, sys.stdout)
