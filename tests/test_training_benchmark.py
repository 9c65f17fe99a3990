"""The benchmark of training steps: its plans fit their models, and steps that differ end it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import FOLDER, needs_models
from tests.runtime.samples import needs_m7
from tests.train.networks import dense_network
from tinyir.api import Compiled, compile
from tinyir.diagnostics import UsageError
from tinyir.frontends import training_npz
from tinyir.pipeline import Training
from tinyir.train_plan import choose, layers


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("training")


@needs_models
@pytest.mark.parametrize("model", ["mcunet-5fps", "mbv2-w0.35"])
def test_plans_fit_the_backbones(training: Any, model: str) -> None:
    found = layers(training_npz.load(FOLDER / "training" / f"{model}.npz", training.CLASSES).main)
    for plan in training.SCHEMES[model].values():
        chosen = choose(plan, found)
        assert sum(one.bias for one in chosen.values()) == plan.biases
        assert sum(bool(one.channels) for one in chosen.values()) == len(plan.weights) + 1


@needs_m7
def test_steps_are_compared(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile(dense_network((4, 3, 5)), train=Training())
    x = np.ones((1, 4), np.float32)
    training.require_equal_steps(compiled, x)
    trainer = Compiled.trainer

    def moved(self: Compiled, backend: Any = None) -> Any:
        made = trainer(self, backend)
        if backend == "m7":
            made.set_params(made.params | {"b1": made.params["b1"] + np.float32(1)})
        return made

    monkeypatch.setattr(Compiled, "trainer", moved)
    with pytest.raises(UsageError, match="this machine"):
        training.require_equal_steps(compiled, x)
