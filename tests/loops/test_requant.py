"""The short forms of requantisation against two roundings as gemmlowp makes them.

Both sides are staircases that never fall. The definition's steps are found by bisection; where the short form agrees
on either side of each of them and at the ends of the range, it agrees everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from tests.loops.definitions import multiply_quantized, multiply_quantized_single
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.types import DType, TensorType
from tinyir.loops.instrs import REQUANT, REQUANT_SIGNED
from tinyir.loops.lower.requant import ACC_LIMIT, SHIFT_LIMIT, Form, short_form

WIDEST = (1 - ACC_LIMIT, ACC_LIMIT - 1)
MULTIPLIERS = (1, 76543, 1 << 30, (1 << 30) + 1, 1431655765, 1518500249, (1 << 31) - 1)
"""Those of means may be small: they are divided by the number of summands."""
SHIFTS = (0, 1, 2, 3, 7, 12, 20, SHIFT_LIMIT)


def requantize(
    multiplier: int | list[int],
    shift: int | list[int],
    *,
    zero_point: int = 0,
    limits: tuple[int, int] = (-128, 127),
    rounding: str = "double",
    values: tuple[int, int] = WIDEST,
) -> Requantize:
    """A requantisation by `multiplier` / 2^(31 + `shift`) of accumulators within `values`."""
    b = FuncBuilder()
    acc = b.const(np.array(values, np.int32))
    constants = [b.const(np.array(n, np.int32).reshape(-1)) for n in (multiplier, np.negative(shift))]
    if isinstance(multiplier, list):
        acc = b.const(np.array([values] * len(multiplier), np.int32).T)
    lo, hi = limits
    return Requantize(acc, *constants, zero_point=zero_point, lo=lo, hi=hi, rounding=rounding)


def definition(op: Requantize, multiplier: int, shift: int) -> Callable[[int], int]:
    scale = multiply_quantized if op.rounding == "double" else multiply_quantized_single
    return lambda acc: min(max(scale(acc, multiplier, -shift) + op.zero_point, op.lo), op.hi)


def short(op: Requantize, form: Form, channel: int) -> Callable[[int], int]:
    """What the kernel computes."""
    instr = REQUANT_SIGNED if form.signed else REQUANT
    tables = [int(table[channel]) for table in (form.multiplier, form.addend, form.shift)]
    return lambda acc: min(max(instr.means(acc, *tables), op.lo), op.hi)


def assert_equal_everywhere(op: Requantize, pairs: list[tuple[int, int]], values: tuple[int, int] = WIDEST) -> None:
    """Fail unless `op` has a short form that is right for all accumulators within `values`."""
    form = short_form(op)
    assert form is not None
    for channel, (multiplier, shift) in enumerate(pairs):
        wanted, found = definition(op, multiplier, shift), short(op, form, channel)
        for acc in around_steps(wanted, *values):
            assert found(acc) == wanted(acc), (multiplier, shift, acc)


def around_steps(f: Callable[[int], int], least: int, most: int) -> list[int]:
    """Both ends, zero, and the numbers on either side of every step of `f` between them."""
    found = {least, most, *(n for n in (-1, 0, 1) if least <= n <= most)}
    pending = [(least, most)]
    while pending:
        a, b = pending.pop()
        if f(a) == f(b):
            continue
        if b - a == 1:
            found |= {n for n in range(a - 1, b + 2) if least <= n <= most}
            continue
        middle = (a + b) // 2
        pending += [(a, middle), (middle, b)]
    return sorted(found)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_double_rounding_with_relu(multiplier: int, shift: int) -> None:
    """The lower limit is the zero point: no test of the sign."""
    for zero_point, hi in ((-128, 127), (0, 127), (5, 60), (126, 127)):
        op = requantize(multiplier, shift, zero_point=zero_point, limits=(zero_point, hi))
        form = short_form(op)
        assert form is not None and not form.signed
        assert_equal_everywhere(op, [(multiplier, shift)])


@pytest.mark.parametrize("shift", [s for s in SHIFTS if s])
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_double_rounding(multiplier: int, shift: int) -> None:
    for zero_point, limits in ((0, (-128, 127)), (-128, (-100, 127)), (127, (-128, 127)), (5, (4, 100)), (3, (10, 90))):
        op = requantize(multiplier, shift, zero_point=zero_point, limits=limits)
        form = short_form(op)
        assert form is not None and form.signed
        assert_equal_everywhere(op, [(multiplier, shift)])


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_single_rounding(multiplier: int, shift: int) -> None:
    for zero_point, limits in ((0, (-128, 127)), (-128, (-128, 127)), (127, (-20, 127))):
        op = requantize(multiplier, shift, zero_point=zero_point, limits=limits, rounding="single")
        form = short_form(op)
        assert form is not None and not form.signed
        assert_equal_everywhere(op, [(multiplier, shift)])


@pytest.mark.parametrize("values", [(0, ACC_LIMIT - 1), (1 - ACC_LIMIT, -1), (-3000, -20), (7, 9000), (0, 0)])
def test_ranges_on_one_side_of_zero(values: tuple[int, int]) -> None:
    """Without negative accumulators there is no sign to test, and a shift of 0 is as good as any."""
    for multiplier, shift in itertools.product(MULTIPLIERS, (0, 1, 6) if values[0] >= 0 else (1, 6)):
        op = requantize(multiplier, shift, zero_point=-7, values=values)
        form = short_form(op)
        assert form is not None and form.signed == (values[0] < 0)
        assert_equal_everywhere(op, [(multiplier, shift)], values)


@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("limits", [(-128, 127), (4, 127)])
def test_a_multiplier_of_zero_takes_any_shift(rounding: str, limits: tuple[int, int]) -> None:
    for shift in (-5, 0, 3, 31):
        op = requantize(0, shift, zero_point=4, limits=limits, rounding=rounding)
        form = short_form(op)
        assert form is not None
        found = short(op, form, 0)
        assert {found(acc) for acc in (*WIDEST, -1, 0, 1)} == {4}


def test_each_channel_has_its_own() -> None:
    pairs = [(multiplier, shift) for multiplier, shift in zip(MULTIPLIERS, (1, 21, 8, 2, 5, 1, 3), strict=True)]
    op = requantize([m for m, _ in pairs], [s for _, s in pairs], zero_point=11)
    assert_equal_everywhere(op, pairs)


def test_channels_with_and_without_a_nudge() -> None:
    """A shift of 0 is rounded once, its neighbour twice."""
    pairs = [(MULTIPLIERS[4], 0), (MULTIPLIERS[5], 4), (0, 9)]
    shifts = [s if m else 1 for m, s in pairs]
    op = requantize([m for m, _ in pairs], shifts, zero_point=-128, limits=(-128, 100))
    assert_equal_everywhere(op, pairs)


@pytest.mark.parametrize("seed", range(20))
def test_random_multipliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(4):
        multiplier, shift = int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(1, SHIFT_LIMIT + 1))
        zero_point = int(rng.integers(-128, 128))
        lo = (-128, zero_point, int(rng.integers(-128, 1)))[int(rng.integers(3))]
        limits = (lo, int(rng.integers(max(lo, 0), 128)))
        rounding = str(rng.choice(["double", "single"]))
        op = requantize(multiplier, shift, zero_point=zero_point, limits=limits, rounding=rounding)
        assert_equal_everywhere(op, [(multiplier, shift)])


@pytest.mark.parametrize(
    "op",
    [
        requantize(1 << 30, -1),
        requantize(1 << 30, SHIFT_LIMIT + 1),
        requantize(1 << 30, 4, values=(-5, ACC_LIMIT)),
        requantize(1 << 30, 4, values=(-ACC_LIMIT, 5)),
        requantize(1 << 30, 4, values=(-(2**31), 2**31 - 1)),
        requantize(1 << 30, 0),  # rounded once, with a sign to test
        requantize([1 << 30, 1 << 30], [4, 0]),
        requantize([1 << 30, 1 << 30], [4, -2], limits=(0, 127)),
    ],
    ids=range(8),
)
def test_where_there_is_no_short_form(op: Requantize) -> None:
    assert short_form(op) is None


def test_no_short_form_without_constants() -> None:
    b = FuncBuilder()
    acc = b.const(np.array([-5, 5], np.int32))
    number = TensorType((1,), DType.I32)
    for factors in (
        (b.arg(number), b.const(np.array([-3], np.int32))),
        (b.const(np.array([1 << 30], np.int32)), b.arg(number)),
    ):
        assert short_form(Requantize(acc, *factors)) is None
    assert short_form(Requantize(b.arg(number), *(b.const(np.array([n], np.int32)) for n in (1 << 30, -3)))) is None


def test_the_limits_of_the_form_are_where_words_end() -> None:
    """At the largest shift and zero point the sums still fit a word."""
    top = (4 * WIDEST[1] * ((1 << 31) - 1)) >> 32
    assert top + (1 << SHIFT_LIMIT) + 1 + (127 << (SHIFT_LIMIT + 1)) < 2**31
    assert 4 * WIDEST[0] >= -(2**31)
