"""The float model that benchmarks/qas.py compares with."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from tinyir.frontends.load import load
from tinyir.ir.interp import evaluate

ROOT = Path(__file__).parents[2]


def test_the_float_twin_computes_what_the_integers_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    qas = importlib.import_module("qas")
    module = load(ROOT / "examples" / "digits" / "digits.tflite")
    twin = qas.float_twin(module).main
    for image in np.load(ROOT / "examples" / "digits" / "test_set.npz")["images"][:8, np.newaxis]:
        stored, real = evaluate(module.main, [image])[0], evaluate(twin, [qas.given(image, True)])[0]
        assert np.abs((stored.astype(np.float32) + 128) / 256 - real).max() < 0.1
