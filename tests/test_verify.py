"""`verify` finds what is wrong: each executor broken on purpose is named, with the first op that differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyir import verify as verify_module
from tinyir.diagnostics import ModelError
from tinyir.pipeline import Options, Result, compile_module
from tinyir.verify import difference, verify

MODEL = Path(__file__).parent.parent / "examples" / "digits" / "digits.tflite"
OPTIONS = Options(measure=False)


def test_all_executors_agree() -> None:
    report = verify(MODEL, OPTIONS)
    assert report.ok and report.samples == 4 and report.elements > 100_000


@pytest.mark.parametrize(("executor", "file"), [("host", "digits.c"), ("m7", "digits.c"), ("numpy", "digits.py")])
def test_a_broken_program_is_found(executor: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: object, options: Options) -> Result:
        result = compile_module(module, options)  # type: ignore[arg-type]
        if file in result.files:
            text = result.files[file]
            assert isinstance(text, str)
            result.files[file] = _break(text, "c" if file.endswith(".c") else "numpy")
        return result

    monkeypatch.setattr(verify_module, "compile_module", broken)
    report = verify(MODEL, OPTIONS, executors=(executor,))
    assert not report.ok
    assert {d.executor for d in report.divergences} == {executor}
    assert all("conv2d_2" in d.op and "depthwise" not in d.op for d in report.divergences)


def _break(text: str, kind: str) -> str:
    """The program with one constant of the layer conv2d_2 changed."""
    if kind == "c":
        head, name, body = text.partition("digits_conv2d_2(\n")
        assert name and " = tinyir_ssat_asr(" in body
        return head + name + body.replace(" = tinyir_ssat_asr(", " = 1 + tinyir_ssat_asr(", 1)
    head, name, body = text.partition("    conv2d_2 = ")
    assert name
    return head + name + body.replace("zero_point=-128", "zero_point=-127", 1)


def test_what_is_no_model() -> None:
    with pytest.raises(ModelError, match=r"no \.tflite model"):
        verify(Path(__file__), OPTIONS)


def test_difference_of_floats_is_relative() -> None:
    want = np.array([1.0, 1000.0, 0.0], np.float32)
    assert difference(want * np.float32(1 + 5e-6), want)[0] == 0
    assert difference(want * np.float32(1 + 5e-5), want)[0] == 2
    assert difference(np.array([np.nan, 1000.0, 0.0], np.float32), want)[0] == 1
