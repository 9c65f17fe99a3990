"""The CHECK lines of `.tir` tests: what holds, and what is said where one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tirfile import CheckError, check_error, check_output, run

OUT = "one\ntwo   and more\nthree\n"


@pytest.mark.parametrize(
    "checks",
    [
        [],
        [("CHECK", "one"), ("CHECK", "three")],
        [("CHECK", "one"), ("CHECK-NEXT", "two and")],
        [("CHECK-NOT", "four"), ("CHECK", "two")],
        [("CHECK", "two"), ("CHECK-NOT", "one")],
        [("CHECK", "one"), ("CHECK-NOT", "three"), ("CHECK", "two")],
    ],
)
def test_checks_that_hold(checks: list[tuple[str, str]]) -> None:
    check_output(checks, OUT)


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ([("CHECK", "four")], "CHECK finds nothing from line 1"),
        ([("CHECK", "two"), ("CHECK", "one")], "CHECK finds nothing from line 3"),
        ([("CHECK", "one"), ("CHECK-NEXT", "three")], "CHECK-NEXT finds nothing from line 2"),
        ([("CHECK", "three"), ("CHECK-NEXT", "four")], "CHECK-NEXT finds nothing from line 4"),
        ([("CHECK-NOT", "two")], "CHECK-NOT finds two"),
        ([("CHECK-NOT", "one"), ("CHECK", "two")], "CHECK-NOT finds one"),
        ([("CHECK", "one"), ("CHECK-NOT", "two"), ("CHECK", "three")], "CHECK-NOT finds two"),
    ],
)
def test_checks_that_do_not(checks: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(CheckError, match=message):
        check_output(checks, OUT)


def test_errors() -> None:
    check_error(["bad  thing"], 1, "error: bad thing")
    with pytest.raises(CheckError, match="the command succeeds"):
        check_error(["bad thing"], 0, "")
    with pytest.raises(CheckError, match="stderr does not contain: worse"):
        check_error(["bad thing", "worse"], 1, "error: bad thing")


def test_the_run_line_runs_in_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.tir"
    path.write_text("// RUN: tinyir opt %s -o out.tir\nfunc @main(%x: tensor<1xi8>) { func.return(%x) }")
    assert run(path.read_text(), path) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir()] == ["x.tir"]
