"""List the passes, or show one: what it needs, leaves and skips, and its options."""

from __future__ import annotations

import argparse

from tinyir.cli.pass_options import add_load_pass, load_pass_files
from tinyir.docs import pass_reference, summary
from tinyir.passes.registry import find_pass, pass_names

EXAMPLE = """  tinyir passes
  tinyir passes canonicalize
  tinyir passes --load-pass my_pass.py my-pass"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the pass to show")
    add_load_pass(parser)


def run(args: argparse.Namespace) -> int:
    load_pass_files(args)
    if args.name is not None:
        print(pass_reference(find_pass(args.name)))
        return 0
    names = pass_names()
    width = max(len(name) for name in names)
    for name in names:
        print(f"{name:<{width}}  {summary(find_pass(name).__doc__)}")
    return 0
