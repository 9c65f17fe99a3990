"""Steps of SGD against PyTorch, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tinyir
from tests.train.networks import dense_network
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.pipeline import Training

SIZES = (24, 8, 5)


def torch_loss(name: str, output: Any, label: int) -> Any:
    target = torch.nn.functional.one_hot(torch.tensor([label]), SIZES[-1]).float()
    if name == "softmax-cross-entropy":
        return torch.nn.functional.cross_entropy(output, torch.tensor([label]))
    if name == "mean-squared-error":
        return torch.nn.functional.mse_loss(output, target)
    return torch.nn.functional.binary_cross_entropy_with_logits(output, target)


@pytest.mark.parametrize("loss", ["softmax-cross-entropy", "mean-squared-error", "binary-cross-entropy"])
def test_ten_steps_of_sgd(loss: Any) -> None:
    trainer = tinyir.compile(dense_network(SIZES, Logistic), train=Training(loss), backend="numpy").trainer()
    values = {name: torch.tensor(array, requires_grad=True) for name, array in trainer.params.items()}
    rng = np.random.default_rng(2)
    for _ in range(10):
        x, label = rng.normal(size=(1, SIZES[0])).astype(np.float32), int(rng.integers(SIZES[-1]))
        hidden = torch.sigmoid(torch.tensor(x) @ values["w0"].T + values["b0"])
        wanted = torch_loss(loss, hidden @ values["w1"].T + values["b1"], label)
        wanted.backward()
        with torch.no_grad():
            for value in values.values():
                value -= 0.2 * value.grad
                value.grad = None
        found = trainer.step(x, label, 0.2)
        np.testing.assert_allclose(found.loss, float(wanted.detach()), rtol=1e-5)
    for name, array in trainer.params.items():
        np.testing.assert_allclose(array, values[name].detach().numpy(), rtol=1e-5, atol=1e-6)
