"""Training by a plan: the trained part as in full training, the frozen part untouched and without code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tinyir
from tests.train.networks import dense_network
from tests.train.test_backends_agree import examples, state, trainers
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Logistic, Relu
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer
from tinyir.train_plan import PlanError, Share, TrainPlan

SIZES = (12, 8, 6, 5)
PLANS = {
    "classifier": TrainPlan(),
    "all biases": TrainPlan(None),
    "two biases": TrainPlan(2, False),
    "a whole layer": TrainPlan(0, False, (Share("fc1"),)),
    "shares": TrainPlan(2, True, (Share("fc1", 0.5), Share("fc0", None, 3))),
    "by magnitude": TrainPlan(1, True, (Share("fc1", 0.25, None, "magnitude"),)),
}
ToFile = Callable[[TrainPlan], Path]


@pytest.fixture
def to_file(tmp_path: Path) -> ToFile:
    """Writes a plan to a file."""

    def write(plan: TrainPlan) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(plan.text())
        return path

    return write


def numpy_trainer(module: Module, plan: Path | None = None) -> Trainer:
    return tinyir.compile(module, train=Training(plan=plan), backend="numpy").trainer()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_same_bits_after_ten_steps(plan: TrainPlan, to_file: ToFile) -> None:
    training = Training(plan=to_file(plan))
    every = trainers(dense_network(SIZES, Relu), training)
    for x, target in examples(training, 10, SIZES):
        outcomes = {np.float32(trainer.step(x, target, 0.1).loss).tobytes() for trainer in every.values()}
        assert len(outcomes) == 1
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])


@pytest.mark.parametrize("name", ["classifier", "all biases", "two biases", "a whole layer"])
def test_whole_parameters_train_as_in_full_training(name: str, to_file: ToFile) -> None:
    """Bit for bit, the full training being told its frozen parameters anew after each step."""
    module = dense_network(SIZES, Logistic)
    sparse, full = numpy_trainer(module, to_file(PLANS[name])), numpy_trainer(module)
    frozen = {key: value for key, value in full.params.items() if key not in sparse.params}
    assert frozen
    for x, target in examples(Training(), 10, SIZES):
        assert sparse.step(x, target, 0.1) == full.step(x, target, 0.1)
        full.set_params({**full.params, **frozen})
        assert state(full) == state(full) | state(sparse)


def test_a_share_trains_as_those_columns_of_the_whole(to_file: ToFile) -> None:
    """Up to the order of the sums of the forward pass."""
    module = dense_network(SIZES, Logistic)
    sparse, full = numpy_trainer(module, to_file(TrainPlan(0, False, (Share(1, None, 3),)))), numpy_trainer(module)
    start = full.params
    assert {name: array.shape for name, array in sparse.params.items()} == {"w1": (6, 3)}
    for x, target in examples(Training(), 10, SIZES):
        sparse.step(x, target, 0.5)
        full.step(x, target, 0.5)
        full.set_params({**start, "w1": np.hstack([full.params["w1"][:, :3], start["w1"][:, 3:]])})
        np.testing.assert_allclose(sparse.params["w1"], full.params["w1"][:, :3], rtol=1e-5, atol=1e-6)
    assert not np.array_equal(sparse.params["w1"], start["w1"][:, :3])


def test_channels_are_renumbered_by_magnitude(to_file: ToFile) -> None:
    """The trained columns are the largest, in their order; the model computes what it did."""
    module = dense_network(SIZES, Relu)
    sparse, full = numpy_trainer(module, to_file(PLANS["by magnitude"])), numpy_trainer(module)
    sizes = np.abs(full.params["w1"]).sum(0)
    largest = sorted(sorted(range(8), key=lambda i: -sizes[i])[:2])
    np.testing.assert_array_equal(sparse.params["w1"], full.params["w1"][:, largest])
    for x, _ in examples(Training(), 3, SIZES):
        np.testing.assert_allclose(sparse.run(x), full.run(x), rtol=1e-5, atol=1e-6)


def test_channels_of_the_input_are_not_renumbered(to_file: ToFile) -> None:
    plan = TrainPlan(0, True, (Share(0, 0.5, None, "magnitude"),))
    with pytest.raises(PlanError, match="of `fc0` cannot be renumbered by magnitude: they are those of the input `x`"):
        numpy_trainer(dense_network(SIZES), to_file(plan))


@pytest.mark.parametrize(
    ("plan", "gradients"),
    [
        (TrainPlan(), {"grad.dense_weight": 1}),
        (TrainPlan(1, False), {}),
        (TrainPlan(2, False), {"grad.dense_input": 1}),
        (TrainPlan(0, False, (Share("fc1"),)), {"grad.dense_input": 1, "grad.dense_weight": 1}),
        (TrainPlan(None, True, (Share("fc1"),)), {"grad.dense_input": 2, "grad.dense_weight": 2}),
    ],
)
def test_frozen_layers_have_no_gradient_code(plan: TrainPlan, gradients: dict[str, int], to_file: ToFile) -> None:
    module = tinyir.compile(dense_network(SIZES, Relu), train=Training(plan=to_file(plan)), backend="numpy").module
    found = [op.opname for op in module.funcs["train_step"].ops]
    contractions = {name: found.count(name) for name in ("grad.dense_input", "grad.dense_weight") if name in found}
    assert contractions == gradients
