"""`tinyir tune` on a small model, with real trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.samples import needs_m7
from tests.tune.fakes import write_model
from tinyir.cli import main
from tinyir.loops.schedule_file import read_schedules

pytestmark = needs_m7


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model")))


def test_tune_and_compile(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, log = tmp_path / "s.toml", tmp_path / "s.toml.trials.jsonl"
    arguments = ["tune", model, "-o", str(path), "--trials", "3", "--jobs", "2", "-O", "size"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["kernel", "built-in", "cycles", "tuned", "cycles", "gain"]
    assert "done after 3 trials; outputs equal the interpreter's, bit for bit" in out
    assert f"--schedule {path}" in out
    total = next(line.split() for line in out.splitlines() if line.startswith("total"))
    assert int(total[2].replace(",", "")) <= int(total[1].replace(",", ""))
    assert len(log.read_text().splitlines()) == 3 and list(read_schedules(path)) == ["point", "window"]
    text = path.read_bytes()
    assert main(arguments) == 0  # nothing is left to measure
    assert path.read_bytes() == text and len(log.read_text().splitlines()) == 3
    assert main(["profile", model, "--schedule", str(path)]) == 0
    assert "cycles" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--trials", "0"], 2, "`0` is no positive number"),
        (["--jobs", "many"], 2, "`many` is no positive number"),
        (["--target", "host"], 2, "target `host` has no cycle model"),
        (["--schedule", "s.toml"], 2, "a search makes its own pipeline"),
    ],
)
def test_mistakes(
    words: list[str], status: int, message: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    assert main(["tune", model, "-o", str(path), *words]) == status
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
