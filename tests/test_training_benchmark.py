"""The benchmark of training steps: its plans fit their models, and steps that differ end it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frontends.test_training_npz import Backbone
from tests.models import FOLDER, needs_models
from tests.runtime.samples import needs_m7, needs_m7prof, needs_qemu
from tests.train.networks import dense_network
from tinyir.api import Compiled, compile
from tinyir.diagnostics import UsageError
from tinyir.frontends import training_npz
from tinyir.pipeline import Training
from tinyir.train_plan import Share, TrainPlan, choose, layers


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


def test_a_line_for_each_scheme(training: Any) -> None:
    rows = [training.Row("49", 51_234_567, 43_210_000, 134_000, 29_000, 648, 250_000, 600_000)]
    assert training.markdown(rows).splitlines() == [
        "| scheme | M cycles | M instructions | RAM | arena | parameters | stack | flash | code | constants |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
        "| 49 KB | 51.23 | 43.21 | 163,648 | 134,000 | 29,000 | 648 | 850,000 | 250,000 | 600,000 |",
    ]


@needs_m7
@needs_qemu
@needs_m7prof
def test_a_step_of_a_small_backbone(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = TrainPlan(2, True, (Share(3, 0.5),))
    monkeypatch.setattr("os.chdir", lambda folder: None)  # tests run side by side, without a file of inputs
    found = training.measure(Backbone().save(tmp_path / "net.npz"), "small", plan, "speed", "f32")
    assert found.instructions / 2 <= found.cycles and found.ram == found.arena + found.params + found.stack
    assert found.stack > 0 and found.code > 0 and found.weights > 0
