"""Run the program on an emulated Cortex-M7 and show what each op costs: instructions, counted, and cycles, modelled.
With --train it is one step of training.


Cycles are those of the pipeline alone: code and data in memory without wait states. docs/cycle_model.md has the rules.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.cli.compile_options import add_compile_options, add_training_options, options_from, training_from
from tinyir.cli.progress import show_step
from tinyir.diagnostics import UsageError, did_you_mean
from tinyir.machine import OpClass
from tinyir.pipeline import compile_file, write_files
from tinyir.runtime.elf import Elf
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.pricing import PricedBlock
from tinyir.runtime.profiler import OpProfile, Profile, Tally, profile, profile_step
from tinyir.runtime.program import OpInfo, ProgramInfo, TrainingInfo
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.train_program import M7Trainer
from tinyir.tables import print_table
from tinyir.target import Target, get_target

EXAMPLE = """  tinyir profile person.tflite
  tinyir profile person.tflite --target stm32f746g-disco --json profile.json
  tinyir profile person.tflite --annotate conv2d_4
  tinyir profile mlp.tir --train all"""

ANNOTATED_SHARE = 0.8
"""`--annotate` shows the blocks that take this part of an op's cycles."""

SHOWN = {OpClass.MAC: "MAC", OpClass.PACK: "pack", OpClass.LOAD: "load", OpClass.STORE: "store"} | {
    OpClass.ALU: "ALU",
    OpClass.BRANCH: "branch",
    OpClass.FPU: "FPU",
}
"""The classes that have a column; what is missing to 100 % are IT, NOP and system instructions."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file, an .npz backbone or IR text")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file as well; - prints nothing else")
    parser.add_argument(
        "--annotate", metavar="OP", help="show the hot loops of an op (number or name) with counts and cycles"
    )
    add_training_options(parser)
    add_compile_options(parser)


def run(args: argparse.Namespace) -> int:
    options = options_from(args, train=training_from(args), measure=False)
    result = compile_file(args.model, options, progress=show_step)
    target, compiler = get_target(options.target), CrossCompiler.detect(options.compiler)
    show_step("building and running on the emulated Cortex-M7")
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(result.files, Path(folder))
        program: M7Program | M7Trainer
        if options.train is None:
            program = M7Program.build(folder, target, compiler, options.c_level)
        else:
            program = M7Trainer.build(folder, target, compiler, options.c_level, checks="full")
    part = program.training if isinstance(program, M7Trainer) else program.info
    annotated = _find_op(part.ops, args.annotate) if args.annotate else None
    zeros = [np.zeros(tensor.shape, tensor.dtype) for tensor in part.inputs]
    if isinstance(program, M7Trainer):
        measured = profile_step(program, zeros[0], zeros[1] if len(zeros) > 1 else 0)
    else:
        measured = profile(program, zeros)
    show_step("")
    figures = _figures(program, part, measured, target, compiler.version)
    if args.json == "-":
        print(json.dumps(figures, indent=2))
        return 0
    if args.json is not None:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")
    _show(figures)
    if annotated is not None:
        _annotate(measured.ops[annotated.index], program.elf)
    return 0


def _find_op(ops: tuple[OpInfo, ...], wanted: str) -> OpInfo:
    for op in ops:
        if wanted in (op.name, str(op.index)):
            return op
    hint = did_you_mean(wanted, [op.name for op in ops]) or f"ops are numbered 0 to {len(ops) - 1}"
    raise UsageError(f"the program has no op `{wanted}`", help=hint)


def _figures(
    program: M7Program | M7Trainer, part: ProgramInfo | TrainingInfo, measured: Profile, target: Target, compiler: str
) -> dict[str, Any]:
    info = program.info
    training = {"params_bytes": info.training.params_bytes} if info.training is not None else {}
    milliseconds = 1000 * measured.total.cycles / target.clock_hz if target.clock_hz else None
    return {
        "name": info.name,
        "compiler": compiler,
        "target": target.name,
        "clock_hz": target.clock_hz,
        "milliseconds": milliseconds and round(milliseconds, 3),
        **_cost(measured.total, part.macs),
        "arena_bytes": info.arena_bytes,
        **training,
        "stack_bytes": measured.result.stack_bytes,
        "ops": [
            {"index": one.op.index, "name": one.op.name, "kind": one.op.kind}
            | _cost(one.tally, one.op.macs)
            | {"live_bytes": one.op.live_bytes, "flash_bytes": one.flash._asdict()}
            for one in measured.ops
        ],
        "functions": {
            name: {"instructions": tally.instructions, "cycles": round(tally.cycles)}
            for name, tally in sorted(measured.functions.items())
        },
    }


def _cost(tally: Tally, macs: int) -> dict[str, Any]:
    return {
        "macs": macs,
        "instructions": tally.instructions,
        "cycles": round(tally.cycles),
        "classes": {opclass.value: count for opclass, count in tally.classes.items()},
    }


def _show(figures: dict[str, Any]) -> None:
    columns = ["#", "op", "MACs", "instructions", "cycles", "cycles/MAC", "share"]
    columns += [f"{name} %" for name in SHOWN.values()]
    columns += ["RAM live", "flash"]
    total = {"index": "", "name": "total", "live_bytes": figures["arena_bytes"]} | {
        "flash_bytes": {part: sum(op["flash_bytes"][part] for op in figures["ops"]) for part in ("code", "constants")}
    }
    lines = [*figures["ops"], {**figures, **total}]
    print_table("", columns, [_row(line, max(1, figures["cycles"])) for line in lines], sys.stdout)
    clock = figures["clock_hz"]
    time = f" = {figures['milliseconds']:,.2f} ms at {clock / 1e6:g} MHz" if clock else ""
    print(f"\n{figures['name']}: {figures['cycles']:,} cycles{time}, assuming memory without wait states")
    params = f", parameters {figures['params_bytes']:,}" if "params_bytes" in figures else ""
    print(
        f"{'':4}arena {figures['arena_bytes']:,} bytes{params}, stack {figures['stack_bytes']:,}; {figures['compiler']}"
    )


def _row(line: dict[str, Any], all_cycles: int) -> tuple[str, ...]:
    executed = max(1, line["instructions"])
    return (
        str(line["index"]),
        line["name"],
        f"{line['macs']:,}",
        f"{line['instructions']:,}",
        f"{line['cycles']:,}",
        f"{line['cycles'] / line['macs']:.2f}" if line["macs"] else "-",
        f"{100 * line['cycles'] / all_cycles:.1f}%",
        *(f"{100 * line['classes'][opclass.value] / executed:.0f}" for opclass in SHOWN),
        f"{line['live_bytes']:,}",
        f"{sum(line['flash_bytes'].values()):,}",
    )


def _annotate(one: OpProfile, elf: Elf) -> None:
    print(f"\n{one.op}: the blocks that take {100 * ANNOTATED_SHARE:.0f} % of its {one.tally.cycles:,.0f} cycles")
    for priced in one.hot_blocks(ANNOTATED_SHARE):
        _print_block(priced, elf, max(one.tally.cycles, 1))


def _print_block(priced: PricedBlock, elf: Elf, op_cycles: float) -> None:
    block, spent = priced.block, sum(priced.cycles)
    print(
        f"\n{elf.describe(block.address)}: {block.count:,} times {spent / block.count:.1f} cycles"
        f" for {block.instructions} instructions, {100 * spent / op_cycles:.1f} % of the op"
    )
    address = block.address
    for instr, cycles in zip(priced.code, priced.cycles, strict=True):
        each = f"{cycles / block.count:.1f}" if cycles else "."
        print(f"  {block.count:>12,} {each:>6}  {address:08x}  {instr}")
        address += instr.size
