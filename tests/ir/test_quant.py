"""Scales to fixed point: the helpers, and the rounding of activation limits against both runtimes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.differential import ALL_INT8, check
from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.ir.quant import (
    clamp_limits,
    mean_multiplier,
    quantize_multiplier,
    round_half_away,
    scale_ratio,
    sum_multipliers,
)
from tinyir.ir.types import q8


@pytest.mark.parametrize("x", [0.5, -0.5, 1.5, 2.5, -2.5, 0.49999999, 3.0, -3.2])
def test_ties_go_away_from_zero(x: float) -> None:
    assert round_half_away(x) == math.copysign(math.floor(abs(x) + 0.5), x)


@pytest.mark.parametrize("real", [1.0, 0.5, 0.75, 3.7, 1e-3, 2**-31, 12345.678, 1 - 2**-40])
def test_multiplier_is_close(real: float) -> None:
    mantissa, exponent = quantize_multiplier(real)
    assert 2**30 <= mantissa < 2**31
    assert mantissa / 2**31 * 2**exponent == pytest.approx(real, rel=2**-31)


def test_multiplier_of_almost_nothing_is_0() -> None:
    assert quantize_multiplier(0.0) == quantize_multiplier(2.0**-33) == (0, 0)


def test_sum_multipliers() -> None:
    first, second, last = sum_multipliers(q8(0.5, 0), q8(0.25, 0), q8(1.0, 0))
    assert (first, second) == ((2**30, 0), (2**30, -1))
    assert last == quantize_multiplier(1.0 / 2**20)


def test_mean_divides_in_the_mantissa() -> None:
    assert mean_multiplier(q8(1.0, 0), q8(1.0, 0), 3) == ((2**30 << 1) // 3, 0)


def test_litert_divides_scales_in_float32() -> None:
    a, b = float(np.float32(0.1)), float(np.float32(0.3))
    assert scale_ratio([a], b, "tflm") == a / b
    assert scale_ratio([a], b, "litert") == float(np.float32(a) / np.float32(b)) != a / b


@pytest.mark.parametrize(
    ("lo", "hi", "limits"),
    [
        (0.0, math.inf, (3, 127)),
        (0.0, 6.0, (3, 63)),
        (-1.0, 1.0, (-7, 13)),
        (-math.inf, math.inf, (-128, 127)),
        (-100.0, 100.0, (-128, 127)),
    ],
)
def test_clamp_limits(lo: float, hi: float, limits: tuple[int, int]) -> None:
    assert clamp_limits(lo, hi, q8(0.1, 3)) == limits


def test_clamp_limits_of_extreme_scales() -> None:
    assert clamp_limits(-1.0, 6.0, q8(1e-45, -128)) == (-128, 127)
    assert clamp_limits(-1.0, 6.0, q8(3e38, 5)) == (5, 5)


def knife_edges() -> list[float]:
    """Scales for which 6 / scale is nearly half an integer, so that float32 and double precision round apart."""
    found = []
    for n in range(120):
        scale = np.float32(6 / (n + 0.5))
        for candidate in (np.nextafter(scale, np.float32(0)), scale, np.nextafter(scale, np.float32(9))):
            narrow, wide = float(np.float32(6) / candidate), 6 / float(candidate)
            if round_half_away(narrow) != round_half_away(wide):
                found.append(float(candidate))
    return found


def test_limits_are_rounded_in_float32() -> None:
    """TFLite Micro and LiteRT agree with `clamp_limits` where double precision would give another limit."""
    scales = knife_edges()
    assert len(scales) > 10
    for scale in scales:
        b = TFLiteBuilder()
        x, y = b.input((1, 16, 16, 1), Quant(scale, -10)), b.tensor((1, 16, 16, 1), Quant(scale, -10))
        options = {"strideH": 1, "strideW": 1, "filterHeight": 1, "filterWidth": 1}
        b.op("MAX_POOL_2D", [x], [y], fusedActivationFunction=3, **options)
        check(b.build([y]), [ALL_INT8.reshape(1, 16, 16, 1)])
