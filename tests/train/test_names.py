"""Parameters may be called anything, be it what C, Python or the program call other things."""

from __future__ import annotations

import numpy as np
import pytest

import tinyir
from tests.train.test_backends_agree import state
from tests.train.test_int8_training import digits, every_trainer
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.types import DType, TensorType
from tinyir.pipeline import Training


def network(x: str, *names: str) -> Module:
    """A chain of dense layers of 3 by 3, the parameters called `names` in turn, the input `x`."""
    rng = np.random.default_rng(0)
    b = FuncBuilder()
    value = b.arg(TensorType((1, 3), DType.F32), x)
    for w, bias in zip(names[::2], names[1::2], strict=True):
        weights = b.const(rng.normal(size=(3, 3), scale=0.5).astype(np.float32), w)
        value = b.add(Dense(value, weights, b.const(np.zeros(3, np.float32), bias), name=f"{w}_out"))
    return Module([b.ret(value)], {"name": "net"})


NAMES = {
    "the state of random numbers": ("x", "rng", "b"),
    "arguments of a step": ("label", "lr", "target", "loss", "label"),
    "what C calls them": ("input0", "p", "arena", "base", "params"),
    "keywords of C": ("int", "for", "float", "restrict", "static"),
    "macros, C++": ("x", "NULL", "INT32_MAX", "new", "TINYIR_KERNEL"),
    "keywords and names of Python": ("lambda", "None", "class", "K", "W"),
    "functions of the program": ("run", "train_step", "params_init", "run", "train_step"),
    "functions of NumPy's program": ("np", "check", "CLASSES", "RNG", "INPUTS"),
    "what an optimiser remembers": ("w", "w", "w_mean", "w_square", "w_sum"),
    "what an optimiser shares": ("turn", "turn", "beta1_power", "beta2_power", "rng"),
    "no identifiers": ("a b", "adam step", "1/2", "", "a/b"),
    "letters": ("ä", "ä", "ö", "a", "A"),
    "one name": ("w", "w", "w", "w", "w"),
    "numbers behind names": ("w", "w_1", "w", "w", "w_1"),
    "new values": ("w", "w", "w.new", "w_new", "w.new"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_any_names_train(names: tuple[str, ...]) -> None:
    training = Training(optimizer="adam", accumulate=2)
    every = every_trainer(network(*names), training)
    start = every[0].params
    assert len(start) == len(names[1:]) * 4 + 3
    for i in range(4):
        x = np.random.default_rng(i).normal(size=(1, 3)).astype(np.float32)
        assert {trainer.step(x, i % 3, 0.1).status for trainer in every} == {0}
    assert state(every[0]) == state(every[1]) == state(every[2])
    assert all((array != start[name]).any() for name, array in every[0].params.items() if array.size > 1)


def test_a_parameter_called_rng_is_no_seed() -> None:
    """A float network draws nothing: its seed changes nothing, and the C has no function for it."""
    every = every_trainer(network("x", "rng", "b"), Training())
    for trainer in every:
        before = state(trainer)
        trainer.seed(5)
        assert state(trainer) == before
    c = tinyir.compile(network("x", "rng", "b"), train=Training(), measure=False)
    assert "params_seed" not in str(c.files["net.h"]) and c.report["training"]["rng"] is None


def test_the_seed_goes_beside_a_parameter_called_rng() -> None:
    module = digits()[0]
    first = next(op for op in module.main.ops if op.opname == "nn.conv2d")
    first.operands[1].name = "rng"
    every = every_trainer(module, Training())
    for trainer in every:
        before = trainer.params
        trainer.seed(5)
        changed = {name: array for name, array in trainer.params.items() if (array != before[name]).any()}
        assert list(changed) == ["rng_1"] and changed["rng_1"].tolist() == [5, 0]


def test_the_text_of_such_a_program_can_be_read() -> None:
    module = tinyir.compile(network("x", "lr", "target"), train=Training(), backend="numpy").module
    assert str(parse(str(module), "net.tir")) == str(module)
