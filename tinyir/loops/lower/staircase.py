"""Cheap formulas for a requantisation, used only where they are proved equal to it.

What an op asks for, q(acc) = clamp(round(acc * M / 2^31 * 2^e) + zero_point, lo, hi), never falls, and has at most 255
steps. A candidate of the form

    f(acc) = (hi32((acc << left) * m) + addend) >> shift        (rounded: hi32 of the product + 2^31, SMMLAR;
                                                                 signed: one less for acc < 0)

never falls either, as long as no word overflows. So the two agree on a whole range of accumulators if and only if they
agree at the first accumulator of each step and at the one before it. That is the proof (`proved`); it costs two
evaluations for each step. The search (`fit`) is as direct: for a given m each step bounds the addend from one side.

Why these candidates: in units of 2^-(31+s), gemmlowp's two roundings (`SaturatingRoundingDoublingHighMul`, then
`RoundingDivideByPOT` by s) are acc * M + 2^(30+s) + 2^30 for acc >= 0, and - 2^30 for acc < 0, cut off. With
left = 2 and m = M the addend 2^s + 1 is that of acc >= 0; with left = 1 SMMLAR is the first rounding and the signed
subtraction is the tie of the second. Where channels differ in s, M / 2^(s - least s) gives them one shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.semantics import fixedpoint

Array = npt.NDArray[np.int64]

LARGEST_SHIFT = 23
"""127 << (32 + shift) must fit the 64 bits that the search computes with."""

COMMON_SHIFT = 16
"""Tried first: SSAT has its shift in the instruction, so only kernels with the same one can share their code."""

LARGEST_LEFT = 24
BLOCK = 8
HOPELESS = 8
"""Bounds of the addend that are further apart do not meet for any multiplier tried: (acc << left) * 4 is below 2 units
of the addend."""
MULTIPLIER_TRIALS = (1, -1, 2, -2, 3, -3, 4, -4)
WORD = 1 << 32
TOP = (1 << 31) - 1


@dataclass(frozen=True)
class Wanted:
    """A requantisation of accumulators within lo..hi; each field but the last four has a row for each channel and one
    column."""

    multiplier: Array
    exponent: Array
    lo: Array
    hi: Array
    zero_point: int
    least: int
    most: int
    rounding: str

    def __call__(self, acc: Array) -> Array:
        """The result for each accumulator, as the op defines it."""
        scaled = fixedpoint.multiply_quantized(acc, self.multiplier, self.exponent, self.rounding)
        return np.asarray(np.clip(scaled + self.zero_point, self.least, self.most), np.int64)

    @property
    def rises(self) -> bool:
        """Whether the result never falls: no word of the definition overflows on the way."""
        size = np.maximum(-self.lo, self.hi).astype(np.float64)
        left = np.ldexp(size, np.maximum(self.exponent, 0)) if self.rounding == "double" else size
        product = np.ldexp(size * self.multiplier, self.exponent - 31)
        fits = (left <= TOP) & (product < 2.0**30) & (self.exponent >= -31) & (self.exponent <= 30)
        return bool((fits & (self.multiplier >= 0) & (self.multiplier <= TOP) & (self.lo <= self.hi)).all())

    def rows(self, chosen: npt.NDArray[Any]) -> Wanted:
        """Some of the channels."""
        parts = {name: getattr(self, name)[chosen] for name in ("multiplier", "exponent", "lo", "hi")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Steps:
    """Where a staircase rises: for each channel and each value above the least, the first accumulator whose result is
    at least `value`; hi + 1 where there is none."""

    wanted: Wanted
    value: Array
    first: Array

    def rows(self, chosen: npt.NDArray[Any]) -> Steps:
        """Some of the channels."""
        return Steps(self.wanted.rows(chosen), self.value, self.first[chosen])

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """The channels whose result is the same for every accumulator."""
        rises = (self.first > self.wanted.lo) & (self.first <= self.wanted.hi)
        return np.asarray(~rises.any(axis=1))


def steps_of(wanted: Wanted) -> Steps | None:
    """The steps of a requantisation; None where it may fall somewhere."""
    wanted = replace(wanted, exponent=np.where(wanted.multiplier == 0, 0, wanted.exponent))
    if not wanted.rises:
        return None
    lo, hi = wanted.lo, wanted.hi
    value = np.arange(wanted.least + 1, wanted.most + 1, dtype=np.int64)[None, :]
    unit = np.ldexp(1.0, 31 - wanted.exponent) / np.maximum(wanted.multiplier, 1)
    place = (value - wanted.zero_point - 0.5) * unit
    if wanted.rounding == "double":
        place -= np.where((wanted.exponent < 0) & (place < 0), -0.5, 0.5) * (2.0**31 / np.maximum(wanted.multiplier, 1))
    first = np.ceil(np.clip(place, lo, hi + 1)).astype(np.int64)
    for _ in range(4):
        late = (first > lo) & (wanted(np.maximum(first - 1, lo)) >= value)
        early = (first <= hi) & (wanted(np.minimum(first, hi)) < value)
        if not (late | early).any():
            return Steps(wanted, value, first)
        first = first + early - late
    return Steps(wanted, value, _bisected(wanted, value))


def _bisected(wanted: Wanted, value: Array) -> Array:
    """The first accumulators, where the estimate is far from them (tiny multipliers, zero)."""
    shape = np.broadcast_shapes(value.shape, wanted.lo.shape)
    below, reached = np.broadcast_to(wanted.lo - 1, shape), np.broadcast_to(wanted.hi + 1, shape)
    while (reached - below > 1).any():
        middle = (below + reached) >> 1
        inside = np.clip(middle, wanted.lo, wanted.hi)
        high = (wanted(inside) >= value) | (middle > wanted.hi)
        high &= middle >= wanted.lo
        open_ = reached - below > 1
        below, reached = np.where(open_ & ~high, middle, below), np.where(open_ & high, middle, reached)
    return reached


@dataclass(frozen=True)
class Form:
    """A candidate: the constants of f, the tables with a row for each channel and one column."""

    left: int
    rounded: bool
    signed: bool
    multiplier: Array
    addend: Array
    shift: Array

    def product(self, acc: Array) -> Array:
        """What is added to addend * 2^32, in 64 bits."""
        product = (acc << self.left) * self.multiplier
        if self.rounded:
            product = product + (WORD >> 1)
        return product - WORD * (acc < 0) if self.signed else product

    def __call__(self, acc: Array) -> Array:
        """f, where no word overflows."""
        return np.asarray(((self.product(acc) >> 32) + self.addend) >> self.shift)

    def never_overflows(self, lo: Array, hi: Array) -> npt.NDArray[np.bool_]:
        """For each channel, whether every word on the way holds its value; it does between two ends that do. A
        multiplier of 0 does not care what acc << left wraps to."""
        ok = (self.multiplier == 0) | ((np.maximum(-lo, hi) << self.left) <= TOP)
        for end in (lo, hi):
            high = (self.product(end) >> 32) + self.addend
            ok &= (high >= -TOP) & (high < TOP)
        return np.asarray(ok[:, 0])

    @property
    def one_shift(self) -> bool:
        """Whether all channels have the same shift."""
        return bool((self.shift == self.shift[0]).all())


def proved(form: Form, steps: Steps) -> npt.NDArray[np.bool_]:
    """For each channel, whether `form`, clamped as the op clamps, equals the requantisation for every accumulator."""
    lo, hi, first, value = steps.wanted.lo, steps.wanted.hi, steps.first, steps.value
    reaches = (form(np.minimum(first, hi)) >= value) | (first > hi)
    waits = (form(np.maximum(first - 1, lo)) < value) | (first <= lo)
    return np.asarray((reaches & waits).all(axis=1) & form.never_overflows(lo, hi))


def cheapest(wanted: Wanted) -> Form | None:
    """The cheapest form that is proved for every channel: one shift before a table of shifts, no test of the sign
    before one. None where there is none."""
    steps = steps_of(wanted)
    if steps is None:
        return None
    for candidate in _candidates(steps):
        form = fit(steps, candidate)
        if form is not None:
            return form
    return None


def _candidates(steps: Steps) -> Iterator[Form]:
    """Forms to try, cheapest first, without multipliers and addends."""
    wanted = steps.wanted
    live = wanted.rows(~steps.constant)
    zero = np.zeros_like(wanted.lo)
    if not live.lo.size:
        yield Form(0, False, False, zero, zero, zero)
        return
    exponents = np.unique(-live.exponent)
    tests_sign = wanted.rounding == "double" and bool((wanted.lo < 0).any())

    def form(left: int, rounded: bool, signed: bool, shift: Array | int) -> Form:
        return Form(left, rounded, signed, zero, zero, zero + np.clip(shift, 0, LARGEST_SHIFT))

    for s in exponents[:3].tolist():
        most = _most_left(live, s)
        for left in dict.fromkeys((COMMON_SHIFT + 1 - s, most)):
            if 0 <= left <= most and left + s >= 1:
                yield form(left, False, False, left + s - 1)
        yield form(1, True, False, s)
    if tests_sign:
        yield from (form(1, True, True, s) for s in exponents[:2].tolist())
    if exponents.size > 1:
        yield form(2, False, False, 1 - wanted.exponent)
        yield form(1, True, False, -wanted.exponent)
        if tests_sign:
            yield form(1, True, True, -wanted.exponent)


def _most_left(live: Wanted, s: int) -> int:
    """How far all accumulators may go left: the further, the finer is a unit of the addend. The multipliers are as
    large as words allow, which makes the shift left + s - 1."""
    size = np.maximum(-live.lo, live.hi)
    left = 31 - int(size.max()).bit_length()
    result = np.ldexp(size.astype(np.float64) * live.multiplier, live.exponent - 31) + 129
    while left > 0 and (result.max() * 2.0 ** (left + s - 1) >= TOP or left + s - 1 > LARGEST_SHIFT):
        left -= 1
    return min(left, LARGEST_LEFT)


def fit(steps: Steps, candidate: Form) -> Form | None:
    """`candidate` with a multiplier and an addend for each channel that are proved, or None.

    The multiplier is the nearest to the exact one, or a neighbour, or 0 for a channel that is constant. All channels
    get the same addend where one suits all.
    """
    wanted, constant = steps.wanted, steps.constant[:, None]
    # acc * M * 2^(e - 31) = (acc << left) * m / 2^(32 + shift)
    move = wanted.exponent + 1 + candidate.shift - candidate.left
    exact = np.ldexp(wanted.multiplier.astype(np.float64), move)
    nearest = np.where(constant, 0, np.rint(np.clip(exact, 0, TOP))).astype(np.int64)
    probe = np.unique(np.linspace(0, nearest.shape[0] - 1, BLOCK).astype(np.int64))
    part = replace(candidate, multiplier=nearest[probe], shift=candidate.shift[probe])
    if _searched(steps.rows(probe), part) is None:
        return None
    found = _searched(steps, replace(candidate, multiplier=nearest))
    if found is None:
        return None
    multiplier, low, high = found
    if candidate.one_shift and low.max() <= high.min():
        low, high = np.full_like(low, low.max()), np.full_like(high, high.min())
    half = ((1 << candidate.shift) >> 1) + (wanted.zero_point << candidate.shift)
    addend = np.clip(half, low, high)
    form = replace(candidate, multiplier=multiplier, addend=addend)
    return form if proved(form, steps).all() else None


def _searched(steps: Steps, candidate: Form) -> tuple[Array, Array, Array] | None:
    """A multiplier for each channel, that of `candidate` or a neighbour, and the least and the largest addend that go
    with it; None where a channel has none."""
    multiplier = candidate.multiplier.copy()
    low, high = _addends(steps, candidate)
    if (low - high).max() > HOPELESS:
        return None
    missing = np.flatnonzero(low > high)
    for start in range(0, missing.size, BLOCK):
        rows = missing[start : start + BLOCK]
        for trial in MULTIPLIER_TRIALS:
            other = np.clip(candidate.multiplier[rows] + trial, 0, TOP)
            bounds = _addends(steps.rows(rows), replace(candidate, multiplier=other, shift=candidate.shift[rows]))
            found = (bounds[0] <= bounds[1])[:, 0]
            done = rows[found]
            multiplier[done], low[done], high[done] = other[found], bounds[0][found], bounds[1][found]
            rows = rows[~found]
            if not rows.size:
                break
        else:
            return None
    return multiplier, low, high


def _addends(steps: Steps, form: Form) -> tuple[Array, Array]:
    """The least and the largest addend for which every step is right; the least is larger where there is none."""
    lo, hi = steps.wanted.lo, steps.wanted.hi
    need = steps.value << (32 + form.shift)
    at = -((form.product(np.minimum(steps.first, hi)) - need) >> 32)
    before = (need - form.product(np.maximum(steps.first - 1, lo)) - 1) >> 32
    # Neither the addend nor the sum may leave its word.
    floor = -TOP - np.minimum(form.product(lo) >> 32, 0)
    ceiling = TOP - 1 - np.maximum(form.product(hi) >> 32, 0)
    low = np.max(at, axis=1, keepdims=True, where=steps.first <= hi, initial=-(1 << 62))
    high = np.min(before, axis=1, keepdims=True, where=steps.first > lo, initial=1 << 62)
    fits = (form.multiplier == 0) | ((np.maximum(-lo, hi) << form.left) <= TOP)
    return np.where(fits, np.maximum(low, floor), WORD), np.where(fits, np.minimum(high, ceiling), 0)
