"""The example passes load and do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyir.cli import main

EXAMPLES = Path(__file__).parent.parent / "examples"

CLASSIFIER = """func @main(%x: tensor<1x4xf32>, %w: tensor<3x4xf32>) {
  %scores = nn.dense(%x, %w) : tensor<1x3xf32>
  %y = nn.softmax(%scores) : tensor<1x3xf32>
  func.return(%y)
}
"""


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    (tmp_path / "net.tir").write_text(CLASSIFIER)
    return str(tmp_path / "net.tir")


def opt(capsys: pytest.CaptureFixture[str], path: str, passes: str) -> str:
    assert main(["opt", path, f"--load-pass={EXAMPLES / 'drop_softmax.py'}", f"--passes={passes}"]) == 0
    return capsys.readouterr().out


def test_drop_softmax(classifier: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = opt(capsys, classifier, "drop-softmax")
    assert "nn.softmax" not in text and "func.return(%scores)" in text


def test_drop_softmax_skips_other_outputs(classifier: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nn.softmax" in opt(capsys, classifier, "drop-softmax{outputs=0}")


def test_a_pass_takes_less_than_forty_lines() -> None:
    assert len((EXAMPLES / "drop_softmax.py").read_text().splitlines()) < 40
