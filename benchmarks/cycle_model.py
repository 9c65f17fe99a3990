"""The cycle model against `m7prof`, a model of the same core by others: instructions and cycles of whole models.

    python benchmarks/cycle_model.py [FOLDER | MODEL.tflite ...] [--compiler gcc|zig ...] [--as-referee] [--json FILE]

FOLDER is $TINYIR_MODELS or ../shared/models when none is given. m7prof is looked for in $TINYIR_TOOLS, the folder that
holds the package, then in ../shared/tools; it runs the same ELF file on QEMU. Both see the same input. --as-referee
gives our model the two latencies of the FPU in which m7prof differs from its sources (docs/cycle_model.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack, chdir
from pathlib import Path
from typing import Any
from unittest import mock

from common import CALLER, find_referee, models_folder, pattern

from tinyir.diagnostics import UsageError
from tinyir.machine import make_fp
from tinyir.machine.timing import FP_CHAINED, FP_WORD, Latency, Port
from tinyir.pipeline import Options, compile_file, write_files
from tinyir.runtime import decode_fp
from tinyir.runtime.elf import Elf
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.profiler import profile
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.qemu import BOARD, build_referee_elf
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.tables import print_table
from tinyir.target import get_target

COLUMNS = ("model", "compiler", "instructions", "by m7prof", "cycles", "by m7prof", "difference", "cycles/MAC")


def main() -> int:
    args = parse_arguments()
    try:
        referee = find_referee()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    rows = []
    with ExitStack() as patches:
        if args.as_referee:
            use_latencies_of_referee(patches)
        for path in model_paths(args.models):
            for kind in args.compiler or ("gcc", "zig"):
                rows.append(compare(path, kind, referee))
                print(f"{path.stem}, {kind}: {rows[-1]['difference']:+.1%}", file=sys.stderr)
    print_table("", COLUMNS, [shown(row) for row in rows], sys.stdout)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="folders or .tflite files")
    parser.add_argument("--compiler", choices=["gcc", "zig"], action="append")
    parser.add_argument("--as-referee", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def model_paths(given: list[Path]) -> list[Path]:
    """The .tflite files named, or those in the folders named."""
    paths: list[Path] = []
    for path in given or [models_folder()]:
        paths += sorted(path.glob("*.tflite")) if path.is_dir() else [path]
    return paths


def use_latencies_of_referee(patches: ExitStack) -> None:
    """A load reaches FP arithmetic in the second cycle, not the next; VMLA chains every fourth, not every third."""
    slow_load = _changed(FP_WORD, {Port.FP_ADD: 2, Port.FP_MUL: 2})
    patches.enter_context(mock.patch.object(make_fp, "FP_WORD", slow_load))
    patches.enter_context(mock.patch.object(decode_fp, "FP_WORD", slow_load))
    patches.enter_context(mock.patch.object(make_fp, "FP_CHAINED", _changed(FP_CHAINED, {Port.FP_CHAINED: 4})))


def _changed(latency: Latency, ports: dict[int, int]) -> Latency:
    return tuple(ports.get(port, cycles) for port, cycles in enumerate(latency))


def compare(path: Path, kind: Any, referee: Any) -> dict[str, Any]:
    """One row, as data: the program alone, without the referee's caller."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch, chdir(scratch):
        folder = Path(scratch)
        write_files(compile_file(path.absolute(), Options(io="int8", measure=False)).files, folder)
        elf = build_referee_elf(folder, folder / "program.elf", CrossCompiler.detect(kind))
        functions = referee.profile(str(elf), engine="qemu").functions
        info = ProgramInfo.load(folder)
        program = M7Program(info, get_target(BOARD), Elf.read(elf))
    ours = profile(program, [pattern(tensor) for tensor in info.inputs]).total
    theirs = [tally for name, tally in functions.items() if name != CALLER]
    cycles = sum(tally.cycles for tally in theirs)
    return {
        "model": path.stem,
        "compiler": kind,
        "macs": info.macs,
        "instructions": ours.instructions,
        "referee_instructions": sum(tally.instructions for tally in theirs),
        "cycles": round(ours.cycles),
        "referee_cycles": round(cycles),
        "difference": ours.cycles / cycles - 1,
    }


def shown(row: dict[str, Any]) -> tuple[str, ...]:
    """One row, as text."""
    counts = ("instructions", "referee_instructions", "cycles", "referee_cycles")
    per_mac = f"{row['cycles'] / row['macs']:.2f}" if row["macs"] else "-"
    return (row["model"], row["compiler"], *(f"{row[k]:,}" for k in counts), f"{row['difference']:+.1%}", per_mac)


if __name__ == "__main__":
    raise SystemExit(main())
