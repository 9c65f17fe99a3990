"""List the ops of the IR, or show one: operands, attributes, results, traits."""

from __future__ import annotations

import argparse

from tinyir.diagnostics import UsageError, did_you_mean
from tinyir.docs import all_ops, op_reference, summary
from tinyir.ir.core import Op

EXAMPLE = """  tinyir ops
  tinyir ops int.requantize"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the op to show")


def run(args: argparse.Namespace) -> int:
    ops = all_ops()
    if args.name is not None:
        print(op_reference(_find(args.name, ops)))
        return 0
    width = max(len(cls.opname) for cls in ops)
    for cls in ops:
        print(f"{cls.opname:<{width}}  {summary(cls.spec.doc)}")
    return 0


def _find(name: str, ops: list[type[Op]]) -> type[Op]:
    by_name = {cls.opname: cls for cls in ops}
    if name not in by_name:
        raise UsageError(f"unknown op `{name}`", help=did_you_mean(name, by_name) or "`tinyir ops` lists them")
    return by_name[name]
