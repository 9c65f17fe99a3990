"""The forms of requantisation against two roundings as gemmlowp makes them.

Both sides are staircases that never fall. The definition's steps are found here by bisection; where a form agrees on
either side of each of them and at the ends of the range, it agrees everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.loops.definitions import multiply_quantized, multiply_quantized_single, wrap
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.types import DType, TensorType
from tinyir.loops.instrs import SMMLA, SMMLAR, SSAT_ASR
from tinyir.loops.lower.requant import wanted_by
from tinyir.loops.lower.staircase import Form, Steps, Wanted, cheapest, proved, steps_of

WIDEST = (1 - (1 << 29), (1 << 29) - 1)
MULTIPLIERS = (1, 76543, 1 << 30, (1 << 30) + 1, 1431655765, 1518500249, (1 << 31) - 1)
"""Those of means may be small: they are divided by the number of summands."""
SHIFTS = (0, 1, 2, 3, 7, 12, 20, 21)


def column(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, np.int64).reshape(-1, 1)


def wanted(
    pairs: list[tuple[int, int]],
    values: list[tuple[int, int]] | tuple[int, int] = WIDEST,
    *,
    zero_point: int = 0,
    limits: tuple[int, int] = (-128, 127),
    rounding: str = "double",
) -> Wanted:
    """Channels with these multipliers and right shifts, of accumulators within `values`: of each, or of all."""
    ranges = values if isinstance(values, list) else [values] * len(pairs)
    multipliers, shifts = zip(*pairs, strict=True)
    lows, highs = zip(*ranges, strict=True)
    return Wanted(column(*multipliers), -column(*shifts), column(*lows), column(*highs), zero_point, *limits, rounding)


def definition(want: Wanted, channel: int) -> Callable[[int], int]:
    scale = multiply_quantized if want.rounding == "double" else multiply_quantized_single
    multiplier, shift = int(want.multiplier[channel, 0]), int(want.exponent[channel, 0])
    return lambda acc: min(max(scale(acc, multiplier, shift) + want.zero_point, want.least), want.most)


def computed(want: Wanted, form: Form, channel: int) -> Callable[[int], int]:
    """What the kernel computes, word by word."""
    multiplier, addend, shift = (int(t[channel, 0]) for t in (form.multiplier, form.addend, form.shift))
    instr = SMMLAR if form.rounded else SMMLA

    def run(acc: int) -> int:
        total = instr.means(wrap(acc << form.left), multiplier, addend)
        total = wrap(total + (acc >> 31)) if form.signed else total
        return min(max(int(SSAT_ASR.means(total, shift)), want.least), want.most)

    return run


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


def checked(want: Wanted) -> Form:
    """The form chosen, after a look at every step of every channel."""
    form = cheapest(want)
    assert form is not None
    for channel in range(len(want.multiplier)):
        f, g = definition(want, channel), computed(want, form, channel)
        for acc in around_steps(f, int(want.lo[channel, 0]), int(want.hi[channel, 0])):
            assert g(acc) == f(acc), (want.multiplier[channel], want.exponent[channel], acc)
    return form


# -- one channel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_double_rounding_with_relu(multiplier: int, shift: int) -> None:
    """The lower limit is the zero point: no test of the sign."""
    for zero_point, hi in ((-128, 127), (0, 127), (5, 60), (126, 127)):
        assert not checked(wanted([(multiplier, shift)], zero_point=zero_point, limits=(zero_point, hi))).signed


@pytest.mark.parametrize("shift", [s for s in SHIFTS if s])
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_double_rounding(multiplier: int, shift: int) -> None:
    for zero_point, limits in ((0, (-128, 127)), (-128, (-100, 127)), (127, (-128, 127)), (5, (4, 100)), (3, (10, 90))):
        checked(wanted([(multiplier, shift)], zero_point=zero_point, limits=limits))


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_single_rounding(multiplier: int, shift: int) -> None:
    for zero_point, limits in ((0, (-128, 127)), (-128, (-128, 127)), (127, (-20, 127))):
        form = checked(wanted([(multiplier, shift)], zero_point=zero_point, limits=limits, rounding="single"))
        assert not form.signed


@pytest.mark.parametrize("values", [(0, WIDEST[1]), (WIDEST[0], -1), (-3000, -20), (7, 9000), (0, 0)])
@pytest.mark.parametrize("shift", [0, 1, 6])
def test_ranges_on_one_side_of_zero(values: tuple[int, int], shift: int) -> None:
    """Without negative accumulators there is no sign to test."""
    for multiplier in MULTIPLIERS:
        form = checked(wanted([(multiplier, shift)], values, zero_point=-7))
        assert values[0] < 0 or not form.signed


def test_two_roundings_on_both_sides_of_zero_need_the_sign() -> None:
    form = checked(wanted([(1518500249, 7)], (-100_000, 100_000), zero_point=3))
    assert (form.left, form.rounded, form.signed) == (1, True, True)
    assert not checked(wanted([(1518500249, 7)], (-40, 60), zero_point=3)).signed, "narrow: no step below zero"


def test_accumulators_up_to_half_a_word() -> None:
    """The biases of a layer behind a mean."""
    form = checked(wanted([(1518500249, 21)], (-(1 << 30) + 1, (1 << 30) - 1), zero_point=-128))
    assert form.left == 1 and form.rounded


@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("limits", [(-128, 127), (4, 127)])
def test_a_multiplier_of_zero_takes_any_shift(rounding: str, limits: tuple[int, int]) -> None:
    for shift in (-5, 0, 3, 31):
        form = checked(wanted([(0, shift)], (-(1 << 26), 1 << 25), zero_point=4, limits=limits, rounding=rounding))
        assert not form.multiplier.any()


@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("shift", [-1, -3, -8])
def test_factors_above_one(rounding: str, shift: int) -> None:
    """Each accumulator makes a step or more."""
    for multiplier in MULTIPLIERS[2:]:
        want = wanted([(multiplier, shift)], (-700, 650), zero_point=9, rounding=rounding)
        if cheapest(want) is not None:
            checked(want)


# -- several channels -------------------------------------------------------------------------------------------------


def test_each_channel_has_its_own() -> None:
    pairs = [(multiplier, shift) for multiplier, shift in zip(MULTIPLIERS, (1, 21, 8, 2, 5, 1, 3), strict=True)]
    form = checked(wanted(pairs, zero_point=11))
    assert not form.one_shift


def test_channels_with_and_without_a_nudge() -> None:
    """A shift of 0 is rounded once, its neighbour twice."""
    pairs = [(MULTIPLIERS[4], 0), (MULTIPLIERS[5], 4), (0, 9)]
    checked(wanted(pairs, zero_point=-128, limits=(-128, 100)))


def test_channels_of_different_shifts_get_one() -> None:
    rng = np.random.default_rng(4)
    pairs = [(int(m), 6 + i % 4) for i, m in enumerate(rng.integers(1 << 30, 1 << 31, 32))]
    form = checked(wanted(pairs, (-150_000, 150_000), zero_point=-128))
    assert form.one_shift and not form.rounded


DEAD = [((1 << 30) + 9, 31), (1 << 30, 0), (1987654321, 28), (1987654321, 24)]
DEAD_RANGES = [(-(1 << 30) - 60, -(1 << 30) + 80), (-(1 << 30), -(1 << 30)), (-5, 9), (900_000, 900_300)]


@pytest.mark.parametrize("zero_point", [-128, 5])
def test_dead_channels_do_not_matter(zero_point: int) -> None:
    """A large bias, next to no weights, any shift: the others keep their form."""
    live = [(1518500249, 7), (1318500249, 7), (2018500249, 7)]
    ranges = [(-90_000, 120_000)] * 3
    alone = checked(wanted(live, ranges, zero_point=zero_point))
    form = checked(wanted(live + DEAD, ranges + DEAD_RANGES, zero_point=zero_point))
    assert form.one_shift and (form.rounded, form.signed) == (alone.rounded, alone.signed)
    assert not form.multiplier[3:].any()


def test_all_channels_constant() -> None:
    assert not checked(wanted(DEAD, DEAD_RANGES, zero_point=-100)).multiplier.any()


@pytest.mark.parametrize("seed", range(40))
def test_random(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    least = int(rng.integers(1, 12))
    pairs, ranges = [], []
    for _ in range(count):
        shift = least + int(rng.integers(0, (1, 4, 14)[int(rng.integers(3))]))
        pairs.append((int(rng.integers(1 << 30, 1 << 31)), min(shift, 22)))
        size = 1 << int(rng.integers(4, 29))
        ranges.append((-int(rng.integers(0, size)), int(rng.integers(0, size))))
        if rng.integers(5) == 0:
            ranges[-1] = (ranges[-1][1], ranges[-1][1] + int(rng.integers(3)))
    zero_point = int(rng.integers(-128, 128))
    lo = (-128, zero_point, int(rng.integers(-128, 1)))[int(rng.integers(3))]
    limits = (lo, int(rng.integers(max(lo, 0), 128)))
    rounding = str(rng.choice(["double", "single"]))
    checked(wanted(pairs, ranges, zero_point=zero_point, limits=limits, rounding=rounding))


# -- the proof --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", ["double", "single"])
@pytest.mark.parametrize("values", [(-3000, 2500), (-60, 90), (5, 4000), (-9000, -8000)])
def test_the_steps(rounding: str, values: tuple[int, int]) -> None:
    """Against every accumulator."""
    for multiplier, shift, zero_point, limits in itertools.product(
        MULTIPLIERS, (0, 3, 5), (-128, 6), ((-128, 127), (6, 90), (9, 9))
    ):
        want = wanted([(multiplier, shift)], values, zero_point=zero_point, limits=limits, rounding=rounding)
        steps = steps_of(want)
        assert steps is not None
        q = definition(want, 0)
        results = np.array([q(acc) for acc in range(values[0], values[1] + 1)])
        expected = values[0] + np.searchsorted(results, steps.value[0])
        np.testing.assert_array_equal(steps.first[0], expected)
        assert steps.constant[0] == (results[0] == results[-1])


def moved(steps: Steps, at: int, by: int) -> Steps:
    first = steps.first.copy()
    first[0, at] += by
    return replace(steps, first=first)


def test_one_step_off_by_one_is_refused() -> None:
    """Whichever step it is, and on whichever side."""
    want = wanted([(1518500249, 7)], (-30_000, 30_000), zero_point=3)
    steps, form = steps_of(want), cheapest(want)
    assert steps is not None and form is not None and proved(form, steps).all()
    inside = np.flatnonzero((steps.first[0] > want.lo[0] + 1) & (steps.first[0] < want.hi[0]))
    assert len(inside) > 150
    for at in inside.tolist():
        assert not proved(form, moved(steps, at, 1)).any()
        assert not proved(form, moved(steps, at, -1)).any()


def test_forms_that_are_almost_right_are_refused() -> None:
    want = wanted([(1518500249, 7)], (-100_000, 100_000), zero_point=3)
    steps, form = steps_of(want), cheapest(want)
    assert steps is not None and form is not None and proved(form, steps).all()
    worse = [
        replace(form, addend=form.addend + 1),
        replace(form, addend=form.addend - 1),
        replace(form, multiplier=form.multiplier + (1 << 16)),
        replace(form, signed=False),
        replace(form, rounded=False),
        replace(form, shift=form.shift + 1),
    ]
    assert not any(proved(f, steps).any() for f in worse)


def test_what_is_proved_is_right() -> None:
    """Random changes to a form: the proof says what a look at every accumulator says."""
    rng = np.random.default_rng(1)
    want = wanted([(1234567890, 4)], (-2500, 2400), zero_point=-20, limits=(-90, 100))
    steps, form = steps_of(want), cheapest(want)
    assert steps is not None and form is not None
    results = [definition(want, 0)(acc) for acc in range(-2500, 2401)]
    verdicts = set()
    for _ in range(60):
        step = 1 << int(rng.integers(0, 24))
        other = replace(form, multiplier=form.multiplier + int(rng.integers(-step, step + 1)))
        found = [computed(want, other, 0)(acc) for acc in range(-2500, 2401)]
        assert (found == results) == bool(proved(other, steps)[0])
        verdicts.add(found == results)
    assert verdicts == {True, False}


def test_words_that_overflow_are_refused() -> None:
    want = wanted([(1 << 30, 4)], (-(1 << 20), 1 << 20), zero_point=-128)
    steps, form = steps_of(want), cheapest(want)
    assert steps is not None and form is not None and proved(form, steps).all()
    far = replace(form, left=11, shift=form.shift + 11 - form.left)
    assert not proved(far, steps).any()


@pytest.mark.parametrize(
    "want",
    [
        wanted([(1 << 30, 4)], (-(1 << 31), (1 << 31) - 1)),
        wanted([(1 << 30, -4)], (-(1 << 28), 1 << 28)),  # the definition wraps
        wanted([(-5, 4)], (-500, 500)),  # and this falls
        wanted([((1 << 31) - 1, 0)], (-(1 << 31), 0), rounding="single"),
    ],
    ids=range(4),
)
def test_where_there_is_no_form(want: Wanted) -> None:
    assert cheapest(want) is None


# -- from the op ------------------------------------------------------------------------------------------------------


def requantize(multiplier: list[int], shift: list[int], dtype: DType = DType.I8) -> Requantize:
    b = FuncBuilder()
    acc = b.const(np.array([(-700, 900)] * len(multiplier), np.int32).T)
    constants = [b.const(np.array(n, np.int32)) for n in (multiplier, np.negative(shift))]
    return Requantize(acc, *constants, types=TensorType((2, len(multiplier)), dtype))


def test_the_constants_of_an_op() -> None:
    want = wanted_by(requantize([1 << 30, 1 << 30], [4, 5]))
    assert want is not None
    assert want.exponent.tolist() == [[-4], [-5]]
    assert (want.lo == -700).all() and (want.hi == 900).all() and want.lo.shape == (2, 1)
    checked(want)


def test_nothing_is_wanted_without_constants() -> None:
    b = FuncBuilder()
    acc = b.const(np.array([-5, 5], np.int32))
    number = TensorType((1,), DType.I32)
    for factors in (
        (b.arg(number), b.const(np.array([-3], np.int32))),
        (b.const(np.array([1 << 30], np.int32)), b.arg(number)),
    ):
        assert wanted_by(Requantize(acc, *factors)) is None


def test_no_form_for_any_accumulator() -> None:
    b = FuncBuilder()
    acc = b.arg(TensorType((1,), DType.I32))
    want = wanted_by(Requantize(acc, *(b.const(np.array([n], np.int32)) for n in (1 << 30, -3))))
    assert want is not None and cheapest(want) is None
