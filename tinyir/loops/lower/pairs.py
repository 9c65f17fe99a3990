"""Additions of two int8 tensors in three instructions: (x * a + y * b + addend) >> shift, saturated.

TFLite's ADD brings both operands to a common scale with 20 bits of headroom, adds, and requantises: three fixed-point
products with two roundings each (`kernels/internal/reference/integer_ops/add.h`). The result depends on two bytes, so
a candidate can be compared with it for all 65,536 of their pairs, and is used only where it equals it for every one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.int_elementwise import Add, Requantize, Rescale, Sub, Widen
from tinyir.ir.ranges import value_range
from tinyir.ir.semantics import fixedpoint
from tinyir.ir.types import DType

Array = npt.NDArray[np.int64]

MOST_VALUES = 256
COMMON_SHIFT = 20
"""Tried first, as in `staircase`."""

NEIGHBOURS = sorted(itertools.product(range(-3, 4), repeat=2), key=lambda pair: abs(pair[0]) + abs(pair[1]))


@dataclass(frozen=True)
class Operand:
    """One side of the sum: what is read, each value it may have, and what it adds to the accumulator then."""

    value: Value
    inputs: Array
    terms: Array

    @property
    def slope(self) -> float:
        """What a unit of the input adds, about."""
        return float(self.terms[-1] - self.terms[0]) / max(len(self.inputs) - 1, 1)


@dataclass(frozen=True)
class PairForm:
    """The factors of both operands, the addend and the shift."""

    x: int
    y: int
    addend: int
    shift: int

    def __call__(self, x: Array, y: Array) -> Array:
        """The sum for each pair of inputs, before it saturates."""
        return np.asarray((x * self.x + y * self.y + self.addend) >> self.shift)


def operands_of(op: Requantize, group: Collection[Op]) -> tuple[Operand, Operand] | None:
    """Both sides of the sum that `op` requantises, where the group makes it of two operands with few values each."""
    total = op.acc.defining_op
    if not isinstance(total, Add | Sub) or total not in group or op.type.storage is not DType.I8:
        return None
    a, b = _operand(total.a, 1, group), _operand(total.b, -1 if isinstance(total, Sub) else 1, group)
    return None if a is None or b is None else (a, b)


def _operand(value: Value, sign: int, group: Collection[Op]) -> Operand | None:
    rescale = value.defining_op
    if not isinstance(rescale, Rescale) or rescale not in group:
        return None
    widen = rescale.x.defining_op
    read, offset = (widen.x, widen.offset) if isinstance(widen, Widen) and widen in group else (rescale.x, 0)
    lo, hi = value_range(read)
    if hi - lo >= MOST_VALUES:
        return None
    inputs = np.arange(lo, hi + 1, dtype=np.int64)
    return Operand(read, inputs, sign * fixedpoint.rescale(inputs + offset, **rescale.attrs).astype(np.int64))


def pair_form(op: Requantize, x: Operand, y: Operand) -> PairForm | None:
    """Factors that give the result of `op` for every pair of inputs, or None."""
    multiplier, exponent = constant_of(op.multiplier), constant_of(op.shift)
    if multiplier is None or exponent is None or multiplier.size != 1 or exponent.size != 1:
        return None
    factor, power = int(multiplier.reshape(-1)[0]), int(exponent.reshape(-1)[0])
    sums = fixedpoint.wrap32(x.terms[:, None] + y.terms[None, :])
    scaled = fixedpoint.multiply_quantized(sums, factor, power, op.rounding) + op.zero_point
    results = np.clip(scaled, op.lo, op.hi)
    scale = float(np.ldexp(factor, power - 31))
    slopes = (x.slope * scale, y.slope * scale)
    largest = sum(abs(s) * np.abs(o.inputs).max() for s, o in zip(slopes, (x, y), strict=True)) + np.abs(scaled).max()
    shift = min(int(np.floor(30 - np.log2(2 * largest + 2))) + 1, 30)
    if shift < 0:
        return None
    search = _Search(x.inputs, y.inputs, results, op.lo, op.hi)
    for bits in dict.fromkeys((min(shift, COMMON_SHIFT), shift)):
        near = [round(s * 2.0**bits) for s in slopes]
        for dx, dy in NEIGHBOURS:
            form = search.with_factors(near[0] + dx, near[1] + dy, bits)
            if form is not None:
                return form
    return None


class _Search:
    """The pairs in the order of their results; for given factors, the addends that put every result on its side of
    every step."""

    def __init__(self, x: Array, y: Array, results: Array, least: int, most: int) -> None:
        self.x, self.y, self.results = x[:, None], y[None, :], results
        self.least, self.most = least, most
        flat = (results.reshape(-1) + 128).astype(np.uint8)
        self.order = np.argsort(flat, kind="stable")
        self.levels, self.starts = np.unique(flat[self.order].astype(np.int64) - 128, return_index=True)

    def with_factors(self, a: int, b: int, shift: int) -> PairForm | None:
        """The form with these factors and this shift, if it is equal for every pair."""
        sums = (self.x * a + self.y * b).reshape(-1)[self.order]
        smallest = np.minimum.accumulate(np.minimum.reduceat(sums, self.starts)[::-1])[::-1]
        largest = np.maximum.accumulate(np.maximum.reduceat(sums, self.starts))
        reach = (self.levels << shift) - smallest
        stay = ((self.levels + 1) << shift) - 1 - largest
        # Below the least and above the most result the clamp has the word.
        low = reach[self.levels > self.least].max(initial=-(1 << 31))
        high = stay[self.levels < self.most].min(initial=(1 << 31) - 1)
        if low > high:
            return None
        form = PairForm(a, b, int(low + high) >> 1, shift)
        return form if self._proved(form) else None

    def _proved(self, form: PairForm) -> bool:
        """Whether the form equals the results for all pairs, and no word overflows on the way."""
        found = np.clip(form(self.x, self.y), self.least, self.most)
        ends = [abs(f) * int(np.abs(v).max()) for f, v in ((form.x, self.x), (form.y, self.y))]
        return bool((found == self.results).all()) and sum(ends) + abs(form.addend) < 1 << 31
