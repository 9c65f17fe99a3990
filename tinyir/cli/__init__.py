"""The command line: arguments only. Each command is a module of this package, imported when it is called.

A command module has `EXAMPLE`, `configure(parser)` and `run(args) -> int`; its docstring is the help text.

Exit status: 0 done; 1 the model or a limit is at fault, and stderr says what and where; 2 usage. With TINYIR_DEBUG=1
the Python traceback is shown too.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

from tinyir import __version__
from tinyir.diagnostics import TinyIRError, TinyIRWarning, UsageError, did_you_mean

COMMANDS = {
    "compile": "compile a model to C or NumPy",
    "run": "compile a model and run it",
    "train": "train a model on examples",
    "train-plan": "find what to train under a budget of RAM",
    "verify": "compare with TFLite Micro, op by op",
    "profile": "show instructions and cycles of each op",
    "tune": "search for the fastest schedules",
    "opt": "run passes on IR text",
    "inspect": "show what is in a model",
    "passes": "list the passes, or show one",
    "ops": "list the ops of the IR, or show one",
    "targets": "list the targets, or show one",
}
"""Commands with one line each, in the order of the help. `tinyir A-NAME` is the module `tinyir.cli.a_name`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", TinyIRWarning)
            warnings.showwarning = _show_warning
            return _run(words)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the flush at exit
        return 0
    except SystemExit as exit:  # argparse has printed the help, or the mistake
        return int(exit.code or 0)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        _report(error)
        return 2 if isinstance(error, UsageError) else 1


def _run(words: list[str]) -> int:
    if not words or words[0].startswith("-"):
        return _run_without_command(words)
    name = words[0]
    if name not in COMMANDS:
        raise UsageError(f"unknown command `{name}`", help=did_you_mean(name, COMMANDS) or "tinyir -h lists them")
    args = command_parser(name).parse_args(words[1:])
    status = int(_module(name).run(args))
    sys.stdout.flush()
    return status


def _module(name: str) -> Any:
    return importlib.import_module(f"tinyir.cli.{name.replace('-', '_')}")


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of the arguments of one command."""
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"tinyir {name}",
        description=module.__doc__,
        epilog=f"example:\n{module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    return parser


def _run_without_command(words: list[str]) -> int:
    listing = "\n".join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tinyir",
        usage="tinyir COMMAND ... | tinyir COMMAND -h",
        description="A graph compiler for microcontrollers: TFLite models to plain C.",
        epilog=f"commands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tinyir {__version__}")
    parser.parse_args(words)
    parser.print_help(sys.stderr)
    return 2


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say on stderr what a user should know; other warnings say where in the code they come from."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    place = "" if issubclass(category, TinyIRWarning) else f"{filename}:{lineno}: {category.__name__}: "
    print(f"warning: {place}{message}", file=sys.stderr)


def _report(error: Exception) -> None:
    """Say on stderr what is wrong, on a line of its own."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if os.environ.get("TINYIR_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, TinyIRError):
        print(error.render(), file=sys.stderr)
    elif isinstance(error, OSError):
        print(f"error: {error.filename or ''}: {error.strerror or error}".replace(" : ", " "), file=sys.stderr)
    else:
        print(f"error: internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print("help: this is a mistake in tinyir; TINYIR_DEBUG=1 shows where", file=sys.stderr)
