"""Run passes on a module: IR text in, IR text out.

Without --passes, the pipeline is that of a line `// RUN: tinyir opt %s --passes="..."` in the file, as a reproducer
has it; without such a line the module is only checked and printed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tinyir.cli import command_parser
from tinyir.cli.pass_options import add_pass_options, load_pass_files, make_manager
from tinyir.diagnostics import IRError
from tinyir.frontends.load import is_model, load
from tinyir.frontends.text import parse, read_text
from tinyir.ir.core import Module
from tinyir.ir.printer import print_module, save_module
from tinyir.passes.manager import parse_pipeline

EXAMPLE = """  tinyir opt model.tir --passes "canonicalize,fold-pad" -o out.tir
  tinyir opt repro.tir                                # runs the passes that its RUN line names
  tinyir opt model.tflite --print-ir-after-all --passes canonicalize"""

STDIN = Path("-")
RUN_PREFIX = "// RUN: tinyir opt "


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", nargs="?", type=Path, default=STDIN, help="IR text or a .tflite file; else stdin")
    parser.add_argument(
        "--passes", metavar="PIPELINE", help="such as `canonicalize,fold-pad`; `tinyir passes` lists them"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="where to write, else stdout; big constants go beside it"
    )
    add_pass_options(parser)


def run(args: argparse.Namespace) -> int:
    module, text = _read(args.input)
    if args.passes is None:
        _take_run_line(args, text)
    load_pass_files(args)
    make_manager(args, parse_pipeline(args.passes or "")).run(module)
    if args.output is None:
        sys.stdout.write(print_module(module))
    else:
        save_module(module, args.output)
    return 0


def _read(path: Path) -> tuple[Module, str]:
    """The module, and the text it was read from ("" for a model)."""
    if path == STDIN:
        text = _stdin_text()
        return parse(text, "<stdin>"), text
    if is_model(path):
        return load(path), ""
    text = read_text(path)
    return parse(text, str(path), path.parent), text


def _stdin_text() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise IRError(f"cannot read <stdin>: {error}") from None


def _take_run_line(args: argparse.Namespace, text: str) -> None:
    """Set the pipeline, and the files it comes from, as the RUN line of `text` says, if there is one."""
    line = next((line for line in text.splitlines() if line.startswith(RUN_PREFIX)), None)
    if line is not None:
        words = shlex.split(line.removeprefix(RUN_PREFIX))
        given = command_parser("opt").parse_args([word for word in words if word != "%s"])
        args.passes = given.passes
        args.load_pass += given.load_pass
