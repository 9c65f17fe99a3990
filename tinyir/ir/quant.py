"""Scales to fixed point, and what follows from zero points: the arithmetic of quantisation at compile time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinyir.ir.types import QType


def round_half_away(x: float) -> int:
    """The nearest integer, ties away from zero: TfLiteRound."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def quantize_multiplier(real: float) -> tuple[int, int]:
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


def contraction_multipliers(x: QType, w: QType, y: QType) -> tuple[list[int], list[int]]:
    """Mantissas and exponents of s_x * s_w / s_y, one per scale of the weights, in double precision
    (PopulateConvolutionQuantizationParams in TFLite's kernels/kernel_util.cc)."""
    pairs = [quantize_multiplier(x.scale * scale / y.scale) for scale in w.scales]
    return [m for m, _ in pairs], [e for _, e in pairs]


def clamp_limits(lo: float, hi: float, q: QType) -> tuple[int, int]:
    """The real interval [lo, hi] as limits of the stored integers (CalculateActivationRangeQuantized)."""
    least, most = q.storage.limits
    low = least if math.isinf(lo) else max(least, q.zero_point + round_half_away(_float32_quotient(lo, q.scale)))
    high = most if math.isinf(hi) else min(most, q.zero_point + round_half_away(_float32_quotient(hi, q.scale)))
    return low, high


def _float32_quotient(real: float, scale: float) -> float:
    import numpy as np

    return float(np.float32(real) / np.float32(scale))


def per_axis_values(values: Sequence[int], count: int) -> list[int]:
    """One value for each of `count` indices, from one for all or one for each."""
    return list(values) if len(values) == count else [values[0]] * count
