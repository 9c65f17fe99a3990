"""Gradients of random float graphs: PyTorch's, where it is installed; and the same bits from C as from NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tinyir
from tests.train.random_gradients import as_module, gradient_case
from tinyir.ir.interp import evaluate


@pytest.mark.parametrize("seed", range(60))
def test_gradients_are_those_of_pytorch(seed: int) -> None:
    """In double precision there, so errors of rounding are ours."""
    torch = pytest.importorskip("torch")
    from tests.train.torch_graph import run

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
