"""`tinyir opt`: text in, text out, and everything to watch the passes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_main import TEXT
from tests.passes.test_manager import PASS_FILE
from tinyir.cli import main
from tinyir.frontends.text import load_text, parse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.tir").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_without_passes_the_text_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["opt", "net.tir"]) == 0
    assert parse(capsys.readouterr().out) == parse(TEXT)


def test_output_goes_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["opt", "net.tir", "--passes=canonicalize", "-o", "out.tir"]) == 0
    assert capsys.readouterr().out == ""
    assert [op.opname for op in load_text(folder / "out.tir").main.ops] == ["int.widen", "func.return"]


def test_the_run_line_of_the_file_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.tir").write_text(f'// RUN: tinyir opt %s --passes="canonicalize,fold-pad"\n{TEXT}')
    assert main(["opt", "net.tir", "--stats"]) == 0
    captured = capsys.readouterr()
    assert "int.clamp" not in captured.out and "drop_full_clamp" in captured.err


def test_passes_of_the_command_line_count_more(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.tir").write_text(f"// RUN: tinyir opt %s --passes=canonicalize\n{TEXT}")
    assert main(["opt", "net.tir", "--passes="]) == 0
    assert "int.clamp" in capsys.readouterr().out


def test_a_pass_from_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my_pass.py").write_text(PASS_FILE.format(name="of-the-user"))
    words = ["opt", "net.tir", "--load-pass", "my_pass.py", "--passes", "of-the-user{times=3}", "--stats"]
    assert main(words) == 0
    assert ["of-the-user", "ran", "3"] in [line.split() for line in capsys.readouterr().err.splitlines()]


def test_dumps_prints_and_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["opt", "net.tir", "--passes=canonicalize,fold-pad", "--print-ir-after-all", "--dump-dir=d", "--timing"]
    assert main(words) == 0
    err = capsys.readouterr().err
    assert "// IR after `fold-pad` (2 of 2)" in err and "(verifier)" in err
    assert (folder / "d" / "02_fold-pad.tir").exists()


def test_a_failing_pass_leaves_a_reproducer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs as it is: it names the file of the pass, and fails in the same way."""
    (folder / "bad.py").write_text(PASS_FILE.format(name="bad-pass").replace("return", "raise ValueError  #"))
    assert main(["opt", "net.tir", "--load-pass=bad.py", "--passes=canonicalize,bad-pass"]) == 1
    first = capsys.readouterr().err
    assert "note: while running `bad-pass` (2 of 2)" in first
    assert "note: to reproduce: tinyir opt repro.tir" in first
    assert main(["opt", "repro.tir"]) == 1
    assert "note: while running `bad-pass` (1 of 1)" in capsys.readouterr().err


def test_a_reproducer_goes_to_the_dump_folder(folder: Path) -> None:
    (folder / "bad.py").write_text(PASS_FILE.format(name="bad-dumped").replace("return", "raise ValueError  #"))
    assert main(["opt", "net.tir", "--load-pass=bad.py", "--passes=bad-dumped", "--dump-dir=d"]) == 1
    assert (folder / "d" / "repro.tir").exists() and not (folder / "repro.tir").exists()
