"""Show what is in a model: inputs, outputs, operators, multiply-accumulates, bytes of constants.

A model that uses unsupported operators cannot be loaded; all of them are then listed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tinyir.frontends.load import load
from tinyir.ir.types import TensorType
from tinyir.summary import Summary, summarize
from tinyir.tables import print_table

EXAMPLE = """  tinyir inspect model.tflite
  tinyir inspect dump/04_fuse-ops.tir"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="a .tflite file, an .npz backbone or IR text")


def run(args: argparse.Namespace) -> int:
    module = load(args.input)
    print(args.input)
    for name, value in module.attrs.items():
        print(f"{name + ':':<12}{value}")
    for func in module.funcs.values():
        print()
        _show(summarize(func))
    return 0


def _show(s: Summary) -> None:
    print(f"@{s.name}")
    for what, values in (("input", s.inputs), ("output", s.outputs)):
        for name, type in values:
            print(f"  {what:<12}{name}: {_type_text(type)}, {type.bytes:,} bytes")
    kinds = ", ".join(f"{count} {kind}" for kind, count in s.kinds.most_common())
    print(f"  {'operators':<12}{len(s.ops)}: {kinds}")
    print(f"  {'MACs':<12}{s.macs:,}")
    print(f"  {'constants':<12}{s.constant_bytes:,} bytes")
    print(f"  {'largest':<12}{s.largest_bytes:,} bytes in one tensor between operators")
    print()
    rows = [
        (
            str(row.index),
            row.kind,
            "; ".join(_type_text(type) for type in row.types),
            f"{row.macs:,}",
            f"{row.constant_bytes:,}",
            _tail(row.location),
        )
        for row in s.ops
    ]
    print_table("", ("#", "op", "result", "MACs", "constants", "from"), rows, sys.stdout)


def _tail(text: str, width: int = 60) -> str:
    """The end of a long text: of a location, what it says last."""
    return text if len(text) <= width else f"...{text[-width:]}"


def _type_text(type: TensorType) -> str:
    """A type in one line: `int8 1x96x96x3, scale 0.0039 zero point -128`."""
    shape = "x".join(str(n) for n in type.shape) or "scalar"
    text = f"{type.storage.numpy.name} {shape}"
    if type.quant is None:
        return text
    if type.quant.per_axis:
        return f"{text}, {len(type.quant.scales)} scales"
    return f"{text}, scale {type.quant.scale:.6g} zero point {type.quant.zero_point}"
