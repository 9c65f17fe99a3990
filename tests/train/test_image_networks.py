"""Float networks on images train: the same bits everywhere, PyTorch's weights, and a loss that falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import tinyir
from tests.models import RealModel, needs_models
from tests.train.networks import detector_network, digits_network
from tests.train.test_backends_agree import state, trainers
from tests.train.torch_graph import run
from tinyir.ir.core import Module
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import Training

Array = npt.NDArray[Any]
NETWORKS: dict[str, Callable[[], Module]] = {
    "digits": lambda: digits_network((4, 6, 8)),
    "detector": detector_network,
}


def examples(module: Module, count: int) -> list[tuple[Array, int]]:
    rng = np.random.default_rng(1)
    shape, classes = module.main.args[0].type.shape, module.main.outputs[0].type.shape[1]
    return [(rng.normal(size=shape).astype(np.float32), int(rng.integers(classes))) for _ in range(count)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits_everywhere(name: str) -> None:
    every = trainers(NETWORKS[name](), Training())
    for x, label in examples(NETWORKS[name](), 4):
        losses = {np.float32(trainer.step(x, label, 0.05).loss).tobytes() for trainer in every.values()}
        assert len(losses) == 1
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_are_those_of_pytorch(name: str) -> None:
    trainer = tinyir.compile(NETWORKS[name](), train=Training(), backend="numpy").trainer()
    module = NETWORKS[name]()
    PassManager(parse_pipeline("select-params")).run(module)
    logits = module.main
    if logits.ops[-2].opname == "nn.softmax":
        logits.ops[-2].result.replace_uses(logits.ops[-2].operands[0])
    values = [torch.tensor(array.astype(np.float64), requires_grad=True) for array in trainer.params.values()]
    for x, label in examples(NETWORKS[name](), 5):
        (output,) = run(logits, [torch.tensor(x.astype(np.float64)), *values])
        loss = torch.nn.functional.cross_entropy(output, torch.tensor([label]))
        loss.backward()
        with torch.no_grad():
            for value in values:
                value -= 0.05 * value.grad
                value.grad = None
        np.testing.assert_allclose(trainer.step(x, label, 0.05).loss, float(loss.detach()), rtol=1e-4)
    for found, value in zip(trainer.params.values(), values, strict=True):
        np.testing.assert_allclose(found, value.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_digits_network_learns() -> None:
    """At its real size, in C on this machine: four random images get their labels."""
    trainer = tinyir.compile(digits_network(), train=Training(), measure=False).trainer("host")
    data = examples(digits_network(), 4)
    first = sum(trainer.step(x, label, 0.01).loss for x, label in data)
    for _ in range(30):
        last = sum(trainer.step(x, label, 0.01).loss for x, label in data)
    assert last < first / 4
    assert [int(trainer.run(x).argmax()) for x, _ in data] == [label for _, label in data]


@needs_models
@pytest.mark.parametrize("name", ["pretrainedResnet", "vww_96_float", "ad01_fp32"])
def test_real_float_models_train(name: str) -> None:
    """A step of each in NumPy and in C: the same loss, the same weights."""
    model = RealModel(name)
    classes = model.module().main.outputs[0].type.shape[-1]
    training = Training() if classes < 100 else Training("mean-squared-error", "tensor")
    x = model.inputs(0)[0]
    target: Any = 1 if classes < 100 else x
    numpy = tinyir.compile(model.module(), train=training, backend="numpy").trainer()
    host = tinyir.compile(model.module(), train=training, measure=False).trainer("host")
    outcomes = [trainer.step(x, target, 0.01) for trainer in (numpy, host)]
    assert outcomes[0].status == outcomes[1].status == 0
    assert np.float32(outcomes[0].loss).tobytes() == np.float32(outcomes[1].loss).tobytes()
    for one, two in zip(numpy.params.values(), host.params.values(), strict=True):
        assert one.tobytes() == two.tobytes()
