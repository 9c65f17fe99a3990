"""Compile a model and run it: in NumPy, as C on this machine, or as C on an emulated Cortex-M7."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tinyir.api import Array, Inputs, compile
from tinyir.cli.compile_options import add_compile_options, options_from
from tinyir.cli.progress import show_step
from tinyir.diagnostics import UsageError
from tinyir.frontends.load import load

EXAMPLE = """  tinyir run person.tflite --input photo.npy
  tinyir run person.tflite --input photo.npy --backend m7 --output scores.npy"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file, an .npz backbone or IR text")
    parser.add_argument("--input", type=Path, required=True, help=".npy, or .npz with one array per input by name")
    parser.add_argument("--backend", choices=["numpy", "host", "m7"], default="host", help="where (default: host)")
    parser.add_argument("--output", type=Path, help=".npy, or .npz for several outputs; printed if not given")
    add_compile_options(parser)


def run(args: argparse.Namespace) -> int:
    backend = "numpy" if args.backend == "numpy" else "c"
    options = options_from(args, backend=backend, measure=False)
    show_step("compiling")
    module = load(args.model)
    names = [value.name or f"output{i}" for i, value in enumerate(module.main.outputs)]
    program = compile(module, **vars(options))
    show_step(f"building and running on {args.backend}")
    outputs = program.run(read_inputs(args.input), args.backend)
    show_step("")
    if args.output is None:
        _print(names, outputs)
    else:
        _save(args.output, names, outputs)
    return 0


def read_inputs(path: Path) -> Inputs:
    """The array or arrays in a file. Raises UsageError."""
    try:
        content = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if isinstance(content, np.ndarray):
        return content
    return {name: content[name] for name in content.files}


def _print(names: list[str], outputs: list[Array]) -> None:
    np.set_printoptions(threshold=200, linewidth=110)
    for name, array in zip(names, outputs, strict=True):
        print(f"{name}: {array.dtype}{list(array.shape)}\n{array}")


def _save(path: Path, names: list[str], outputs: list[Array]) -> None:
    try:
        if path.suffix == ".npz":
            arrays = dict(zip(names, outputs, strict=True))
            np.savez(path, allow_pickle=False, **arrays)
        elif len(outputs) == 1:
            np.save(path, outputs[0], allow_pickle=False)
        else:
            raise UsageError(f"the model has {len(outputs)} outputs", help="give --output a name that ends in .npz")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    print(f"wrote {path}", file=sys.stderr)
