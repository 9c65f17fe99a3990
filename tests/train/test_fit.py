"""A run of training: the order, the schedule, what is measured when, and what ends it early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.train.networks import dense_network
from tinyir.diagnostics import TinyIRWarning, UsageError
from tinyir.fit import Plan, fit
from tinyir.pipeline import Training
from tinyir.runtime.program import TensorInfo
from tinyir.runtime.train_program import LOSS_STATUS, Trainer
from tinyir.training_data import Data, Examples, read_data

SIZES = (6, 5, 3)


def blobs(count: int = 60) -> Data:
    """Three classes apart from each other."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    x = (3 * np.eye(3, 6)[labels] + rng.normal(scale=0.3, size=(count, 6))).astype(np.float32)
    examples = Examples(x[:, None], labels)
    return Data(examples, examples, False)


def trainer() -> Trainer:
    return tinyir.compile(dense_network(SIZES), train=Training(), backend="numpy").trainer()


def test_a_run_learns_and_measures_when_it_should() -> None:
    shown: list[int] = []
    history = fit(trainer(), blobs(), Plan(150, 0.3, eval_every=60), measured=lambda m: shown.append(m.step))
    assert shown == [m.step for m in history.measurements] == [0, 60, 120, 150]
    assert history.measurements[0].loss is None
    assert history.measurements[1].loss == pytest.approx(np.mean(history.losses[:60]))
    assert history.measurements[-1].scores.accuracy == 1.0
    assert history.stopped is None and len(history.losses) == 150


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [fit(trainer(), blobs(), Plan(20, 0.1, seed=seed)).losses for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_every_example_is_seen_once_an_epoch() -> None:
    data = blobs(30)
    a, b = Plan(30, 0.0, seed=3), Plan(60, 0.0, seed=3)
    losses = fit(trainer(), data, b).losses
    assert sorted(losses[:30]) == pytest.approx(sorted(losses[30:]))
    assert fit(trainer(), data, a).losses == losses[:30]


def test_a_step_that_is_refused_ends_the_run_with_nothing_lost() -> None:
    data = blobs()
    data.train.x[:] = np.nan
    one = trainer()
    before = one.save()
    history = fit(one, data, Plan(10, 0.1))
    assert history.stopped == LOSS_STATUS and history.losses == []
    assert [m.step for m in history.measurements] == [0]
    assert one.save() == before


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, 0.8535533905932737, 0.5, 0.14644660940672627]),
        ("step", [1, 1, 0.1, 0.01]),
    ],
)
def test_schedules(schedule: Any, rates: list[float]) -> None:
    plan = Plan(4, 1.0, schedule)
    assert [plan.rate(step) for step in range(4)] == pytest.approx(rates)


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 1e39])
def test_a_rate_that_is_not_finite_is_refused(lr: float) -> None:
    with pytest.raises(UsageError, match="is not finite"):
        Plan(10, lr)


X = TensorInfo("x", "float32", (1, 4), 16)
Q = TensorInfo("x", "int8", (1, 4), 4, 0.5, -1)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "d.npz", **arrays)
    return folder / "d.npz"


def test_data_is_brought_into_the_shape_and_type_of_the_program(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.array([[0.0, 0.5, -70.0, 1.24]]), y=[2], x_test=np.zeros((2, 1, 4)), y_test=[0, 1])
    real, stored = read_data(path, X, 3), read_data(path, Q, 3)
    assert real.train.x.shape == (1, 1, 4) and real.train.x.dtype == np.float32
    assert stored.train.x.tolist() == [[[-1, 0, -128, 1]]]
    assert len(real.test) == 2 and real.held_out and real.train.target(0) == 2


def test_targets_may_be_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.zeros((2, 4), np.float32), y=np.array([[0.1, 0.9], [0.8, 0.2]], np.float32))
    data = read_data(path, X, None, TensorInfo("y", "float32", (1, 2), 8))
    assert data.train.y.shape == (2, 1, 2) and data.train.labels.tolist() == [1, 0]
    assert data.test is data.train and not data.held_out


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 4), np.float32)}, "must hold `x` and `y`"),
        ({"x": np.zeros((2, 5), np.float32), "y": [0, 1]}, r"`x` is float32\[2, 5\], not float32\[n, 4\]"),
        ({"x": np.zeros((2, 4), np.int8), "y": [0, 1]}, r"`x` is int8\[2, 4\]"),
        ({"x": np.zeros((2, 4), np.float32), "y": [0]}, "2 examples in `x`, 1 in `y`"),
        ({"x": np.zeros((2, 4), np.float32), "y": [0, 3]}, "label 3 of example 1 in `y` is none of the 3 classes"),
        ({"x": np.zeros((2, 4), np.float32), "y": [-1, 0]}, "label -1 of example 0"),
        ({"x": np.zeros((2, 4), np.float32), "y": [0.0, 1.0]}, "not a list of integers"),
        ({"x": np.zeros((0, 4), np.float32), "y": np.zeros(0, int)}, "`x` holds no examples"),
        ({"x": np.zeros((2, 4), np.float32), "y": 3}, "2 examples in `x`, one number in `y`"),
        (
            {"x": np.full((2, 4), [[0], [np.nan]], np.float32), "y": [0, 1]},
            "example 1 in `x` holds a number that is not",
        ),
        ({"x": np.full((2, 4), 1e39), "y": [0, 1]}, "example 0 in `x` holds a number that is not finite"),
        ({"x": np.zeros((2, 4), np.float32), "y": [[0], [1]]}, r"`y` is int64\[2, 1\], not a list of integers"),
        ({"x": np.zeros((2, 4), np.float32), "y": ["a", "b"]}, "not a list of integers"),
        ({"x": np.zeros((2, 4)), "y": [0, 1], "x_test": np.zeros((2, 4))}, "it holds `x`, `y`, `x_test`"),
        ({"x": np.zeros((2, 4)), "y": [0, 1], "y_test": [0, 1]}, "it holds `x`, `y`, `y_test`"),
        ({"x": np.zeros((2, 4)), "y": [0, 1], "x_test": np.zeros((0, 4)), "y_test": []}, "`x_test` holds no examples"),
        (
            {"x": np.zeros((2, 4)), "y": [0, 1], "x_test": np.zeros((1, 4)), "y_test": [7]},
            "example 0 in `y_test` is none",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_data(saved(tmp_path, **arrays), X, 3)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_text("no")
    with pytest.raises(UsageError, match=r"is no \.npz file"):
        read_data(tmp_path / "d.npz", X, 3)
    with pytest.raises(UsageError, match=r"cannot read .*: No such file or directory$"):
        read_data(tmp_path / "e.npz", X, 3)
    path = saved(tmp_path, x=np.zeros((2, 4), np.float32), y=[0, 1])
    path.write_bytes(path.read_bytes()[:60] + b"????" + path.read_bytes()[64:])
    with pytest.raises(UsageError, match="cannot read"):
        read_data(path, X, 3)


def test_one_class_alone_is_said(tmp_path: Path) -> None:
    with pytest.warns(TinyIRWarning, match="all examples in `y` are of class 2"):
        read_data(saved(tmp_path, x=np.zeros((2, 4), np.float32), y=[2, 2]), X, 3)


def test_whether_it_is_a_class_may_be_true_or_false(tmp_path: Path) -> None:
    assert read_data(saved(tmp_path, x=np.zeros((2, 4), np.float32), y=[True, False]), X, 2).train.y.tolist() == [1, 0]
