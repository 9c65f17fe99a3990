"""A `.tir` file as a test: its RUN line is run, and its CHECK lines must be found in the output, in order.

    // RUN: tinyir opt %s --passes=canonicalize
    // CHECK:       a line that contains this
    // CHECK-NEXT:  the line after it contains this
    // CHECK-NOT:   no line contains this, up to the next match or the end
    // CHECK-ERROR: the command fails, and stderr contains this

`%s` is the file and `%S` its folder; the command runs in an empty folder of its own. Runs of spaces count as one.
Without CHECK lines the command must succeed.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyir.cli import main

_RUN = re.compile(r"//\s*RUN:\s*tinyir\s+(.*)")
_CHECK = re.compile(r"//\s*(CHECK(?:-NEXT|-NOT|-ERROR)?):\s*(.*?)\s*$")


class TirFile(pytest.File):
    """Collects the one test of a file; none from a file without a RUN line."""

    def collect(self) -> Iterator[pytest.Item]:
        if _RUN.search(self.path.read_text(encoding="utf-8")):
            item: pytest.Item = TirItem.from_parent(self, name="run")
            yield item


class TirItem(pytest.Item):
    """Runs the file."""

    def runtest(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        checks = [(m.group(1), m.group(2)) for m in map(_CHECK.search, text.splitlines()) if m]
        status, out, err = run(text, self.path)
        errors = [wanted for kind, wanted in checks if kind == "CHECK-ERROR"]
        if errors:
            check_error(errors, status, err)
        elif status != 0:
            raise CheckError(f"exit status {status}\n{err}")
        check_output([c for c in checks if c[0] != "CHECK-ERROR"], out)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, CheckError):
            return f"{self.path}: {excinfo.value}"
        return str(excinfo.getrepr())

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, str(self.path.name)


class CheckError(Exception):
    """The output is not what the file says."""


def run(text: str, path: Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the RUN line of `text`."""
    match = _RUN.search(text)
    assert match is not None
    words = [word.replace("%s", str(path)).replace("%S", str(path.parent)) for word in shlex.split(match.group(1))]
    out, err = io.StringIO(), io.StringIO()
    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.chdir(scratch),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main(words)
    return status, out.getvalue(), err.getvalue()


def check_error(wanted: list[str], status: int, err: str) -> None:
    """Raise CheckError unless the command failed and its messages contain each of `wanted`."""
    if status == 0:
        raise CheckError("the command succeeds, but CHECK-ERROR wants it to fail")
    for text in wanted:
        if _squeeze(text) not in _squeeze(err):
            raise CheckError(f"stderr does not contain: {text}\n{err}")


def check_output(checks: list[tuple[str, str]], out: str) -> None:
    """Raise CheckError at the first check that does not hold."""
    lines = [_squeeze(line) for line in out.splitlines()]
    position = 0
    forbidden: list[str] = []
    for kind, text in checks:
        wanted = _squeeze(text)
        if kind == "CHECK-NOT":
            forbidden.append(wanted)
            continue
        if kind == "CHECK-NEXT":
            found = position if position < len(lines) and wanted in lines[position] else None
        else:
            found = next((i for i in range(position, len(lines)) if wanted in lines[i]), None)
        if found is None:
            raise CheckError(f"{kind} finds nothing from line {position + 1} of the output: {text}\n{out}")
        _check_absent(forbidden, lines[position:found], out)
        forbidden, position = [], found + 1
    _check_absent(forbidden, lines[position:], out)


def _check_absent(forbidden: list[str], lines: list[str], out: str) -> None:
    for text in forbidden:
        for line in lines:
            if text in line:
                raise CheckError(f"CHECK-NOT finds {text} in: {line}\n{out}")


def _squeeze(text: str) -> str:
    return " ".join(text.split())
