"""Files are known by their contents: models by their identifier, everything else is read as text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tinyir.cli import main
from tinyir.frontends.load import is_tflite, load

DIGITS = Path(__file__).parent.parent / "examples" / "digits" / "digits.tflite"


def test_a_model_is_known_by_its_name_or_identifier(tmp_path: Path) -> None:
    shutil.copy(DIGITS, tmp_path / "model.bin")
    (tmp_path / "net.tir").write_text("func @main(%x: tensor<1xi8>) { func.return(%x) }")
    (tmp_path / "empty").touch()
    assert is_tflite(DIGITS) and is_tflite(tmp_path / "model.bin") and is_tflite(tmp_path / "missing.tflite")
    assert not any(is_tflite(tmp_path / name) for name in ("net.tir", "empty", "missing.tir"))
    assert load(tmp_path / "model.bin").main.outputs[0].type == load(DIGITS).main.outputs[0].type


@pytest.mark.parametrize("command", ["opt", "inspect"])
@pytest.mark.parametrize("contents", [b"", b"\x1c\0\0\0TFL3", b"\xff" * 64])
def test_a_damaged_model_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, contents: bytes
) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(contents)
    assert main([command, str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "Traceback" not in err and "internal" not in err


def test_opt_takes_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["opt", str(DIGITS), "--passes=canonicalize,fold-pad,legalize-quant,canonicalize"]) == 0
    out = capsys.readouterr().out
    assert "int.requantize" in out and "nn.conv2d" not in out
