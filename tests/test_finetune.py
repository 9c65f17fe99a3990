"""The example `finetune` in a short form: an int8 model learns digits it has not seen, under 64 KB."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinyir
from tinyir.fit import Plan, fit
from tinyir.pipeline import Training

FOLDER = Path(__file__).parent.parent / "examples" / "finetune"


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The script as a module."""
    path = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("finetune")
    sys.path[:] = path
    for name in ("finetune", "train"):
        sys.modules.pop(name, None)


def test_a_few_steps_on_the_emulated_core(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole script: it ends with an error where the emulated core and this machine differ, or RAM is short."""
    monkeypatch.setattr(sys, "argv", ["finetune.py", "--plans", "all", "--steps", "4", "--shift", "0.1"])
    example.main()
    out = capsys.readouterr().out
    assert "65,536 bytes of RAM" in out and "| all " in out and "NO" not in out


@pytest.mark.parametrize("plan", ["head", "biases"])
def test_new_digits_are_learned(example: Any, plan: str) -> None:
    """From chance to nine in ten, from 200 images each seen once."""
    training = Training(plan=FOLDER / f"{plan}.toml", classes=5)
    program = tinyir.compile(FOLDER / "backbone.tflite", train=training, measure=False)
    trainer: Any = program.trainer("host")
    data = example.load_data(trainer.info.inputs[0])
    assert len(data.train) == 200 and len(data.test) == 224
    history = fit(trainer, data, Plan(200, 0.05, "cosine", eval_every=0))
    first = fit(program.trainer("host"), data, Plan(0, 0.05))
    assert first.measurements[0].scores.accuracy < 0.4
    assert history.measurements[-1].scores.accuracy > 0.9
