"""Steps of int8 models: updates by definition, the same bits on every backend, the forward graph that is deployed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tinyir.diagnostics import IRError
from tinyir.frontends.load import load
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.train_int import ROUNDINGS, SgdInt
from tinyir.ir.types import DType, QType, TensorType, q8
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

Array = npt.NDArray[Any]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def digits() -> tuple[Module, Array, Array]:
    data = np.load(DIGITS / "test_set.npz")
    return load(DIGITS / "digits.tflite"), data["images"].reshape(-1, 1, 8, 8, 1), data["labels"]


def every_trainer(module: Module, training: Training) -> list[Trainer]:
    """One for each backend."""
    c = tinyir.compile(module, train=training, measure=False)
    numpy = tinyir.compile(module, train=training, backend="numpy")
    return [numpy.trainer(), c.trainer("host"), c.trainer("m7")]


def trainers(training: Training) -> list[Trainer]:
    """Of the digits network."""
    return every_trainer(digits()[0], training)


# -- updates ----------------------------------------------------------------------------------------------------------


def updated(param: Array, step: Array, rounding: str, words: Array | None = None, limit: int = 127) -> Array:
    """train.sgd_int with a rate of 1."""
    b = FuncBuilder()
    arrays = [param, step.astype(np.float32), np.array(1, np.float32), *([] if words is None else [words])]
    kinds = [DType.I8 if param.dtype == np.int8 else DType.I32, DType.F32, DType.F32, DType.I32]
    args = [b.arg(TensorType(a.shape, kind)) for a, kind in zip(arrays, kinds, strict=False)]
    func = b.ret(b.add(SgdInt(*args, rounding=rounding, lo=-limit, hi=limit)))
    return evaluate(func, arrays)[0]


def test_nearest_drops_what_is_below_a_half() -> None:
    found = updated(np.zeros(6, np.int8), np.array([0.49, 0.5, -0.5, -1.4, 1.6, np.nan]), "nearest")
    np.testing.assert_array_equal(found, [0, -1, 1, 1, -2, 0])


def test_truncation_is_that_of_tinyengine() -> None:
    """w = (int8)((float)w - step), b -= (int32)step: any step toward 0 moves a weight, none below 1 moves a bias."""
    steps = np.array([1e-3, -1e-3, 1e-3, -1e-3, 1.5, np.nan])
    start = np.array([5, 5, -5, -5, 5, 5])
    np.testing.assert_array_equal(updated(start.astype(np.int8), steps, "truncate"), [4, 5, -5, -4, 3, 5])
    np.testing.assert_array_equal(updated(start.astype(np.int32), steps, "truncate"), [5, 5, -5, -5, 4, 5])


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_updates_saturate(rounding: str) -> None:
    steps = np.array([5.0, -5.0, 3e38, -3e38])
    words = np.zeros(4, np.int32) if rounding == "stochastic" else None
    start = np.array([-125, 125, 0, 0])
    wanted = np.array([-127, 127] * 2)
    np.testing.assert_array_equal(updated(start.astype(np.int8), steps, rounding, words), wanted)
    far = np.sign(wanted) * (2**30 - 1)
    np.testing.assert_array_equal(updated(far.astype(np.int32), steps, rounding, words, 2**30), np.sign(wanted) * 2**30)


@pytest.mark.parametrize("step", [0.0, 0.01, -0.3, 0.5, 1.75])
def test_stochastic_rounding_is_right_on_average(step: float) -> None:
    count = 1 << 14
    words = np.random.default_rng(0).integers(-(2**31), 2**31, count).astype(np.int32)
    found = updated(np.zeros(count, np.int32), np.full(count, step), "stochastic", words)
    assert set(found) <= {int(np.floor(-step)), int(np.ceil(-step))}
    assert abs(found.mean() + step) <= 4 * np.sqrt((step % 1) * (1 - step % 1) / count)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("dtype", [np.int8, np.int32])
def test_a_step_that_is_not_finite_changes_nothing(rounding: str, dtype: type[np.generic]) -> None:
    start = np.array([3, -7, 0, 127], dtype)
    words = np.array([-1, 0, 5, -9], np.int32) if rounding == "stochastic" else None
    found = updated(start, np.array([np.nan, np.inf, -np.inf, np.inf]), rounding, words)
    np.testing.assert_array_equal(found, start)


def test_random_words_go_with_stochastic_rounding_alone() -> None:
    b = FuncBuilder()
    w, g, lr = (b.arg(TensorType(s, t)) for s, t in (((1,), DType.I8), ((1,), DType.F32), ((), DType.F32)))
    with pytest.raises(IRError, match="needs random words for stochastic rounding, and only then"):
        SgdInt(w, g, lr, rounding="stochastic", lo=-127, hi=127).verify()


# -- the digits network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "training",
    [Training(), Training(rounding="nearest", qas=False), Training("mean-squared-error", rounding="truncate")],
    ids=["stochastic", "nearest", "truncate"],
)
def test_the_same_bits_on_every_backend(training: Training) -> None:
    _, images, labels = digits()
    every = trainers(training)
    lr = 0.05 if training.qas else 500.0
    start = every[0].params
    for x, label in itertools.islice(zip(images, labels, strict=True), 5):
        outcomes = [trainer.step(x, (int(label) + 1) % 10, lr) for trainer in every]
        assert {outcome.status for outcome in outcomes} == {0}
        assert len({np.float32(outcome.loss).tobytes() for outcome in outcomes}) == 1
    states = [{name: array.tobytes() for name, array in trainer.params.items()} for trainer in every]
    assert states[0] == states[1] == states[2]
    moved = [name for name, array in every[0].params.items() if (array != start[name]).any()]
    assert len(moved) >= len(start) // 2, moved
    outputs = [trainer.run(images[7]).tobytes() for trainer in every]
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.parametrize(
    "training", [Training(momentum=0.9, weight_decay=0.01), Training(optimizer="adam")], ids=["momentum", "adam"]
)
def test_optimisers_with_memory_work_on_integers(training: Training) -> None:
    """What they remember is f32; the same bits on NumPy and in C, and the loss on one image falls."""
    _, images, _ = digits()
    c = tinyir.compile(digits()[0], train=training, measure=False)
    every = [tinyir.compile(digits()[0], train=training, backend="numpy").trainer(), c.trainer("host")]
    losses = [[trainer.step(images[0], 4, 0.003).loss for trainer in every] for _ in range(6)]
    assert all(a == b for a, b in losses) and losses[-1][0] < losses[0][0] / 2
    for (name, one), two in zip(every[0].params.items(), every[1].params.values(), strict=True):
        assert one.tobytes() == two.tobytes(), name
    assert every[0].params["dense_13_w"].dtype == np.int8
    assert sum(array.dtype == np.float32 for array in every[0].params.values()) >= 20


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"optimizer": "adam"}], ids=str)
def test_gradients_of_integers_are_summed(options: dict[str, Any]) -> None:
    """Three examples make one step: the same bits everywhere, and with SGD those of the mean gradient by definition."""
    training = Training("mean-squared-error", "tensor", rounding="nearest", accumulate=3, **options)
    every = every_trainer(layer(0), training)
    start, lr = every[0].params, 0.5 if training.optimizer == "adam" else 0.005
    rng = np.random.default_rng(0)
    scales = np.array([0.25, 0.125], np.float32)[:, None]
    total = np.zeros((2, 3), np.float32)
    for i in range(6):
        x = rng.integers(-100, 100, (1, 3)).astype(np.int8)
        target = rng.normal(size=(1, 2), scale=20).astype(np.float32)
        y = every[0].run(x).astype(np.float32)
        before = every[0].params
        outcomes = [trainer.step(x, target, lr) for trainer in every]
        assert {outcome.status for outcome in outcomes} == {0}
        states = [{name: array.tobytes() for name, array in trainer.params.items()} for trainer in every]
        assert states[0] == states[1] == states[2]
        after = every[0].params
        assert (after["w"] != before["w"]).any() == (i % 3 == 2)
        if not options:
            inside = (np.abs(y + 0.5) < 127).T
            total += inside * (y - target).T * np.float32(0.5) * (x.astype(np.float32) - 4) / 3
            if i % 3 == 2:
                wanted = np.clip(np.rint(before["w"] - np.float32(lr) * total / scales), -127, 127)
                np.testing.assert_array_equal(after["w"], wanted)
                total[:] = 0
    assert (every[0].params["w"] != start["w"]).any() and (every[0].params["b"] != start["b"]).any()


def test_the_forward_graph_is_the_deployed_one() -> None:
    """Untrained, and after steps: as the model file's graph with these constants in it."""
    module, images, labels = digits()
    trainer = tinyir.compile(digits()[0], train=Training(), backend="numpy").trainer()
    for lr in (0.0, 0.05):
        for x, label in zip(images[:3], labels, strict=False):
            trainer.step(x, int(label), lr)
        params = trainer.params
        for op in module.main.ops:
            if isinstance(op, Const) and op.result.name in params:
                op.attrs["value"] = params[op.result.name]
        for x in images[:12]:
            np.testing.assert_array_equal(trainer.run(x), evaluate(module.main, [x])[0])


def test_the_seed_decides_the_trajectory() -> None:
    _, images, labels = digits()
    program = tinyir.compile(digits()[0], train=Training(), backend="numpy")
    results = []
    for seed in (0, 0, 1):
        trainer = program.trainer()
        trainer.set_params({**trainer.params, "rng": np.array([seed, 0], np.int32)})
        for x, label in zip(images[:4], labels, strict=False):
            trainer.step(x, (int(label) + 1) % 10, 0.02)
        assert trainer.params["rng"].tolist() == [seed, 4]
        results.append(b"".join(array.tobytes() for name, array in trainer.params.items() if name != "rng"))
    assert results[0] == results[1] != results[2]


# -- scales -----------------------------------------------------------------------------------------------------------


def layer(axis: int | None) -> Module:
    """One quantised dense layer of 2 rows."""
    b = FuncBuilder()
    x = b.arg(TensorType((1, 3), q8(0.5, 4)), "x")
    scales = (0.25, 0.125) if axis is not None else (0.25,)
    w = b.const(np.array([[1, 2, 3], [4, 5, 6]], np.int8), "w", QType(DType.I8, scales, (0,) * len(scales), axis))
    bias = b.const(np.array([7, 8], np.int32), "b")
    return Module([b.ret(b.add(Dense(x, w, bias, types=TensorType((1, 2), q8(1.0, 0)), name="y")))], {"name": "layer"})


@pytest.mark.parametrize("axis", [None, 0])
def test_qas_makes_steps_those_of_real_weights(axis: int | None) -> None:
    """One step of nearest rounding with QAS moves s q as SGD moves the real weight, to within half a scale."""
    x = np.array([[10, -20, 30]], np.int8)
    target = np.array([[5.0, 2.0]], np.float32)
    training = Training("mean-squared-error", "tensor", rounding="nearest")
    trainer = tinyir.compile(layer(axis), train=training, backend="numpy").trainer()
    before, y = trainer.params, trainer.run(x).astype(np.float64).T
    assert trainer.step(x, target, 0.05).status == 0
    after = trainer.params
    scales = np.array([0.25, 0.125] if axis is not None else [0.25, 0.25])[:, None]
    real = 0.5 * (x.astype(np.float64) - 4)
    gradient = (y - target.T) * real
    moved = scales * (after["w"].astype(np.float64) - before["w"])
    assert (np.abs(moved + 0.05 * gradient) <= scales / 2 + 1e-6).all() and (moved != 0).any()
    moved_bias = 0.5 * scales * (after["b"] - before["b"])[:, None]
    assert (np.abs(moved_bias + 0.05 * (y - target.T)) <= 0.25 * scales + 1e-6).all() and (moved_bias != 0).any()


def test_a_step_without_qas_takes_no_scales() -> None:
    def constants(qas: str) -> int:
        module = layer(0)
        options = f"{{target=tensor,loss=mean-squared-error,qas={qas}}}"
        PassManager(parse_pipeline(f"select-params,legalize-quant,canonicalize,build-backward{options}")).run(module)
        return sum(op.opname == "nn.mul" for op in module.funcs["train_step"].ops)

    assert constants("true") == constants("false") + 4
