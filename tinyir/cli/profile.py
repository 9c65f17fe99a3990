"""Run the program on an emulated Cortex-M7 and count the instructions of each op, exactly."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.cli.compile_options import add_compile_options, options_from
from tinyir.cli.progress import show_step
from tinyir.pipeline import compile_file, write_files
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.program import ProgramInfo, RunResult
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.tables import print_table
from tinyir.target import get_target

EXAMPLE = """  tinyir profile person.tflite
  tinyir profile person.tflite --target stm32f746g-disco --json profile.json"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file or IR text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    add_compile_options(parser)


def run(args: argparse.Namespace) -> int:
    options = options_from(args, measure=False)
    result = compile_file(args.model, options, progress=show_step)
    show_step("building and running on the emulated Cortex-M7")
    target, compiler = get_target(options.target), CrossCompiler.detect(options.compiler)
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(result.files, Path(folder))
        program = M7Program.build(folder, target, compiler, options.opt)
    inputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in program.info.inputs]
    outcome = program.run(inputs, count=True)
    show_step("")
    figures = _figures(program.info, outcome, compiler.version)
    _show(figures)
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _figures(info: ProgramInfo, outcome: RunResult, compiler: str) -> dict[str, Any]:
    assert outcome.per_op is not None
    return {
        "name": info.name,
        "compiler": compiler,
        "instructions": outcome.instructions,
        "macs": info.macs,
        "arena_bytes": info.arena_bytes,
        "stack_bytes": outcome.stack_bytes,
        "ops": [
            {"index": op.index, "name": op.name, "kind": op.kind, "macs": op.macs, "instructions": count}
            | {"live_bytes": op.live_bytes}
            for op, count in zip(info.ops, outcome.per_op, strict=True)
        ],
    }


def _show(figures: dict[str, Any]) -> None:
    total = max(1, figures["instructions"])
    rows = [
        (
            str(op["index"]),
            op["name"],
            op["kind"],
            f"{op['macs']:,}",
            f"{op['instructions']:,}",
            f"{op['instructions'] / op['macs']:.2f}" if op["macs"] else "-",
            f"{100 * op['instructions'] / total:.1f}%",
            f"{op['live_bytes']:,}",
        )
        for op in figures["ops"]
    ]
    columns = ("#", "op", "kind", "MACs", "instructions", "per MAC", "share", "RAM live")
    print_table("", columns, rows, sys.stdout)
    per_mac = f", {total / figures['macs']:.2f} per MAC" if figures["macs"] else ""
    print(
        f"\n{figures['name']}: {total:,} instructions{per_mac}; arena {figures['arena_bytes']:,} bytes, stack ", end=""
    )
    print(f"{figures['stack_bytes']:,} bytes; {figures['compiler']}")
