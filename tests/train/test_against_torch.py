"""Steps of SGD against PyTorch, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tinyir
from tests.train.networks import dense_network
from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Value
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_elementwise import Clamp
from tinyir.ir.types import DType, QType, TensorType, q8
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


def probability(scale: float, last: Callable[[FuncBuilder, Value], Value]) -> Module:
    """One int8 dense layer of 4 to 3, and what `last` makes of it: a probability stored in 1/256."""
    rng = np.random.default_rng(3)
    b = FuncBuilder()
    x = b.arg(TensorType((1, 4), q8(0.5, 4)), "x")
    w = b.const(rng.integers(-90, 90, (3, 4)).astype(np.int8), "w", QType(DType.I8, (0.05,), (0,)))
    bias = b.const(np.array([30, -40, 5], np.int32), "b")
    z = b.add(Dense(x, w, bias, types=TensorType((1, 3), q8(scale, -5)), name="z"))
    return Module([b.ret(last(b, z))], {"name": "layer"})


def int8_logistic(b: FuncBuilder, z: Value) -> Value:
    return b.add(Logistic(z, types=TensorType((1, 3), q8(1 / 256, -128))))


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_binary_cross_entropy_of_an_int8_logistic(scale: float) -> None:
    """The loss works on what the logistic takes, also where the stored probability is 0 or 255/256: loss and new
    weights are those of PyTorch's loss on logits, rounding taken for the identity."""
    training = Training("binary-cross-entropy", "tensor", rounding="nearest")
    trainer = tinyir.compile(probability(scale, int8_logistic), train=training, backend="numpy").trainer()
    plain = tinyir.compile(probability(scale, lambda b, z: z), backend="numpy", train=training).trainer()
    rng = np.random.default_rng(4)
    saturated = 0
    for _ in range(12):
        x = rng.integers(-128, 128, (1, 4)).astype(np.int8)
        target = rng.uniform(size=(1, 3)).astype(np.float32)
        before = trainer.params
        plain.set_params(before)
        stored = plain.run(x)
        deployed = torch.tensor(scale * (stored.astype(np.float32) + 5))
        w = torch.tensor(0.05 * before["w"].astype(np.float32), requires_grad=True)
        real = torch.tensor(0.5 * (x.astype(np.float32) - 4)) @ w.T
        inside = torch.tensor((stored > -128) & (stored < 127))
        z = torch.where(inside, real + (deployed - real).detach(), deployed)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(target))
        loss.backward()
        saturated += int((trainer.run(x) == -128).sum() + (trainer.run(x) == 127).sum())
        found = trainer.step(x, target, 0.02)
        np.testing.assert_allclose(found.loss, float(loss.detach()), rtol=1e-5)
        wanted = np.clip(before["w"] - 0.02 * w.grad.numpy() / 0.05, -127, 127)
        assert np.abs(trainer.params["w"] - wanted).max() <= 0.5 + 1e-3
    assert saturated > 0 or scale == 0.05


def test_probabilities_of_another_origin_are_refused() -> None:
    def clamped(b: FuncBuilder, z: Value) -> Value:
        return b.add(Clamp(int8_logistic(b, z), lo=0.1, hi=0.9))

    with pytest.raises(IRError, match="the output lies between 0 and 1, and what it is the logistic of is not known"):
        tinyir.compile(probability(0.05, clamped), train=Training("binary-cross-entropy", "tensor"), backend="numpy")
