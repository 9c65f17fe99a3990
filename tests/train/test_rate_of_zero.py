"""A step with the rate 0 changes no weight, not even one that starts beyond what updates are limited to."""

from __future__ import annotations

import numpy as np
import pytest

import tinyir
from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.ops.expand import MAX_TAPS, bias_room
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_quantize import Dequantize
from tinyir.ir.ops.train_int import ROUNDINGS
from tinyir.ir.training import Rounding
from tinyir.ir.types import DType, QType, TensorType, q8
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

ROOM = bias_room(4)
DEAD = 3.9e-9
X = np.array([[-128, 127, -128, 5]], np.int8)


def network(bias: int) -> Module:
    """An int8 layer of three channels, two of them dead, and a real classifier. One weight is -128."""
    w = np.array([[-128, 127, -127, 1], [127, -128, 0, 0], [30, -40, 50, -60]], np.int8)
    biases = np.array([bias, -bias, 7], np.int32)
    b = FuncBuilder()
    x = b.arg(TensorType((1, 4), q8(0.05, 127)), "x")
    weights = b.const(w, "w", QType(DType.I8, (DEAD, DEAD, 0.01), (0, 0, 0), 0))
    features = b.add(Dense(x, weights, b.const(biases, "b"), types=TensorType((1, 3), q8(0.03, -3))))
    head = b.const(np.array([[1.0, -0.5, 0.25], [-1.0, 0.5, 0.125]], np.float32), "head")
    return Module([b.ret(b.add(Dense(b.add(Dequantize(features)), head, b.const(np.zeros(2, np.float32), "bias"))))])


def trainers(bias: int, rounding: Rounding, qas: bool = True) -> list[Trainer]:
    """One for each backend."""
    training = Training(rounding=rounding, qas=qas)
    c = tinyir.compile(network(bias), train=training, measure=False)
    return [
        tinyir.compile(network(bias), train=training, backend="numpy").trainer(),
        c.trainer("host"),
        c.trainer("m7"),
    ]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nothing_changes(rounding: Rounding) -> None:
    for trainer in trainers(ROOM, rounding):
        start, before = trainer.params, trainer.run(X)
        assert trainer.step(X, 1, 0.0).status == 0
        for name, value in trainer.params.items():
            assert name == "rng" or value.tobytes() == start[name].tobytes(), name
        assert trainer.run(X).tobytes() == before.tobytes()


def test_updates_stay_within_what_leaves_the_accumulator_room() -> None:
    """With and without scaling; the bias of the least scale gets the largest steps. The same bits everywhere."""
    for qas, rate in ((True, 0.5), (False, 1e9)):
        every = trainers(ROOM, "nearest", qas)
        for label in (0, 1, 1, 0, 0):
            assert {trainer.step(X, label, rate).status for trainer in every} == {0}
        states = [{name: value.tobytes() for name, value in trainer.params.items()} for trainer in every]
        assert states[0] == states[1] == states[2]
        params = every[0].params
        assert np.abs(params["b"].astype(np.int64)).max() <= ROOM and params["w"].min() >= -128
        assert (params["b"] != [ROOM, -ROOM, 7]).any()


def test_the_room_holds_the_largest_sum() -> None:
    """Inputs, zero points and weights of int8 at their limits, in any order of the sum."""
    for taps in (1, 4, 1000, MAX_TAPS):
        assert bias_room(taps) + taps * 128 * (128 + 128) <= 2**31 - 1
    assert bias_room(MAX_TAPS) >= 2**30


def test_a_bias_without_room_is_refused() -> None:
    with pytest.raises(IRError, match="a bias of 2147352576 leaves its int32 accumulator no room"):
        tinyir.compile(network(ROOM + 1), train=Training())
