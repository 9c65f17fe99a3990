"""Cycles, memory, size and compile time of whole models, at each level, with each C compiler; exactness on the way.

    python benchmarks/inference.py [--models NAME ...] [--levels LEVEL ...] [--compilers gcc|zig ...] [--jobs N]
                                   [--json FILE] [--markdown]

A model is a .tflite file, or the name of one in $TINYIR_MODELS or ../shared/models, where goldens/NAME.npz holds inputs
and TFLite Micro's outputs. Each program takes and gives integers (--io int8). It runs on QEMU's Cortex-M7 on all those
inputs; an output element that differs ends the benchmark. Then m7prof (in $TINYIR_TOOLS or ../shared/tools) counts and
prices one run of the same ELF file on QEMU. `tinyir.machine` prices it from blocks counted on our emulator without
watching each load, which is 25 times as fast: loads that are unaligned or meet in one bank, up to 6 % of the cycles,
are in m7prof's figure alone (`cycle_model.py` compares the two in full). The two must count the same instructions.
RAM is the arena (inputs and outputs inside) plus the deepest use of the stack; flash is code and weights. Compile time
is processor time, of the stages up to C and of the C compiler, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import asdict, dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
from common import CALLER, find_referee, models_folder, pattern
from peers import NONE, PEERS, Peers

from tinyir.diagnostics import TinyIRError, UsageError
from tinyir.ir import semantics
from tinyir.loops.recipes.policy import LEVELS, Level
from tinyir.pipeline import Options, Result, compile_file, write_files
from tinyir.runtime.elf import Elf, flash_sizes
from tinyir.runtime.image import build_image
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.profiler import profile
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.qemu import BOARD, QemuProgram
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.tables import print_table
from tinyir.target import CompilerKind, get_target
from tinyir.verify import difference

COMPILERS: tuple[CompilerKind, ...] = ("gcc", "zig")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Row:
    """What one program needs. Sizes are in bytes, cycles those of one run."""

    model: str
    level: Level
    compiler: CompilerKind
    version: str
    elements: int  # of outputs, all equal to TFLite Micro's
    macs: int
    instructions: int
    cycles: int
    model_cycles: int
    arena_bytes: int
    arena_lower_bound: int
    stack_bytes: int
    code_bytes: int
    weights_bytes: int
    compile_seconds: float
    c_seconds: float


class BenchmarkError(Exception):
    """A model that does not compile, or whose figures are wrong."""


def main() -> int:
    args = parse_arguments()
    try:
        find_referee()
        tasks = list(product(map(model_path, args.models), args.levels, [tuple(args.compilers)]))
        rows = list(measured(tasks, args.jobs))
    except (TinyIRError, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.markdown:
        print(markdown(rows))
    else:
        print_table("", HEADINGS, [shown(row) for row in rows], sys.stdout)
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(PEERS), help="default: %(default)s")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--compilers", nargs="+", choices=COMPILERS, default=COMPILERS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes side by side (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", action="store_true", help="the tables of README.md")
    return parser.parse_args()


def model_path(name: str) -> Path:
    path = Path(name) if name.endswith(".tflite") else models_folder() / f"{name}.tflite"
    if not path.exists():
        raise UsageError(f"there is no {path}", help="set TINYIR_MODELS to the folder with the models")
    return path.absolute()


# -- measuring --------------------------------------------------------------------------------------------------------

Task = tuple[Path, Level, tuple[CompilerKind, ...]]


def measured(tasks: Sequence[Task], jobs: int) -> Iterator[Row]:
    """The rows of all tasks, in order; each task in a new process, so that none finds what another left in a cache."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        try:
            for (path, level, _), rows in zip(tasks, pool.map(measure, tasks), strict=True):
                print(f"{path.stem} -O {level}: {rows[0].cycles:,} cycles", file=sys.stderr)
                yield from rows
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def measure(task: Task) -> list[Row]:
    """A row for each C compiler. Raises BenchmarkError."""
    path, level, compilers = task
    try:
        started = processor_seconds()
        options = Options(io="int8", level=level, measure=False)
        result = compile_file(path, options)
        seconds = processor_seconds() - started
        return [run(path, options, result, seconds, kind) for kind in compilers]
    except TinyIRError as error:  # whose arguments do not survive the way to another process
        raise BenchmarkError(f"{path.stem} -O {level}: {error.render()}") from None


def run(path: Path, options: Options, result: Result, seconds: float, kind: CompilerKind) -> Row:
    """Build the program with one compiler, run and price it."""
    compiler, referee = CrossCompiler.detect(kind), find_referee()
    with tempfile.TemporaryDirectory(prefix="tinyir-") as name, chdir(name):
        folder = Path(name)
        write_files(result.files, folder)
        info = ProgramInfo.load(folder)
        started = processor_seconds()
        image = build_image(info, get_target(BOARD), compiler, folder, opt=options.c_level, semihosting=True)
        c_seconds = processor_seconds() - started
        sizes = flash_sizes([folder / f"{source.stem}.o" for source in info.source_paths])
        theirs = [t for function, t in referee.profile(str(image)).functions.items() if function != CALLER]
        elements = compare(path, QemuProgram(info, image.read_bytes()), result)
        program = M7Program(info, get_target(BOARD), Elf.read(image))
    ours = profile(program, [pattern(tensor) for tensor in info.inputs], "pages")
    instructions = sum(tally.instructions for tally in theirs)
    if ours.total.instructions != instructions:
        raise BenchmarkError(f"{path.stem}: {ours.total.instructions:,} instructions, by m7prof {instructions:,}")
    assert ours.result.stack_bytes is not None
    return Row(
        model=path.stem,
        level=options.level,
        compiler=kind,
        version=compiler.version,
        elements=elements,
        macs=info.macs,
        instructions=instructions,
        cycles=round(sum(tally.cycles for tally in theirs)),
        model_cycles=round(ours.total.cycles),
        arena_bytes=info.arena_bytes,
        arena_lower_bound=result.report["arena_lower_bound"],
        stack_bytes=ours.result.stack_bytes,
        code_bytes=sizes.code,
        weights_bytes=sizes.weights,
        compile_seconds=round(seconds, 2),
        c_seconds=round(c_seconds, 2),
    )


def processor_seconds() -> float:
    """What this process and those it waited for have used: other load on the machine does not count."""
    return sum(os.times()[:4])


def compare(path: Path, program: QemuProgram, result: Result) -> int:
    """How many output elements were compared with TFLite Micro's. Raises BenchmarkError if one differs."""
    file = path.parent / "goldens" / f"{path.stem}.npz"
    if not file.exists():
        raise BenchmarkError(f"{path.stem}: there is no {file} to compare with")
    goldens = np.load(file)
    args, outputs = result.module.main.args, program.info.outputs
    samples = zip(*(_as_taken(goldens[f"in{i}"], arg.type.quant) for i, arg in enumerate(args)), strict=True)
    compared = 0
    for sample, taken in enumerate(program.run([list(arrays) for arrays in samples])):
        for i, (have, tensor) in enumerate(zip(taken.outputs, outputs, strict=True)):
            want = goldens[f"tflm_out{i}"][sample]
            if have.dtype != want.dtype and tensor.scale is not None:
                have = semantics.dequantize(have, scale=tensor.scale, zero_point=tensor.zero_point or 0)
            wrong, _ = difference(have.reshape(-1), want.reshape(-1))
            if wrong:
                raise BenchmarkError(
                    f"{path.stem}: {wrong} of {want.size} elements of output {i} differ for input {sample}"
                )
            compared += want.size
    return compared


def _as_taken(array: Array, quant: Any) -> Array:
    """Inputs of the model as the program takes them: quantised where the conversion was dropped."""
    if quant is None or array.dtype.kind != "f":
        return array
    return semantics.quantize(array, scale=quant.scale, zero_point=quant.zero_point)


# -- tables -----------------------------------------------------------------------------------------------------------

HEADINGS = (
    "model",
    "-O",
    "compiler",
    "cycles",
    "cycles/MAC",
    "our model",
    "instructions",
    "arena",
    "bound",
    "stack",
    "code",
    "weights",
    "compile s",
    "C compiler s",
)


def shown(row: Row) -> tuple[str, ...]:
    """One row, as text."""
    counts = (row.arena_bytes, row.arena_lower_bound, row.stack_bytes, row.code_bytes, row.weights_bytes)
    return (
        row.model,
        row.level,
        row.compiler,
        f"{row.cycles:,}",
        per_mac(row),
        f"{row.model_cycles:,}",
        f"{row.instructions:,}",
        *(f"{n:,}" for n in counts),
        f"{row.compile_seconds:.2f}",
        f"{row.c_seconds:.2f}",
    )


def per_mac(row: Row) -> str:
    return f"{row.cycles / row.macs:.2f}" if row.macs else "-"


def markdown(rows: Sequence[Row]) -> str:
    """Two tables, a line for each model and level: cycles and seconds, then bytes; figures of peers beside the first
    level of each model."""
    compilers = list(dict.fromkeys(row.compiler for row in rows))
    names = [{"gcc": "GCC", "zig": "clang"}[kind] for kind in compilers]
    lines: dict[str, list[list[str]]] = {"cycles": [], "bytes": []}
    for (model, level), found in groupby(rows, key=lambda row: (row.model, row.level)):
        group = list(found)
        is_first = level == rows[0].level
        peers, head = (PEERS.get(model, NONE), model) if is_first else (Peers(*[""] * 7), "")
        first = group[0]
        lines["cycles"].append(
            [head, level]
            + [f"{millions(row.cycles)} ({per_mac(row)})" for row in group]
            + [f"{first.compile_seconds + first.c_seconds:.1f}"]
            + [peers.tflm_cycles, peers.tinyengine_cycles, peers.published_cycles]
        )
        lines["bytes"].append(
            [head, level, f"{first.arena_bytes:,}"]
            + ["/".join(f"{row.stack_bytes}" for row in group), f"{first.weights_bytes:,}"]
            + [f"{row.code_bytes:,}" for row in group]
            + [peers.tflm_ram, peers.tinyengine_ram, peers.tflm_code, peers.tinyengine_code]
        )
    cycles = [
        "model",
        "-O",
        *(f"M cycles (per MAC), {name}" for name in names),
        "compile s",
        *ENGINES,
        "best published",
    ]
    sizes = ["model", "-O", "arena", "stack", "weights", *(f"code, {name}" for name in names)]
    sizes += [f"{what}, {name}" for what in ("RAM", "code") for name in ENGINES]
    return f"{_table(cycles, lines['cycles'])}\n\n{_table(sizes, lines['bytes'])}"


ENGINES = ("TFLM + CMSIS-NN", "TinyEngine")


def millions(cycles: int) -> str:
    """Three digits that count."""
    return f"{cycles / 1e6:.{1 if cycles >= 10_000_000 else 2 if cycles >= 1_000_000 else 3}f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", "---", *["--:"] * (len(columns) - 2)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


if __name__ == "__main__":
    raise SystemExit(main())
