"""Models as users have them, with a classifier for other classes: they compile to steps that run, with equal bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinyir
from tests.models import FOLDER, needs_models
from tinyir.pipeline import Training

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"
MODELS = [
    DIGITS,
    *(pytest.param(FOLDER / f"{name}.tflite", marks=needs_models) for name in ("vww_96_int8", "mcunet_vww")),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_the_head_of_a_frozen_int8_model_is_trained(model: Path, tmp_path: Path) -> None:
    """The loss on one example falls, the arena is hardly larger than that of an inference, and nothing else trains."""
    (tmp_path / "head.toml").write_text("version = 1\n")
    training = Training(classes=3, plan=tmp_path / "head.toml")
    c = tinyir.compile(model, train=training, measure=False)
    assert [param["name"] for param in c.report["training"]["params"]] == ["classifier_weights", "classifier_bias"]
    assert c.arena_bytes <= 1.1 * tinyir.compile(model, measure=False).arena_bytes
    trainers = [tinyir.compile(model, train=training, backend="numpy").trainer(), c.trainer("host")]
    tensor = c.report["training"]["inputs"][0]
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, tensor["shape"]).astype(np.int8)
    if tensor["dtype"] == "float32":
        x = (x / 128).astype(np.float32)
    losses = [[trainer.step(x, 2, 0.01).loss for _ in range(3)] for trainer in trainers]
    assert losses[0] == losses[1] and losses[0][0] > losses[0][1] > losses[0][2]
    assert trainers[0].save() == trainers[1].save()


def test_all_of_the_digits_network_is_trained() -> None:
    """Behind the new float head the int8 layers change too."""
    c = tinyir.compile(DIGITS, train=Training(classes=3), measure=False)
    trainer = c.trainer("host")
    before = trainer.params
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)
    assert trainer.step(x, 1, 0.1).status == 0
    changed = [name for name, array in trainer.params.items() if not np.array_equal(array, before[name])]
    assert "classifier_weights" in changed and any(before[name].dtype == np.int8 for name in changed)
