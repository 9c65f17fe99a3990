"""Additions in one expression, against TFLite's three roundings for all pairs of inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tests.loops.definitions import multiply_quantized, multiply_quantized_single, wrap
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops.int_elementwise import Add, Requantize, Rescale, Sub, Widen
from tinyir.ir.quant import Multiplier, quantize_multiplier
from tinyir.ir.types import DType, TensorType
from tinyir.loops.lower.pairs import Operand, PairForm, operands_of, pair_form


class Sum(NamedTuple):
    """a + b or a - b of int8 tensors with their own scales and zero points."""

    scales: tuple[float, float, float]
    zeros: tuple[int, int, int]
    limits: tuple[int, int] = (-128, 127)
    rounding: str = "double"
    kind: type[Add] | type[Sub] = Add

    def multipliers(self) -> list[Multiplier]:
        a, b, y = self.scales
        common = 2 * max(a, b)
        return [quantize_multiplier(n) for n in (a / common, b / common, common / ((1 << 20) * y))]

    def ops(self) -> list[Op]:
        """Widened, rescaled, added, requantised."""
        b = FuncBuilder()
        *sides, (mantissa, exponent) = self.multipliers()
        ops: list[Op] = []
        terms = []
        for zero, (m, e) in zip(self.zeros, sides, strict=False):
            wide = Widen(b.arg(TensorType((4,), DType.I8)), offset=-zero)
            scaled = Rescale(wide.y, left_shift=20, multiplier=m, shift=e, rounding=self.rounding)
            ops += [wide, scaled]
            terms.append(scaled.y)
        total = self.kind(*terms)
        factors = [b.const(np.array([n], np.int32)) for n in (mantissa, exponent)]
        lo, hi = self.limits
        last = Requantize(total.y, *factors, zero_point=self.zeros[2], lo=lo, hi=hi, rounding=self.rounding)
        return [*ops, total, last]

    def __call__(self, x: int, y: int) -> int:
        """The definition."""
        scale = multiply_quantized if self.rounding == "double" else multiply_quantized_single
        a, b, last = self.multipliers()
        left, right = scale((x - self.zeros[0]) << 20, *a), scale((y - self.zeros[1]) << 20, *b)
        total = scale(wrap(left - right if self.kind is Sub else left + right), *last)
        return min(max(total + self.zeros[2], self.limits[0]), self.limits[1])


def form_of(case: Sum) -> tuple[PairForm | None, tuple[Operand, Operand]]:
    ops = case.ops()
    last = ops[-1]
    assert isinstance(last, Requantize)
    sides = operands_of(last, ops)
    assert sides is not None
    return pair_form(last, *sides), sides


def assert_equal_everywhere(case: Sum, form: PairForm) -> None:
    bytes_ = range(-128, 128)
    wanted = [[case(x, y) for y in bytes_] for x in bytes_]
    for x in bytes_:
        found = []
        for y in bytes_:
            partial = [x * form.x, x * form.x + y * form.y, x * form.x + y * form.y + form.addend]
            assert all(wrap(n) == n for n in partial), "C does not wrap"
            found.append(min(max(partial[-1] >> form.shift, *case.limits[:1]), case.limits[1]))
        assert found == wanted[x + 128], x


REAL = Sum((0.045, 0.0523, 0.0561), (-8, 6, -8))
CASES = [
    REAL,
    REAL._replace(kind=Sub),
    REAL._replace(rounding="single"),
    REAL._replace(limits=(-8, 127)),
    REAL._replace(limits=(-100, 90)),
    Sum((0.02, 0.02, 0.04), (0, 0, 0), rounding="single"),
    Sum((0.5, 0.001, 0.002), (3, -128, 127)),
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_sums(case: Sum) -> None:
    form, _ = form_of(case)
    assert form is not None
    assert_equal_everywhere(case, form)


@pytest.mark.parametrize("seed", range(12))
def test_random_sums(seed: int) -> None:
    """Most have a form; each that has is right."""
    rng = np.random.default_rng(seed)
    a, b, y = (float(v) for v in np.exp(rng.normal(-3, 0.7, 3)))
    zeros = [int(v) for v in rng.integers(-128, 128, 3)]
    case = Sum((a, b, y), (zeros[0], zeros[1], zeros[2]), kind=Sub if seed % 3 == 2 else Add)
    form, _ = form_of(case)
    if form is not None:
        assert_equal_everywhere(case, form)


def test_halves_away_from_zero_are_a_steeper_line() -> None:
    """(x + y) / 2: the factors are a little more than a half."""
    case = Sum((0.02, 0.02, 0.04), (0, 0, 0))
    form, _ = form_of(case)
    assert form is not None and form.x > 1 << form.shift - 1
    assert_equal_everywhere(case, form)


def test_where_no_factors_are_fine_enough() -> None:
    assert form_of(Sum((0.076, 0.147, 0.056), (0, 5, -7)))[0] is None


def test_one_pair_that_differs_is_refused() -> None:
    """The factors are proved for every pair: the results are not those of the op at one."""
    ops = REAL.ops()
    last = ops[-1]
    assert isinstance(last, Requantize)
    sides = operands_of(last, ops)
    assert sides is not None and pair_form(last, *sides) is not None
    terms = sides[0].terms.copy()
    terms[100] += 1 << 19
    assert pair_form(last, Operand(sides[0].value, sides[0].inputs, terms), sides[1]) is None


def test_what_is_no_sum_of_two_bytes() -> None:
    ops = REAL.ops()
    last = ops[-1]
    assert isinstance(last, Requantize)
    assert operands_of(last, ops[-1:]) is None, "the sum comes from another kernel"
    assert operands_of(last, [*ops[2:]]) is None, "a rescaled operand does"
    wide = operands_of(last, [op for op in ops if not isinstance(op, Widen)])
    assert wide is not None and wide[0].value is ops[0].results[0], "widened elsewhere: read as it is"
