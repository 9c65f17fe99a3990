"""Two hundred steps with one seed on NumPy, host C and emulated Cortex-M7: equal losses and weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import tinyir
from tests.train.networks import dense_network, detector_network, digits_network
from tests.train.test_backends_agree import state
from tests.train.test_int8_training import digits
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.passes.augment import Augment
from tinyir.pipeline import Training
from tinyir.verify_train import random_examples

STEPS, SEED = 200, 7


@dataclass(frozen=True)
class Case:
    """What is trained, how, and how fast."""

    network: Callable[[], Module]
    training: Training
    lr: float
    augment: Augment | None = None


CASES = {
    "dense": Case(lambda: dense_network((64, 16, 10), Logistic, last=Logistic), Training("mean-squared-error"), lr=0.5),
    "convolutions": Case(lambda: digits_network((4, 6, 8)), Training(), lr=0.02),
    "pooling, adam": Case(detector_network, Training(optimizer="adam"), lr=0.01, augment=Augment(shift=0.1)),
    "int8": Case(lambda: digits()[0], Training(classes=2), lr=0.02, augment=Augment(rotation=10.0, flip=True)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equal_losses_and_weights(case: Case) -> None:
    c, numpy = (
        tinyir.compile(case.network(), train=case.training, augment=case.augment, backend=backend, measure=False)
        for backend in ("c", "numpy")
    )
    every = [numpy.trainer(), c.trainer("host"), c.trainer("m7")]
    start = every[0].params
    examples = random_examples(numpy.module.funcs["train_step"])
    losses = []
    for trainer in every:
        trainer.seed(SEED)
        turns = (step % len(examples) for step in range(STEPS))
        outcomes = [trainer.step(examples.x[i], examples.target(i), case.lr) for i in turns]
        assert {outcome.status for outcome in outcomes} == {0}
        losses.append(np.array([outcome.loss for outcome in outcomes], np.float32).tobytes())
    assert losses[0] == losses[1] == losses[2]
    assert state(every[0]) == state(every[1]) == state(every[2])
    after = every[0].params
    assert all((after[name] != array).any() for name, array in start.items())
    assert all(np.isfinite(array).all() for array in after.values())
