"""`tinyir passes`, `ops`, `targets` and `inspect`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import Golden
from tinyir.cli import main
from tinyir.ir.opdef import OPS
from tinyir.passes import BUILTIN
from tinyir.target import TARGETS

NET = """module attributes {name = "net"} {
  func @main(%image: tensor<1x4x4x2x!q8<0.5, 3>, NHWC>) {
    %w = nn.const() {value = dense<1x1x1x2xi8, [3, -4]>} : tensor<1x1x1x2x!q8<axis 0, [0.25], 0>, OHWI>
    %acc = nn.conv2d(%image, %w) : tensor<1x4x4x1x!q8<4.0, -1>, NHWC> loc("conv" op 0 tensor 5)
    %y = nn.dequantize(%acc) : tensor<1x4x4x1xf32, NHWC> loc("out" op 1 tensor 6)
    func.return(%y)
  }
}
"""


def output_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_passes(capsys: pytest.CaptureFixture[str]) -> None:
    listed = first_words(output_of(capsys, "passes"))
    assert listed[: len(BUILTIN)] == list(BUILTIN)


def test_one_pass(capsys: pytest.CaptureFixture[str], golden: Golden) -> None:
    golden.check(output_of(capsys, "passes", "strip-io"))


def test_ops(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(first_words(output_of(capsys, "ops"))) == sorted(OPS)


def test_one_op(capsys: pytest.CaptureFixture[str], golden: Golden) -> None:
    golden.check(output_of(capsys, "ops", "int.requantize"))


def test_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert first_words(output_of(capsys, "targets")) == list(TARGETS)


def test_one_target(capsys: pytest.CaptureFixture[str], golden: Golden) -> None:
    golden.check(output_of(capsys, "targets", "stm32f746g-disco"))


def test_inspect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], golden: Golden
) -> None:
    (tmp_path / "net.tir").write_text(NET)
    monkeypatch.chdir(tmp_path)
    golden.check(output_of(capsys, "inspect", "net.tir"))
