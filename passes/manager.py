"""Runs passes one after the other, checks what each leaves, and shows what happens.

When a pass fails, the IR it was given is written to a file that `tinyir opt` runs as it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tinyir.diagnostics import InternalError, IRError, TinyIRError, UsageError, did_you_mean
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Module, Op
from tinyir.ir.printer import op_text, print_module, save_module
from tinyir.ir.verifier import verify_module
from tinyir.passes.pipeline_text import parse_pipeline, pipeline_text
from tinyir.passes.registry import Pass, file_of

__all__ = ["Pass", "PassManager", "PassRun", "parse_pipeline", "pipeline_text"]

ALL = "all"


@dataclass(frozen=True)
class PassRun:
    """What running one pass took and did."""

    name: str
    seconds: float
    verify_seconds: float
    statistics: dict[str, int]


@dataclass
class PassManager:
    """A pipeline and how to watch it.

    `print_after` names passes after which the IR is printed (`all` for every one), `dump_dir` gets the IR after each
    as a numbered file, `reproducer` is written when a pass fails. Tables and IR go to `out`.
    """

    passes: Sequence[Pass]
    verify_each: bool = True
    print_after: Collection[str] = ()
    dump_dir: Path | None = None
    reproducer: Path | None = None
    timing: bool = False
    stats: bool = False
    out: TextIO = field(default_factory=lambda: sys.stderr)

    def __post_init__(self) -> None:
        names = {a_pass.name for a_pass in self.passes} | {ALL}
        for name in self.print_after:
            if name not in names:
                help = did_you_mean(name, names) or f"the pipeline is: {pipeline_text(self.passes)}"
                raise UsageError(f"cannot print the IR after `{name}`, which does not run", help=help)

    def run(self, module: Module) -> list[PassRun]:
        """Run every pass on `module`, in place.

        Raises what a pass or the verifier raises, with a note that names the pass, and InternalError for any other
        exception; `module` is then good for nothing.
        """
        if self.verify_each:
            verify_module(module)
        self._dump(module, 0, "input")
        runs = []
        for position in range(len(self.passes)):
            runs.append(self._run_one(module, position))
            self._show(module, position)
        if self.timing:
            self._print_timing(runs)
        if self.stats:
            self._print_statistics(runs)
        return runs

    def _run_one(self, module: Module, position: int) -> PassRun:
        before = clone_module(module) if self.reproducer is not None else None
        a_pass = self.passes[position]
        clock = [time.perf_counter()]
        try:
            statistics = a_pass.run(module)
            clock.append(time.perf_counter())
            if self.verify_each:
                verify_module(module)
            clock.append(time.perf_counter())
        except Exception as error:
            explained = self._explain(error, position, verifying=len(clock) > 1)
            if before is not None:
                explained.notes.append(self._write_reproducer(before, position))
            raise explained from (None if explained is error else error)
        return PassRun(a_pass.name, clock[1] - clock[0], clock[2] - clock[1], statistics)

    # -- failures ---------------------------------------------------------------------------------------------------

    def _explain(self, error: Exception, position: int, verifying: bool) -> TinyIRError:
        """The error with notes that say which pass and which op; an InternalError for a foreign exception."""
        name = self.passes[position].name
        if not isinstance(error, TinyIRError):
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            error = InternalError(f"internal error in the pass `{name}`: {what}", help="TINYIR_DEBUG=1 shows where")
        if isinstance(error, IRError) and isinstance(error.op, Op):
            error.notes.append(f"the op is: {_text_of(error.op)}")
        broke = ", which left IR that breaks a rule" if verifying else ""
        error.notes.append(f"while running `{name}` ({position + 1} of {len(self.passes)}){broke}")
        return error

    def _write_reproducer(self, before: Module, position: int) -> str:
        """Save the IR that the failing pass was given; a note that says where."""
        assert self.reproducer is not None
        try:
            self.reproducer.parent.mkdir(parents=True, exist_ok=True)
            save_module(before, self.reproducer, run_line(self.passes[position:]))
        except OSError as error:
            return f"cannot write a reproducer: {error}"
        return f"to reproduce: tinyir opt {self.reproducer}"

    # -- watching ---------------------------------------------------------------------------------------------------

    def _show(self, module: Module, position: int) -> None:
        name = self.passes[position].name
        self._dump(module, position + 1, name)
        if name in self.print_after or ALL in self.print_after:
            title = f"// IR after `{name}` ({position + 1} of {len(self.passes)})"
            print(f"{title}\n{print_module(module, npz='elided.npz')}", file=self.out, flush=True)

    def _dump(self, module: Module, number: int, name: str) -> None:
        if self.dump_dir is not None:
            self.dump_dir.mkdir(parents=True, exist_ok=True)
            save_module(module, self.dump_dir / f"{number:02d}_{name}.tir")

    def _print_timing(self, runs: Sequence[PassRun]) -> None:
        verify = sum(run.verify_seconds for run in runs)
        total = sum(run.seconds for run in runs) + verify
        rows = [(run.name, run.seconds) for run in runs] + [("(verifier)", verify), ("total", total)]
        shares = [(name, f"{1000 * s:.1f}", f"{100 * s / total:.0f}%" if total else "") for name, s in rows]
        self._print_table("Time", ("pass", "ms", "share"), shares)

    def _print_statistics(self, runs: Sequence[PassRun]) -> None:
        rows = [(run.name, what, str(n)) for run in runs for what, n in run.statistics.items() if n]
        self._print_table("Statistics", ("pass", "what", "times"), rows)

    def _print_table(self, title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
        from tinyir.tables import print_table  # imports rich, which takes a tenth of a second

        print_table(title, columns, rows, self.out)


def run_line(passes: Sequence[Pass]) -> str:
    """The first line of a reproducer: the command that runs `passes` on the file that holds the line."""
    files = dict.fromkeys(str(path) for path in (file_of(type(a_pass)) for a_pass in passes) if path is not None)
    loads = "".join(f" --load-pass={_quoted(path)}" for path in files)
    return f"RUN: tinyir opt %s{loads} --passes={_quoted(pipeline_text(passes))}"


def _quoted(text: str) -> str:
    """As one word of a command line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'


def _text_of(op: Op) -> str:
    try:
        return op_text(op)
    except Exception:  # an op so broken that it cannot be printed must not hide the error about it
        return repr(op)
