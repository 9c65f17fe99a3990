"""Compile a model to C for a Cortex-M7, or to a NumPy module.

The output folder holds NAME.h, NAME.c, NAME_weights.c, CMakeLists.txt, README.md and report.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tinyir.cli.compile_options import add_compile_options, add_training_options, options_from, training_from
from tinyir.cli.pass_options import add_pass_options, load_pass_files, make_manager
from tinyir.cli.progress import show_step
from tinyir.pipeline import Result, compile_file, write_files

EXAMPLE = """  tinyir compile person.tflite -o out/
  tinyir compile person.tflite -o out/ --target stm32f746g-disco --max-ram 64K --max-flash 256K
  tinyir compile person.tflite -o out/ --backend numpy
  tinyir compile mlp.tir -o out/ --train all --loss softmax-cross-entropy --optimizer sgd"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file, an .npz backbone or IR text")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the program")
    parser.add_argument("--backend", choices=["c", "numpy"], default="c", help="what to print (default: c)")
    parser.add_argument("--picture", action="store_true", help="show the arena over time")
    parser.add_argument("--save-schedule", type=Path, metavar="FILE", help="write the schedule of every kernel (TOML)")
    add_compile_options(parser)
    add_training_options(parser)
    add_pass_options(parser)


def run(args: argparse.Namespace) -> int:
    load_pass_files(args)
    options = options_from(args, backend=args.backend, train=training_from(args), save_schedule=args.save_schedule)
    result = compile_file(args.model, options, lambda passes: make_manager(args, passes), show_step)
    show_step("")
    write_files(result.files, args.output)
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{args.output}: {', '.join(name for name in result.files if '/' not in name)}")
    if result.report:
        _show(result.report)
    if args.picture:
        _show_picture(result)
    return 0


def _show(report: dict[str, Any]) -> None:
    """The figures that matter, each with what it counts."""
    arena, bound = report["arena_bytes"], report["arena_lower_bound"]
    proof = "the least possible" if arena == bound else f"at least {bound:,} are needed"
    code, weights = report["flash_bytes"]["code"], report["flash_bytes"]["weights"]
    print(f"  arena   {arena:>10,} bytes   activations, scratch, inputs and outputs; {proof}")
    if "training" in report:
        params = report["training"]["params_bytes"]
        print(f"  params  {params:>10,} bytes   weights and biases that are trained, in RAM")
    if report["stack_bytes"] is not None:
        print(f"  stack   {report['stack_bytes']:>10,} bytes   measured on the emulated Cortex-M7")
    if code is not None:
        print(f"  code    {code:>10,} bytes")
    print(f"  weights {weights:>10,} bytes")
    print(f"  MACs    {report['macs']:>10,}         in {len(report['ops'])} kernels")


def _show_picture(result: Result) -> None:
    from tinyir.passes.plan_memory import arena_picture

    print()
    print(arena_picture(result.module))
