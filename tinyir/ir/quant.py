"""Scales to fixed point, and what follows from zero points: the arithmetic of quantisation at compile time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tinyir.ir.types import QType

Multiplier = tuple[int, int]
"""A Q31 mantissa and an exponent."""


def round_half_away(x: float) -> int:
    """The nearest integer, ties away from zero: TfLiteRound."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def quantize_multiplier(real: float) -> Multiplier:
    """A positive real factor as (Q31 mantissa, exponent): real = mantissa / 2^31 * 2^exponent.

    Source: TFLite `QuantizeMultiplier` (kernels/internal/quantization_util.cc). Factors below 2^-32 become 0.
    """
    if real == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    mantissa = round_half_away(fraction * (1 << 31))
    if mantissa == 1 << 31:
        mantissa //= 2
        exponent += 1
    if exponent < -31:
        return 0, 0
    return mantissa, exponent


def scale_ratio(numerators: Sequence[float], denominator: float, numerics: str) -> float:
    """The product of `numerators` over `denominator`: TFLite Micro computes it in double precision, the kernels of
    LiteRT that ask for this function in float32, from left to right."""
    if numerics == "litert":
        with np.errstate(over="ignore", under="ignore"):
            return float(np.prod(np.array(numerators, np.float32), dtype=np.float32) / np.float32(denominator))
    return math.prod(numerators) / denominator


@lru_cache(maxsize=256)  # the verifier asks again after each pass
def contraction_multipliers(x: QType, w: QType, y: QType) -> tuple[Multiplier, ...]:
    """s_x * s_w / s_y for each scale of the weights, in double precision (PopulateConvolutionQuantizationParams in
    TFLite's kernels/kernel_util.cc)."""
    return tuple(quantize_multiplier(x.scale * scale / y.scale) for scale in w.scales)


ADD_LEFT_SHIFT = 20
"""Bits of headroom that ADD and SUB of int8 gain before they rescale."""


def sum_multipliers(a: QType, b: QType, y: QType) -> tuple[Multiplier, Multiplier, Multiplier]:
    """The factors of ADD and SUB: of a and of b on the way to twice the larger scale, and from there to y, in double
    precision (kernels/add_common.cc)."""
    common = 2 * max(a.scale, b.scale)
    last = common / ((1 << ADD_LEFT_SHIFT) * y.scale)
    return quantize_multiplier(a.scale / common), quantize_multiplier(b.scale / common), quantize_multiplier(last)


def mean_multiplier(x: QType, y: QType, count: int) -> Multiplier:
    """s_x / s_y / count: the division is made in the mantissa (QuantizedMeanOrSum, `reference/reduce.h`)."""
    mantissa, exponent = quantize_multiplier(x.scale / y.scale)
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return (mantissa << shift) // count, exponent - shift


def clamp_limits(lo: float, hi: float, q: QType) -> tuple[int, int]:
    """The real interval [lo, hi] as limits of the stored integers (CalculateActivationRangeQuantized in
    kernels/kernel_util.cc, which divides in float32)."""
    return _limit(lo, q), _limit(hi, q)


def _limit(real: float, q: QType) -> int:
    least, most = q.storage.limits
    with np.errstate(over="ignore"):
        quotient = float(np.float32(real) / np.float32(q.scale))
    if math.isinf(quotient):
        return least if quotient < 0 else most
    return max(least, min(most, q.zero_point + round_half_away(quotient)))


def per_axis_values(values: Sequence[int], count: int) -> list[int]:
    """One value for each of `count` indices, from one for all or one for each."""
    return list(values) if len(values) == count else [values[0]] * count
