"""Optimisers: steps on NumPy, host C and emulated Cortex-M7 give the same bits; and PyTorch's numbers, where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tinyir
from tests.train.networks import dense_network, digits_network
from tests.train.test_backends_agree import EVERYWHERE, examples, state, trainers
from tinyir.diagnostics import UsageError
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Relu, Tanh
from tinyir.pipeline import Training

SIZES = (24, 8, 5)
STEPS = 8

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "weight decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    "adam": {"optimizer": "adam"},
    "adam by other numbers": {"optimizer": "adam", "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1},
    "sums": {"accumulate": 4},
    "sums, momentum": {"accumulate": 2, "momentum": 0.9},
    "sums, adam": {"accumulate": 3, "optimizer": "adam"},
}


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_same_bits_everywhere(options: dict[str, Any]) -> None:
    training = Training(**options)
    every = trainers(dense_network(SIZES, Relu), training)
    for x, label in examples(training, STEPS):
        losses = [np.float32(every[name].step(x, label, 0.1).loss).tobytes() for name in EVERYWHERE]
        assert len(set(losses)) == 1
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])
    assert all(np.isfinite(array).all() for array in every["numpy"].params.values())
    x = np.ones((1, SIZES[0]), np.float32)
    assert len({every[name].run(x).tobytes() for name in EVERYWHERE}) == 1


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_are_those_of_pytorch(options: dict[str, Any]) -> None:
    training = Training(**options)
    trainer = tinyir.compile(dense_network(SIZES, Tanh), train=training, backend="numpy").trainer()
    names = ["w0", "b0", "w1", "b1"]
    w0, b0, w1, b1 = values = [torch.tensor(trainer.params[name], requires_grad=True) for name in names]
    optimizer = (
        torch.optim.SGD(values, 0.05, training.momentum, 0, training.weight_decay, training.nesterov)
        if training.optimizer == "sgd"
        else torch.optim.Adam(values, 0.05, (training.beta1, training.beta2), training.epsilon, training.weight_decay)
    )
    for i, (x, label) in enumerate(examples(training, 3 * STEPS), 1):
        output = torch.tanh(torch.tensor(x) @ w0.T + b0) @ w1.T + b1
        loss = torch.nn.functional.cross_entropy(output, torch.tensor([label]))
        (loss / training.accumulate).backward()
        if i % training.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        np.testing.assert_allclose(trainer.step(x, label, 0.05).loss, float(loss.detach()), rtol=1e-4)
    for name, value in zip(names, values, strict=True):
        np.testing.assert_allclose(trainer.params[name], value.detach().numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("network", [lambda: dense_network((40, 16, 5)), lambda: digits_network((4, 6, 8))])
def test_no_optimiser_stores_the_gradient_of_a_weight(network: Callable[[], Module]) -> None:
    """The arena is that of plain SGD, but for what all parameters share: two corrections and a rate of Adam's."""

    def arena(**options: Any) -> int:
        return tinyir.compile(network(), train=Training(**options), measure=False).arena_bytes

    plain = arena()
    for name, options in OPTIMIZERS.items():
        assert arena(**options) <= plain + (16 if options.get("optimizer") == "adam" else 0), name


def test_between_updates_parameters_stay() -> None:
    training = Training(accumulate=3, optimizer="adam")
    trainer = tinyir.compile(dense_network(SIZES), train=training, backend="numpy").trainer()
    before = trainer.params
    changed = []
    for x, label in examples(training, 6):
        trainer.step(x, label, 0.1)
        after = trainer.params
        changed.append(any((after[name] != before[name]).any() for name in ("w0", "b0", "w1", "b1")))
        assert all((after[name] != before[name]).any() for name in ("w0", "w1")) == changed[-1]
        before = after
    assert changed == [False, False, True, False, False, True]


def test_what_is_remembered_is_state() -> None:
    training = Training(optimizer="adam", accumulate=2)
    params = tinyir.compile(dense_network((4, 3)), train=training, backend="numpy").trainer().params
    assert list(params) == [
        *("w0", "b0"),
        *("w0_mean", "w0_square", "w0_sum", "b0_mean", "b0_square", "b0_sum"),
        *("beta1_power", "beta2_power", "turn"),
    ]
    assert all((array == (name.endswith("power"))).all() for name, array in params.items() if name not in ("w0", "b0"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"momentum is 1.0, not in 0..1"),
        ({"beta1": -0.1}, "beta1 is -0.1"),
        ({"weight_decay": float("nan")}, "weight_decay is nan"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"nesterov": True}, "nesterov needs a momentum"),
        ({"optimizer": "adam", "momentum": 0.9}, "adam has no momentum"),
    ],
)
def test_numbers_that_do_not_do_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tinyir.compile(dense_network((4, 3)), train=Training(**options), backend="numpy")
