"""Scales to fixed point, and what follows from zero points: the arithmetic of quantisation at compile time."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def float32_product(a: float, b: float) -> float:
    """a * b rounded to float32: some kernels multiply scales before they widen them."""
    return float(np.float32(a) * np.float32(b))


def float32_quotient(a: float, b: float) -> float:
    """a / b rounded to float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(a) / np.float32(b))


def convolution_multipliers(x: QType, w: QType, y: QType) -> list[Multiplier]:
    """s_x * s_w / s_y for each scale of the weights, in double precision (PopulateConvolutionQuantizationParams in
    TFLite's kernels/kernel_util.cc)."""
    return [quantize_multiplier(x.scale * scale / y.scale) for scale in w.scales]


def dense_multipliers(x: QType, w: QType, y: QType) -> list[Multiplier]:
    """As `convolution_multipliers`, but one scale for all the weights is multiplied by s_x in float32
    (GetQuantizedConvolutionMultipler, kernels/kernel_util.cc)."""
    if len(w.scales) > 1:
        return convolution_multipliers(x, w, y)
    return [quantize_multiplier(float32_product(x.scale, w.scales[0]) / y.scale)]


def product_multiplier(a: QType, b: QType, y: QType, numerics: str) -> Multiplier:
    """s_a * s_b / s_y: TFLite Micro computes it in double (kernels/mul_common.cc), LiteRT in float32 (mul.cc)."""
    if numerics == "litert":
        return quantize_multiplier(float32_quotient(float32_product(a.scale, b.scale), y.scale))
    return quantize_multiplier(a.scale * b.scale / y.scale)


ADD_LEFT_SHIFT = 20
"""Bits of headroom that ADD and SUB of int8 gain before they rescale."""


def sum_multipliers(a: QType, b: QType, y: QType, *, float32: bool) -> tuple[Multiplier, Multiplier, Multiplier]:
    """The factors of ADD and SUB: of a and of b on the way to the common scale, and from there to y.

    Sources: kernels/add_common.cc in double precision, kernels/sub_common.cc of TFLite Micro in `float32`.
    """
    common = 2 * max(a.scale, b.scale)
    divide = float32_quotient if float32 else lambda p, q: p / q
    last = divide(common, (1 << ADD_LEFT_SHIFT) * y.scale)
    factors = divide(a.scale, common), divide(b.scale, common), last
    first, second, third = (quantize_multiplier(factor) for factor in factors)
    return first, second, third


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
    quotient = float32_quotient(real, q.scale)
    if math.isinf(quotient):
        return least if quotient < 0 else most
    return max(least, min(most, q.zero_point + round_half_away(quotient)))


def per_axis_values(values: Sequence[int], count: int) -> list[int]:
    """One value for each of `count` indices, from one for all or one for each."""
    return list(values) if len(values) == count else [values[0]] * count
