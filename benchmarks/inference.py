"""The table of exactness, memory, size and instructions for the models of a folder.

    python benchmarks/inference.py [FOLDER | MODEL.tflite ...] [--io int8] [-O LEVEL] [--compiler gcc|zig] [--json F]

FOLDER is $TINYIR_MODELS or ../shared/models when none is given. Each model is compiled, run on the emulated Cortex-M7
on a ramp and three random inputs, and compared with TFLite Micro on each. Instructions are exact counts and cycles
those of docs/cycle_model.md, both of a run on zeros, as in `tinyir profile`; RAM is the arena (inputs and outputs
inside) plus the deepest use of the stack; flash is code and constants.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.diagnostics import TinyIRError
from tinyir.frontends.load import load
from tinyir.ir import semantics
from tinyir.loops.recipes.policy import LEVELS
from tinyir.pipeline import Options, compile_file, write_files
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.oracles import run_oracle
from tinyir.runtime.profiler import profile
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.tables import print_table
from tinyir.target import get_target
from tinyir.verify import default_inputs, difference

COLUMNS = (
    "model",
    "exact",
    "arena",
    "bound",
    "stack",
    "code",
    "weights",
    "MACs",
    "instructions",
    "cycles",
    "cycles/MAC",
    "compile s",
)


def main() -> int:
    args = parse_arguments()
    compiler = CrossCompiler.detect(args.compiler)
    rows = []
    for path in model_paths(args.models):
        try:
            rows.append(
                measure(path, Options(io=args.io, level=args.level, opt=args.opt, compiler=args.compiler), compiler)
            )
        except TinyIRError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        print(f"{path.stem}: {rows[-1]['instructions']:,} instructions", file=sys.stderr)
    print_table("", COLUMNS, [shown(row) for row in rows], sys.stdout)
    print(f"\n{compiler.version} {args.opt}, -O {args.level}")
    print("exact: elements of the outputs equal to TFLite Micro's, of those compared")
    if args.json is not None:
        args.json.write_text(
            json.dumps({"compiler": compiler.version, "level": args.level, "opt": args.opt, "models": rows}, indent=2)
            + "\n"
        )
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="folders or .tflite files")
    parser.add_argument("--io", choices=["model", "int8"], default="model")
    parser.add_argument("-O", "--level", choices=LEVELS, default="balanced")
    parser.add_argument("--compiler", choices=["gcc", "zig"])
    parser.add_argument("--opt", default="-O3")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def model_paths(given: list[Path]) -> list[Path]:
    """The .tflite files named, or those in the folders named."""
    default = Path(os.environ.get("TINYIR_MODELS") or Path(__file__).parents[2] / "shared" / "models")
    paths: list[Path] = []
    for path in given or [default]:
        paths += sorted(path.glob("*.tflite")) if path.is_dir() else [path]
    return paths


def measure(path: Path, options: Options, compiler: CrossCompiler) -> dict[str, Any]:
    """One row, as data."""
    started = time.perf_counter()
    result = compile_file(path, options)
    seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(result.files, Path(folder))
        program = M7Program.build(folder, get_target(options.target), compiler, options.opt)
    equal, compared = compare(path, program, result.module.main.args)
    cost = profile(program, [np.zeros(tensor.shape, tensor.dtype) for tensor in program.info.inputs]).total
    report = result.report
    return {
        "model": path.stem,
        "equal": equal,
        "compared": compared,
        "arena_bytes": report["arena_bytes"],
        "arena_lower_bound": report["arena_lower_bound"],
        "stack_bytes": report["stack_bytes"],
        "code_bytes": report["flash_bytes"]["code"],
        "weights_bytes": report["flash_bytes"]["weights"],
        "macs": report["macs"],
        "instructions": cost.instructions,
        "cycles": round(cost.cycles),
        "compile_seconds": round(seconds, 2),
    }


def compare(path: Path, program: M7Program, args: list[Any]) -> tuple[int, int]:
    """How many output elements equal TFLite Micro's, and of how many."""
    model = path.read_bytes()
    equal = compared = 0
    for sample in default_inputs(load(path).main):
        truth = run_oracle("tflm", model, sample).outputs
        taken = [_as_taken(array, arg.type.quant) for array, arg in zip(sample, args, strict=True)]
        run = program.run(taken, checks="pages")
        for have, want, tensor in zip(run.outputs, truth, program.info.outputs, strict=True):
            if have.dtype != want.dtype and tensor.scale is not None:
                have = semantics.dequantize(have, scale=tensor.scale, zero_point=tensor.zero_point or 0)
            wrong, _ = difference(have.reshape(-1), want.reshape(-1))
            equal += have.size - wrong
            compared += have.size
    return equal, compared


def _as_taken(array: np.ndarray[Any, Any], quant: Any) -> np.ndarray[Any, Any]:
    """An input of the model as the program takes it: quantised where the conversion was dropped."""
    if quant is None or array.dtype.kind != "f":
        return array
    return semantics.quantize(array, scale=quant.scale, zero_point=quant.zero_point)


def shown(row: dict[str, Any]) -> tuple[str, ...]:
    """One row, as text."""
    per_mac = f"{row['cycles'] / row['macs']:.2f}" if row["macs"] else "-"
    exact = "all" if row["equal"] == row["compared"] else f"{row['equal']:,} of {row['compared']:,}"
    names = (
        "arena_bytes",
        "arena_lower_bound",
        "stack_bytes",
        "code_bytes",
        "weights_bytes",
        "macs",
        "instructions",
        "cycles",
    )
    return (row["model"], exact, *(f"{row[name]:,}" for name in names), per_mac, f"{row['compile_seconds']:.2f}")


if __name__ == "__main__":
    raise SystemExit(main())
