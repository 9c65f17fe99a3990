"""The log of trials: what is written is read, and damage costs no more than its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyir.diagnostics import UsageError
from tinyir.tune.log import Entry, TrialLog
from tinyir.tune.measure import Trial

TRIAL = Trial({"conv": 12.5, "dense": 3.0}, {"conv": 100, "dense": 20}, 64, "ab", "gcc 12")
ENTRY = Entry(0, {"conv": ("0123", {"pixels": 3, "widen_rows": True})}, TRIAL)
FAILED = Entry(2, {"conv": ("4567", {"pixels": 2, "widen_rows": True})}, None, "no compiler")


@pytest.fixture
def log(tmp_path: Path) -> TrialLog:
    return TrialLog(tmp_path / "log.jsonl", "key")


def test_entries_come_back(log: TrialLog) -> None:
    assert log.read() == []
    for entry in (ENTRY, FAILED, ENTRY):
        log.append(entry)
    assert log.read() == [ENTRY, FAILED, ENTRY]


def test_entries_of_other_keys_stay_and_are_not_seen(log: TrialLog) -> None:
    other = TrialLog(log.path, "other")
    other.append(FAILED)
    log.append(ENTRY)
    assert (log.read(), other.read()) == ([ENTRY], [FAILED])


@pytest.mark.parametrize(
    "damage", ["{", "3", "null", "[]", '{"key": "key"}', '{"key": "key", "chosen": {"a": 1}}', "\0"]
)
def test_damaged_lines_are_passed_over(damage: str, log: TrialLog) -> None:
    log.append(ENTRY)
    with log.path.open("a") as file:
        file.write(damage)  # no end of line, as after a loss of power
    log.append(FAILED)
    assert log.read() == [ENTRY, FAILED]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        TrialLog(tmp_path / "missing" / "log", "key").append(ENTRY)
    with pytest.raises(UsageError, match="cannot read"):
        TrialLog(tmp_path, "key").read()
