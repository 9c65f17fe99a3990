"""Random words: what they are, and that every backend draws the same."""

from __future__ import annotations

import numpy as np

from tinyir.ir.builder import FuncBuilder
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.random import RNG_TYPE, NextStep, Random
from tinyir.ir.types import DType, TensorType


def draws(state: list[int], salt: int, shape: tuple[int, ...], layout: str = "") -> np.ndarray:
    b = FuncBuilder()
    words = Random(b.arg(RNG_TYPE), salt=salt, shape=shape, types=TensorType(shape, DType.I32, layout))
    (found,) = evaluate(b.ret(b.add(words)), [np.array(state, np.int32)])
    return found


def test_words_depend_on_seed_step_and_draw() -> None:
    found = {draws([seed, step], salt, (64,)).tobytes() for seed in (0, 1) for step in (0, 1) for salt in (0, 1)}
    assert len(found) == 8


def test_the_index_counts_in_the_order_of_the_shape() -> None:
    assert (draws([7, 3], 2, (3, 4, 5), "HWO").reshape(-1) == draws([7, 3], 2, (60,))).all()


def test_bits_are_even() -> None:
    """Each bit is set in half of the words within 5 standard deviations; words of successive steps do not agree."""
    words = draws([12345, 0], 0, (1 << 14,))
    bits = np.unpackbits(words.view(np.uint8)).reshape(-1, 32).mean(axis=0)
    assert (np.abs(bits - 0.5) < 5 * 0.5 / 128).all()
    later = draws([12345, 1], 0, (1 << 14,))
    assert abs(np.corrcoef(words, later)[0, 1]) < 5 / 128


def test_the_step_counts_up_and_wraps() -> None:
    b = FuncBuilder()
    func = b.ret(b.add(NextStep(b.arg(RNG_TYPE))))
    for before, after in ((0, 1), (2**31 - 1, -(2**31)), (-1, 0)):
        np.testing.assert_array_equal(evaluate(func, [np.array([9, before], np.int32)])[0], [9, after])
