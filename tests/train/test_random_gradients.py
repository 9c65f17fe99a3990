"""Gradients of random float graphs: differences; PyTorch's, where it is installed; the same bits from C as from
NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinyir
from tests.train import numpy_graph
from tests.train.random_gradients import as_module, gradient_case
from tests.train.torch_graph import run
from tinyir.ir.interp import evaluate


@pytest.mark.parametrize("seed", range(60))
def test_gradients_are_those_of_differences(seed: int) -> None:
    """Along a random direction of all inputs, in double precision."""
    case = gradient_case(seed)
    rng = np.random.default_rng(seed)
    direction = [rng.normal(size=array.shape) for array in case.inputs]
    sides = []
    for step in (1e-6, -1e-6):
        outputs = numpy_graph.run(case.forward, [a + step * d for a, d in zip(case.inputs, direction, strict=True)])
        sides.append(sum(float((y * w).sum()) for y, w in zip(outputs, case.weights, strict=True)))
    found = evaluate(case.backward, case.inputs)
    parts = [g.astype(np.float64) * direction[at] for at, g in zip(case.wrt, found, strict=True)]
    size = max(1.0, sum(float(abs(part).sum()) for part in parts))
    assert abs((sides[0] - sides[1]) / 2e-6 - sum(float(part.sum()) for part in parts)) < 1e-5 * size


@pytest.mark.parametrize("seed", range(60))
def test_gradients_are_those_of_pytorch(seed: int) -> None:
    """In double precision there, so errors of rounding are ours."""
    case = gradient_case(seed)
    inputs = [torch.tensor(array.astype(np.float64), requires_grad=True) for array in case.inputs]
    outputs = run(case.forward, inputs)
    loss = sum((y * torch.tensor(w.astype(np.float64))).sum() for y, w in zip(outputs, case.weights, strict=True))
    loss.backward()
    for at, found in zip(case.wrt, evaluate(case.backward, case.inputs), strict=True):
        wanted = inputs[at].grad.numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * max(1.0, float(abs(wanted).max())))


@pytest.mark.parametrize(("seed", "where"), [*((seed, "host") for seed in range(100, 112)), (200, "m7"), (201, "m7")])
def test_c_gives_the_bits_of_numpy(seed: int, where: str) -> None:
    case = gradient_case(seed)
    wanted = evaluate(case.backward, case.inputs)
    found = tinyir.compile(as_module(case), measure=False).run(case.inputs, where)  # type: ignore[arg-type]
    assert [array.tobytes() for array in found] == [array.tobytes() for array in wanted]
