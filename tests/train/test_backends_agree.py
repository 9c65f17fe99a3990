"""Twenty steps on NumPy, host C and emulated Cortex-M7: the same bits; and what a step refuses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.train.networks import dense_network
from tinyir.diagnostics import LimitError, UsageError
from tinyir.ir.core import Module, Op
from tinyir.ir.ops.nn_activation import Logistic, Relu, Tanh
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

SIZES = (24, 8, 5)
EVERYWHERE = ("numpy", "host", "m7")


def trainers(module: Module, training: Training) -> dict[str, Trainer]:
    """One trainer for each backend."""
    c = tinyir.compile(module, train=training, measure=False)
    numpy = tinyir.compile(module, train=training, backend="numpy")
    return {"numpy": numpy.trainer(), "host": c.trainer("host"), "m7": c.trainer("m7")}


def examples(training: Training, count: int, sizes: tuple[int, ...] = SIZES) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    xs = rng.normal(size=(count, 1, sizes[0])).astype(np.float32)
    if training.target == "label":
        return list(zip(xs, map(int, rng.integers(0, sizes[-1], count)), strict=True))
    return list(zip(xs, rng.uniform(size=(count, 1, sizes[-1])).astype(np.float32), strict=True))


def state(trainer: Trainer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.params.items()}


LOSSES = ("softmax-cross-entropy", "mean-squared-error", "binary-cross-entropy")
CASES = [
    *((Logistic, Training(loss, target)) for loss, target in itertools.product(LOSSES, ("label", "tensor"))),  # type: ignore[arg-type]
    (Relu, Training()),
    (Tanh, Training("mean-squared-error", "tensor")),
]


@pytest.mark.parametrize(("activation", "training"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_same_bits_after_twenty_steps(activation: type[Op], training: Training) -> None:
    last = activation if training.loss == "mean-squared-error" else None
    every = trainers(dense_network(SIZES, activation, last=last), training)
    losses = {name: [] for name in every}  # type: dict[str, list[bytes]]
    for x, target in examples(training, 20):
        for name, trainer in every.items():
            outcome = trainer.step(x, target, 0.1)
            assert outcome.status == 0
            losses[name].append(np.float32(outcome.loss).tobytes())
    assert losses["numpy"] == losses["host"] == losses["m7"]
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])
    outputs = [trainer.run(x).tobytes() for trainer in every.values()]
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "mean-squared-error"])
def test_training_learns(loss: Any) -> None:
    """The mean loss over three examples falls, and each gets its label."""
    training = Training(loss)
    trainer = tinyir.compile(dense_network(SIZES), train=training, backend="numpy").trainer()
    data = examples(training, 3)
    first = sum(trainer.step(x, label, 0.5).loss for x, label in data)
    for _ in range(60):
        last = sum(trainer.step(x, label, 0.5).loss for x, label in data)
    assert last < first / 4
    assert [int(trainer.run(x).argmax()) for x, _ in data] == [label for _, label in data]


@pytest.mark.parametrize(
    ("status", "label", "lr", "first"),
    [(3, -1, 0.1, 1.0), (3, 5, 0.1, 1.0), (4, 0, np.inf, 1.0), (4, 0, np.nan, 1.0), (5, 0, 0.1, np.nan)],
)
def test_a_step_that_is_refused_changes_nothing(status: int, label: int, lr: float, first: float) -> None:
    x = np.full((1, SIZES[0]), first, np.float32)
    for trainer in trainers(dense_network(SIZES), Training()).values():
        before = state(trainer)
        assert trainer.step(x, label, lr).status == status
        assert state(trainer) == before


def test_a_rate_of_zero_changes_nothing() -> None:
    x = np.ones((1, SIZES[0]), np.float32)
    for trainer in trainers(dense_network(SIZES), Training()).values():
        before = state(trainer)
        assert trainer.step(x, 0, 0.0).status == 0
        assert state(trainer) == before


def test_parameters_can_be_replaced() -> None:
    every = trainers(dense_network(SIZES), Training())
    x = np.ones((1, SIZES[0]), np.float32)
    every["numpy"].step(x, 2, 0.3)
    for trainer in every.values():
        trainer.set_params(every["numpy"].params)
        assert state(trainer) == state(every["numpy"])
        with pytest.raises(UsageError, match=r"the parameters are w0, b0, w1, b1, not w0"):
            trainer.set_params({"w0": every["numpy"].params["w0"]})


def test_limits_count_parameters() -> None:
    with pytest.raises(LimitError, match=r"bytes of RAM, 1,000 are granted") as caught:
        tinyir.compile(dense_network(SIZES), train=Training(), max_ram=1000)
    assert any("parameters that are trained 980 bytes" in note for note in caught.value.notes)


def test_the_limit_of_ram_is_arena_parameters_and_stack() -> None:
    report = tinyir.compile(dense_network(SIZES), train=Training()).report
    needed = report["arena_bytes"] + report["training"]["params_bytes"] + report["stack_bytes"]
    tinyir.compile(dense_network(SIZES), train=Training(), max_ram=needed)
    with pytest.raises(LimitError, match=f"needs {needed:,} bytes of RAM, {needed - 1:,} are granted"):
        tinyir.compile(dense_network(SIZES), train=Training(), max_ram=needed - 1)


def test_a_step_needs_a_program_that_trains() -> None:
    with pytest.raises(UsageError, match="compiled without `train`"):
        tinyir.compile(dense_network(SIZES), backend="numpy").trainer()
