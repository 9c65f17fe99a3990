"""`tinyir profile` on the example model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.samples import needs_m7
from tests.train.networks import dense_network
from tinyir.cli import main

pytestmark = needs_m7

MODEL = str(Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite")


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", MODEL, "--json", str(tmp_path / "p.json")]) == 0
    out = capsys.readouterr().out
    figures = json.loads((tmp_path / "p.json").read_text())
    assert out.splitlines()[0].split()[:5] == ["#", "op", "MACs", "instructions", "cycles"]
    assert f"{figures['cycles']:,} cycles" in out and "without wait states" in out and "ms at 216 MHz" in out
    total = next(line.split() for line in out.splitlines() if line.split()[:1] == ["total"])
    assert total[2:4] == [f"{figures['instructions']:,}", f"{figures['cycles']:,}"]


def test_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", MODEL, "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    for key in ("instructions", "macs"):
        assert figures[key] == sum(op[key] for op in figures["ops"])
    assert figures["cycles"] == pytest.approx(sum(op["cycles"] for op in figures["ops"]), abs=len(figures["ops"]))
    assert figures["milliseconds"] == pytest.approx(1000 * figures["cycles"] / figures["clock_hz"], abs=1e-3)
    assert all(sum(op["classes"].values()) == op["instructions"] for op in figures["ops"])


@pytest.mark.parametrize("op", ["1", "depthwise_conv2d_1"])
def test_annotate(op: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", MODEL, "--annotate", op]) == 0
    out = capsys.readouterr().out
    assert "op 1 `depthwise_conv2d_1`" in out and "% of the op" in out and " ldr" in out


def test_an_op_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", MODEL, "--annotate", "depthwise_conv2d_2"]) == 2
    error = capsys.readouterr().err
    assert "no op `depthwise_conv2d_2`" in error and "did you mean" in error


def test_a_step_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlp.tir").write_text(str(dense_network((12, 8, 5))))
    assert main(["profile", str(tmp_path / "mlp.tir"), "--train", "all", "--json", str(tmp_path / "p.json")]) == 0
    figures = json.loads((tmp_path / "p.json").read_text())
    assert figures["params_bytes"] == 4 * (12 * 8 + 8 + 8 * 5 + 5)
    assert figures["macs"] == sum(op["macs"] for op in figures["ops"]) > 2 * (12 * 8 + 8 * 5)
    assert figures["cycles"] == pytest.approx(sum(op["cycles"] for op in figures["ops"]), abs=len(figures["ops"]))
    assert f"parameters {figures['params_bytes']:,}" in capsys.readouterr().out
