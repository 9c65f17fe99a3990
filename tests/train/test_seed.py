"""NAME_params_seed: where training draws random numbers, the seed decides the trajectory, the same one everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinyir
from tests.train.networks import dense_network
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

MODEL = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"


def weights(trainer: Trainer, seed: int, steps: int = 2) -> bytes:
    """All parameters after some steps from the first ones, with a seed."""
    x = np.random.default_rng(0).integers(-128, 128, (steps, 1, 8, 8, 1)).astype(np.int8)
    trainer.seed(seed)
    for k in range(steps):
        assert trainer.step(x[k], k, 0.02).status == 0
    return trainer.save()


def test_the_seed_decides_the_rounding_of_updates_on_every_backend() -> None:
    training = Training()
    c = tinyir.compile(MODEL, train=training, measure=False)
    numpy = tinyir.compile(MODEL, train=training, backend="numpy")
    assert "int digits_params_seed(digits_params *p, uint32_t seed);" in str(c.files["digits.h"])
    seven = [weights(numpy.trainer(), 7), weights(c.trainer("host"), 7), weights(c.trainer("m7"), 7)]
    assert seven[0] == seven[1] == seven[2]
    assert weights(c.trainer("host"), 2**32 - 1) == weights(numpy.trainer(), 2**32 - 1) != seven[0]


def test_what_draws_nothing_has_no_seed() -> None:
    c = tinyir.compile(dense_network((4, 3)), train=Training(), measure=False)
    assert "params_seed" not in str(c.files["mlp.h"])
    trainer = c.trainer("host")
    before = trainer.save()
    trainer.seed(3)
    assert trainer.save() == before
