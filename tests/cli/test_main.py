"""The command line as a whole: exit status, messages, speed of `--help`, pipes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyir import cli
from tinyir.cli import COMMANDS, command_parser, main

TEXT = """func @main(%x: tensor<4xi8>) {
  %a = int.clamp(%x) {lo = -128, hi = 127} : tensor<4xi8>
  %y = int.widen(%a) : tensor<4xi32>
  func.return(%y)
}
"""


@pytest.fixture
def tir(tmp_path: Path) -> Path:
    path = tmp_path / "net.tir"
    path.write_text(TEXT)
    return path


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_no_command_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tinyir ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "-h"]) == 0
    assert f"example:\n  tinyir {name}" in capsys.readouterr().out
    assert command_parser(name).description


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspct"]) == 2
    assert capsys.readouterr().err == "error: unknown command `inspct`\nhelp: did you mean `inspect`?\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["opt", "--frobnicate"], 2, "unrecognized arguments: --frobnicate"),
        (["opt", "net.tir", "--passes", "canonicalise"], 2, "did you mean `canonicalize`?"),
        (["opt", "net.tir", "--load-pass", "missing.py"], 2, "it is not a Python file"),
        (["opt", "net.tir", "--passes=canonicalize", "--print-ir-after=fold-pad"], 2, "which does not run"),
        (["opt", "missing.tir"], 1, "error: cannot read missing.tir: No such file or directory"),
        (["opt", "broken.tir"], 1, "broken.tir:1:1: error: did not expect `nonsense`"),
        (["opt", "net.tir", "-o", "missing/out.tir"], 1, "error: missing/out.tir: No such file or directory"),
        (["inspect", "missing.tir"], 1, "error: cannot read missing.tir"),
        (["ops", "int.widenn"], 2, "did you mean `int.widen`?"),
        (["passes", "canonicalise"], 2, "did you mean `canonicalize`?"),
        (["targets", "stm32"], 2, "unknown target `stm32`"),
    ],
)
def test_mistakes(
    tir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    message: str,
) -> None:
    (tir.parent / "broken.tir").write_text("nonsense")
    monkeypatch.chdir(tir.parent)
    assert main(words) == status
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_the_traceback_is_there_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINYIR_DEBUG", "1")
    assert main(["opt", "missing.tir"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_is_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TINYIR_DEBUG", raising=False)
    monkeypatch.setattr(cli, "_run", lambda words: [][1])
    assert main(["opt"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: internal error: IndexError") and "TINYIR_DEBUG=1" in err


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert main(["opt"]) == 130


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "long.tir"
    lines = "".join(f"  %v{i} = int.widen(%x) {{offset = {i}}} : tensor<4xi32>\n" for i in range(3000))
    path.write_text(f"func @main(%x: tensor<4xi8>) {{\n{lines}  func.return(%x)\n}}\n")
    with subprocess.Popen(
        [sys.executable, "-m", "tinyir", "opt", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


HEAVY = ("numpy", "networkx", "lark", "rich", "flatbuffers", "tflite", "unicorn")


def test_help_imports_nothing_heavy() -> None:
    """What makes `tinyir --help` start in well under 0.3 s."""
    script = f"import sys, tinyir.cli; tinyir.cli.main(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_python_m_tinyir() -> None:
    run = subprocess.run([sys.executable, "-m", "tinyir", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("tinyir ")


def test_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert main(["opt", "--passes", "canonicalize"]) == 0
    assert "int.clamp" not in capsys.readouterr().out


def test_stdin_that_is_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    assert main(["opt"]) == 1
    assert "cannot read <stdin>" in capsys.readouterr().err


def test_environment_is_left_alone() -> None:
    assert os.environ.get("TINYIR_DEBUG", "0") in ("", "0")
