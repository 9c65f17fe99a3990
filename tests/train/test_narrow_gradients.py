"""Gradients as int16 and int8: by definition, the same bits on every backend, near those in float32."""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.train.test_int8_training import DIGITS, digits, trainers
from tinyir.api import Compiled
from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.grad_narrow import Exponent, Narrow, NextExponent, Peak, WidenGradient
from tinyir.ir.types import DType, TensorType
from tinyir.passes.step_options import GradName
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

Array = npt.NDArray[Any]
INTEGERS: tuple[GradName, ...] = ("i16", "i8")


# -- the ops ----------------------------------------------------------------------------------------------------------


def result_of(op: type[Op], *arrays: Array, elem: DType | None = None, **attrs: Any) -> Array:
    """What an op makes of arrays without layouts."""
    kinds = {"int8": DType.I8, "int16": DType.I16, "int32": DType.I32, "float32": DType.F32}
    b = FuncBuilder()
    args = [b.arg(TensorType(a.shape, kinds[a.dtype.name])) for a in arrays]
    if elem is not None:
        attrs["types"] = TensorType(arrays[0].shape, elem)
    return evaluate(b.ret(b.add(op(*args, **attrs))), list(arrays))[0]


def number(n: int) -> Array:
    return np.array(n, np.int32)


def rounded(x: float) -> int:
    """The nearest integer, ties away from zero."""
    return int(math.copysign(math.floor(abs(Fraction(x)) + Fraction(1, 2)), x))


@pytest.mark.parametrize(("elem", "bits"), [(DType.I8, 8), (DType.I16, 12), (DType.I16, 16)])
def test_narrow_rounds_to_the_nearest_and_saturates(elem: DType, bits: int) -> None:
    rng = np.random.default_rng(bits)
    g = np.concatenate([rng.normal(scale=s, size=60) for s in (0.1, 4.0, 900.0)]).astype(np.float32)
    g = np.concatenate([g, np.array([0.125, -0.125, 0.375, 1e30, -1e30, np.inf, -np.inf, 0.0], np.float32)])
    found = result_of(Narrow, g, number(-5), number(3), elem=elem, bits=bits)
    most = 2 ** (bits - 1)
    wanted = [
        max(-most, min(most - 1, rounded(float(v) * 4) if math.isfinite(v) else int(np.sign(v)) * most)) for v in g
    ]
    np.testing.assert_array_equal(found, wanted)
    assert result_of(Narrow, np.full(1, np.nan, np.float32), number(0), number(0), elem=elem, bits=bits) == 0


def test_narrow_is_right_on_average_with_random_words() -> None:
    count = 1 << 14
    words = np.random.default_rng(0).integers(-(2**31), 2**31, count).astype(np.int32)
    for step in (0.01, -0.3, 5.5):
        g = np.full(count, step, np.float32)
        found = result_of(Narrow, g, number(2), number(-2), words, elem=DType.I8, bits=8)
        assert set(found) <= {math.floor(step), math.ceil(step)}
        assert abs(found.mean() - step) <= 4 * np.sqrt((step % 1) * (1 - step % 1) / count)


def test_widen_takes_the_power_back() -> None:
    x = np.array([1, -3, 2**24 + 1, 2**31 - 1, -(2**31)], np.int32)
    found = result_of(WidenGradient, x, number(-70), number(30))
    np.testing.assert_array_equal(found, x.astype(np.float32) * np.float32(2.0**-40))


def test_exponent_of_a_step() -> None:
    cases = [([0.0], -30), ([1e-30], -30), ([0.5, -0.25], 0), ([1.0], 1), ([-3.9, 1.0], 2), ([1e20], 30)]
    cases += [([np.inf], 30), ([np.nan, 0.1], 30)]
    for values, wanted in cases:
        assert result_of(Exponent, np.array(values, np.float32)) == wanted


def test_peak_counts_both_limits_alike() -> None:
    for values, wanted in (([0, 3, -3], 3), ([127], 127), ([-128, 5], 127), ([0, 0], 0), ([-1], 0)):
        assert result_of(Peak, np.array(values, np.int8)) == wanted


def test_exponents_follow_peaks() -> None:
    attrs: dict[str, Any] = {"limit": 127, "low": 15}
    for peak, base, change in ((127, 0, 1), (126, 0, 0), (15, 0, 0), (14, 0, -1), (0, 0, -1), (0, -30, 0)):
        assert result_of(NextExponent, number(-20), number(peak), number(base), **attrs) == -20 + change
    assert result_of(NextExponent, number(96), number(127), number(0), **attrs) == 96
    assert result_of(NextExponent, number(-96), number(0), number(0), **attrs) == -96


def test_floats_are_not_multiplied_with_integers() -> None:
    g, w = (FuncBuilder().arg(TensorType(s, t)) for s, t in (((1, 4), DType.I8), ((4, 2), DType.F32)))
    with pytest.raises(IRError, match="multiplies i8 with i8, not"):
        DenseInput(g, w)


# -- sums -------------------------------------------------------------------------------------------------------------


def contractions() -> list[Op]:
    """One of each op that sums products with a gradient of int16."""
    b = FuncBuilder()

    def value(shape: tuple[int, ...], layout: str, elem: DType = DType.I8) -> Any:
        return b.arg(TensorType(shape, elem, layout))

    g = value((1, 5, 4, 6), "NHWC", DType.I16)
    row = value((3, 6), "", DType.I16)
    pad = ((1, 1), (1, 1))
    return [
        DenseInput(row, value((6, 7), "")),
        DenseWeight(row, value((3, 7), ""), zero_point=-128),
        Conv2DInput(g, value((6, 3, 3, 2), "OHWI"), size=(5, 4), pad=pad),
        DepthwiseInput(g, value((3, 3, 6), "HWO"), size=(5, 4), channels=3, pad=pad),
        Conv2DWeight(g, value((1, 5, 4, 2), "NHWC"), kernel=(3, 3), pad=pad, zero_point=5),
        DepthwiseWeight(g, value((1, 5, 4, 6), "NHWC"), kernel=(3, 3), pad=pad, zero_point=5),
    ]


@pytest.mark.parametrize("op", contractions(), ids=lambda op: op.opname)
def test_the_largest_sum_is_known(op: Any) -> None:
    """`gain` is what no sum exceeds, and the worst factors reach: so |g| <= 2^(bits - 1) keeps sums inside int32."""
    g, other = (value.type for value in op.operands)
    worst = 127 if op.attrs.get("zero_point", 0) < 0 else -128
    arrays = [np.full(g.shape, -1, np.int16), np.full(other.shape, worst, np.int8)]
    reference = op.reference()
    found = reference.function(*arrays, **reference.kwargs)
    assert found.dtype == np.int32 and np.abs(found).max() == op.gain()


@pytest.mark.parametrize("op", contractions(), ids=lambda op: op.opname)
def test_integer_sums_are_those_of_reals(op: Any) -> None:
    """Small enough for float32 to be exact, too."""
    rng = np.random.default_rng(0)
    g, other = (rng.integers(-100, 100, v.type.shape).astype(v.type.storage.numpy) for v in op.operands)
    reference = op.reference()
    exact = reference.function(g, other, **reference.kwargs)
    real = reference.function(g.astype(np.float32), other, **reference.kwargs)
    np.testing.assert_array_equal(exact, real)


# -- the digits network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grad", INTEGERS)
def test_the_same_bits_on_every_backend(grad: GradName) -> None:
    _, images, labels = digits()
    every = trainers(Training(grad=grad))
    for x, label in itertools.islice(zip(images, labels, strict=True), 4):
        outcomes = [trainer.step(x, (int(label) + 1) % 10, 0.05) for trainer in every]
        assert {outcome.status for outcome in outcomes} == {0}
        assert len({np.float32(outcome.loss).tobytes() for outcome in outcomes}) == 1
    states = [{name: array.tobytes() for name, array in trainer.params.items()} for trainer in every]
    assert states[0] == states[1] == states[2]


@functools.cache
def program(grad: GradName) -> Compiled:
    return tinyir.compile(digits()[0], train=Training(grad=grad, rounding="nearest"), measure=False)


def host(grad: GradName) -> Trainer:
    return program(grad).trainer("host")


def changes(trainer: Trainer, count: int) -> list[dict[str, Array]]:
    """What single steps change the parameters by, each from the first parameters, with the exponents so far."""
    _, images, labels = digits()
    start = {name: array.copy() for name, array in trainer.params.items()}
    found = []
    for x, label in itertools.islice(zip(images, labels, strict=True), count):
        kept = {name: array for name, array in trainer.params.items() if name.endswith("_exponent")}
        trainer.set_params({**start, **kept})
        trainer.step(x, (int(label) + 1) % 10, 0.05)
        found.append({name: array.astype(np.float64) - start[name] for name, array in trainer.params.items()})
    return found


def test_steps_are_near_those_in_float() -> None:
    """Biases, in which a step is of many units: within 1/200 with int16; with int8, whose noise is about 1/8 of a step,
    without bias."""
    exact, fine, coarse = (changes(host(grad), 6) for grad in ("f32", "i16", "i8"))
    names = [name for name in exact[0] if name.endswith("_b")]
    assert len(names) > 5
    for name in names:
        wanted = np.array([step[name] for step in exact])
        for steps, most in ((fine, 0.005), (coarse, 0.4)):
            off = np.array([step[name] for step in steps]) - wanted
            assert np.linalg.norm(off) <= most * np.linalg.norm(wanted), name


def test_exponents_find_their_place() -> None:
    """From eight too high (all gradients 0) and too low (all at their limits) within ten steps."""
    trainer = host("i8")
    _, images, labels = digits()
    start = trainer.params
    settled = {}
    for off in (0, 8, -8):
        moved = {name: array + off if name.endswith("_exponent") else array for name, array in start.items()}
        trainer.set_params({name: np.asarray(array, start[name].dtype) for name, array in moved.items()})
        for x, label in itertools.islice(zip(images, labels, strict=True), 12):
            trainer.step(x, (int(label) + 1) % 10, 0.0)
        settled[off] = np.array([int(v) for name, v in trainer.params.items() if name.endswith("_exponent")])
    assert len(settled[0]) > 8
    assert np.abs(settled[8] - settled[0]).max() <= 2 and np.abs(settled[-8] - settled[0]).max() <= 2


def test_arena_is_smaller() -> None:
    assert program("i16").arena_bytes < 0.7 * program("f32").arena_bytes
    assert program("i8").arena_bytes < 0.8 * program("i16").arena_bytes


def test_an_optimiser_may_compute_what_it_leaves_out() -> None:
    """Before its first update Adam divides by 0; estimating the first exponents says nothing of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = Training(grad="i16", optimizer="adam", accumulate=2, classes=2)
        tinyir.compile(DIGITS / "digits.tflite", train=options, backend="numpy")
