"""What a step cannot do: it changes nothing, or nothing where a gradient is lost; the same on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.train.networks import dense_network, digits_network
from tests.train.test_backends_agree import EVERYWHERE, state, trainers
from tests.train.test_int8_training import layer
from tests.train.test_optimizers import OPTIMIZERS
from tinyir.checkpoint import CheckpointError
from tinyir.diagnostics import UsageError
from tinyir.ir.ops.nn_activation import Relu
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

Array = npt.NDArray[Any]
INT32_MIN = -(2**31)


def same_state(every: dict[str, Trainer]) -> dict[str, Array]:
    """The parameters, which are equal on all backends."""
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])
    return every["numpy"].params


def step(every: dict[str, Trainer], x: Array, target: int | Array, lr: float) -> int:
    """One step everywhere: its status, which is the same, as is the loss."""
    outcomes = [every[name].step(x, target, lr) for name in EVERYWHERE]
    assert len({np.float32(outcome.loss).tobytes() for outcome in outcomes if not np.isnan(outcome.loss)}) <= 1
    (status,) = {outcome.status for outcome in outcomes}
    return status


# -- gradients that are not finite ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_where_a_gradient_overflows_nothing_changes(options: dict[str, Any]) -> None:
    """Output minus target is 1e10 and the first input 1e30: the loss is finite, their product is not."""
    training = Training("mean-squared-error", "tensor", **options)
    every = trainers(dense_network((4, 3)), training)
    for trainer in every.values():
        w = trainer.params["w0"]
        w[:, 0] = 0
        trainer.set_params(trainer.params | {"w0": w})
    before = same_state(every)
    x, target = np.array([[1e30, 1, 0.5, 2]], np.float32), np.full((1, 3), 1e10, np.float32)
    for _ in range(2 * training.accumulate):
        assert step(every, x, target, 1e-3) == 0
    after = same_state(every)
    assert all(np.isfinite(array).all() for array in after.values())
    for name in before:
        if name.startswith("w0"):
            np.testing.assert_array_equal(after[name][:, 0], before[name][:, 0])
        if name in ("w0", "b0"):
            assert (after[name].reshape(3, -1)[:, 1:] != before[name].reshape(3, -1)[:, 1:]).all()
    assert (after["b0"] != before["b0"]).all()
    one = np.ones((1, 4), np.float32)
    assert step(every, one, one[:, :3], 1e-3) == 0  # and it goes on


def test_a_square_that_overflows_changes_nothing() -> None:
    """A gradient of about 1e25 is finite, its square is not: Adam would never move that weight again."""
    every = trainers(dense_network((2, 1)), Training("mean-squared-error", "tensor", optimizer="adam"))
    for trainer in every.values():
        trainer.set_params(trainer.params | {"w0": np.zeros((1, 2), np.float32)})
    before = same_state(every)
    assert step(every, np.array([[1e15, 1]], np.float32), np.array([[1e10]], np.float32), 0.1) == 0
    after = same_state(every)
    for name in ("w0", "w0_mean", "w0_square"):
        assert after[name][0, 0] == before[name][0, 0] and after[name][0, 1] != before[name][0, 1]


def test_a_lost_example_does_not_spoil_a_sum() -> None:
    """Of three gradients the first overflows: the update is made of the others."""
    training = Training("mean-squared-error", "tensor", accumulate=3)
    every = trainers(dense_network((2, 1)), training)
    for trainer in every.values():
        trainer.set_params(trainer.params | {"w0": np.zeros((1, 2), np.float32)})
    examples = [(1e30, 1e10), (3.0, 1.0), (-2.0, 2.0)]
    for x, target in examples:
        assert step(every, np.array([[x, 0]], np.float32), np.array([[target]], np.float32), 0.5) == 0
    wanted = -0.5 * (2 * 3.0 * -1.0 + 2 * -2.0 * -2.0) / 3
    np.testing.assert_allclose(same_state(every)["w0"], [[wanted, 0]], rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"optimizer": "adam"}, {"rounding": "nearest"}], ids=str)
def test_integers_stay_where_a_step_is_not_finite(options: dict[str, Any]) -> None:
    """Gradients of 1e18 and a rate of 1e38; for Adam gradients that have no square. One input is at its zero point."""
    training = Training("mean-squared-error", "tensor", **options)
    every = trainers(layer(0), training)
    before = same_state(every)
    target = np.full((1, 2), -1e18 if training.optimizer == "sgd" else -1e19, np.float32)
    assert step(every, np.array([[10, 4, -30]], np.int8), target, 1e38) == 0
    changed = {name for name, array in same_state(every).items() if (array != before[name]).any()}
    assert changed <= {"rng", "beta1_power", "beta2_power"}


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> dict[str, Trainer]:
    return trainers(dense_network((6, 4, 3), Relu), Training(momentum=0.5))


@pytest.fixture(scope="module")
def convolutional() -> dict[str, Trainer]:
    return trainers(digits_network((4, 6, 8)), Training())


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1, INT32_MIN, 2**32, -(2**40)])
def test_labels_out_of_range(small: dict[str, Trainer], label: int) -> None:
    before = state(small["numpy"])
    assert step(small, np.ones((1, 6), np.float32), label, 0.1) == 3
    assert all(state(trainer) == before for trainer in small.values())


@pytest.mark.parametrize("bad", [np.ones((1, 5), np.float32), np.ones((1, 6)), np.ones(6, np.float32), np.float32(1)])
def test_inputs_of_another_shape_or_type(small: dict[str, Trainer], bad: Any) -> None:
    for trainer in small.values():
        with pytest.raises(UsageError, match=r"`x` is float32\[1, 6\], not float"):
            trainer.step(bad, 0, 0.1)
        with pytest.raises(UsageError, match=r"`x` is float32\[1, 6\], not float"):
            trainer.run(bad)


@pytest.mark.parametrize("bad", [1.0, "1", [0, 1], np.nan])
def test_labels_that_are_no_whole_numbers(small: dict[str, Trainer], bad: Any) -> None:
    for trainer in small.values():
        with pytest.raises(UsageError, match="a label is one whole number, not"):
            trainer.step(np.ones((1, 6), np.float32), bad, 0.1)


@pytest.mark.parametrize("rate", [np.nan, np.inf, -np.inf, 1e39])
def test_rates_that_are_no_numbers(small: dict[str, Trainer], rate: float) -> None:
    before = state(small["numpy"])
    assert step(small, np.ones((1, 6), np.float32), 0, rate) == 4
    assert all(state(trainer) == before for trainer in small.values())


@pytest.mark.parametrize("rate", [-0.0, 1e-42, -0.1, 3e38])
def test_rates_that_are_numbers(small: dict[str, Trainer], rate: float) -> None:
    """A negative one climbs; what the largest one makes too large is left out."""
    before = small["numpy"].params
    assert step(small, np.ones((1, 6), np.float32), 0, rate) == 0
    assert all(np.isfinite(array).all() for array in same_state(small).values())
    for trainer in small.values():
        trainer.set_params(before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("network", ["small", "convolutional"])
def test_inputs_that_are_no_numbers(network: str, bad: float, request: pytest.FixtureRequest) -> None:
    every: dict[str, Trainer] = request.getfixturevalue(network)
    x = np.linspace(0, 1, 6 if network == "small" else 64, dtype=np.float32)
    x[3] = bad
    before = every["numpy"].params
    status = step(every, x.reshape((1, 6) if network == "small" else (1, 8, 8, 1)), 1, 0.1)
    after = same_state(every)
    assert all(np.isfinite(array).all() for array in after.values())
    assert status == 0 or (status == 5 and all((array == before[name]).all() for name, array in after.items()))
    for trainer in every.values():
        trainer.set_params(before)


# -- a rate of 0 ------------------------------------------------------------------------------------------------------


def test_at_a_rate_of_0_weights_stay_and_memory_goes_on() -> None:
    """As in PyTorch: momenta, moments and powers take the gradient in, weights do not move; all are what they would be
    after steps at any rate from the same weights."""
    x = np.linspace(-1, 1, 4, dtype=np.float32)[None]
    for name in ("nesterov", "adam", "sums, adam"):
        options = OPTIMIZERS[name]
        every = trainers(dense_network((4, 3)), Training(**options))
        moving = tinyir.compile(dense_network((4, 3)), train=Training(**options), backend="numpy").trainer()
        before = same_state(every)
        assert step(every, x, 1, 0.0) == 0
        moving.step(x, 1, 0.1)
        for name, array in same_state(every).items():
            wanted = before if name in ("w0", "b0") else moving.params
            np.testing.assert_array_equal(array, wanted[name], err_msg=f"{name} with {options}")


def test_memory_at_a_rate_of_0_is_that_of_pytorch() -> None:
    torch: Any = pytest.importorskip("torch")
    x = np.linspace(-1, 1, 4, dtype=np.float32)[None]
    for options in ({"momentum": 0.9}, {"optimizer": "adam"}):
        trainer = tinyir.compile(dense_network((4, 3)), train=Training(**options), backend="numpy").trainer()
        w, b = (torch.tensor(trainer.params[name], requires_grad=True) for name in ("w0", "b0"))
        optimizer = torch.optim.Adam([w, b], 0.0) if "optimizer" in options else torch.optim.SGD([w, b], 0.0, 0.9)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(torch.tensor(x) @ w.T + b, torch.tensor([1])).backward()
            optimizer.step()
            assert trainer.step(x, 1, 0.0).status == 0
        kept = {"w0_momentum": "momentum_buffer", "w0_mean": "exp_avg", "w0_square": "exp_avg_sq"}
        for name, theirs in kept.items():
            if name in trainer.params:
                wanted = optimizer.state[w][theirs].numpy()
                np.testing.assert_allclose(trainer.params[name], wanted, rtol=1e-5, atol=1e-8)


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_damage_anywhere_in_a_checkpoint(small: dict[str, Trainer]) -> None:
    """A byte of each field: the same status everywhere, and nothing changes."""
    data = small["numpy"].save()
    fields = {"magic": (0, 4), "version": (4, 6), "zero": (6, 8), "identity": (8, 40), "size": (40, 44)}
    fields |= {"parameters": (44, len(data) - 4), "sum": (len(data) - 4, len(data))}
    before = state(small["numpy"])
    for name, (first, end) in fields.items():
        for at in {first, (first + end) // 2, end - 1}:
            bad = data[:at] + bytes([data[at] ^ 0x81]) + data[at + 1 :]
            statuses = set()
            for trainer in small.values():
                with pytest.raises(CheckpointError) as caught:
                    trainer.load(bad)
                statuses.add(caught.value.status)
                assert state(trainer) == before, (name, at)
            assert len(statuses) == 1, (name, at, statuses)
