"""256-entry tables of int8 -> int8 functions, by exact emulation of the TFLite Micro or LiteRT kernel.

Entry i belongs to the stored integer i - 128. A table depends on the two quantised types and on attributes alone, so
one look-up on the device replaces the kernel whatever it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.quant import Multiplier, clamp_limits, quantize_multiplier, scale_ratio
from tinyir.ir.semantics.fixedpoint import multiply_quantized, rounding_shift_right
from tinyir.ir.semantics.gemmlowp import exp_of_negative, logistic, tanh
from tinyir.ir.types import QType

Array = npt.NDArray[Any]

STORED = np.arange(-128, 128, dtype=np.int64)


def _to_int8(values: Array) -> Array:
    return np.clip(values, -128, 127).astype(np.int8)


def _scaled(values: Array, multiplier: Multiplier) -> Array:
    return multiply_quantized(values, multiplier[0], multiplier[1])


# -- rescaling --------------------------------------------------------------------------------------------------------


def requantize_table(x: QType, y: QType) -> Array:
    """The same real number under another scale and zero point (Requantize in `reference/requantize.h`)."""
    return _to_int8(_scaled(STORED - x.zero_point, quantize_multiplier(x.scale / y.scale)) + y.zero_point)


def relu_table(x: QType, y: QType, lo: float, hi: float, numerics: str) -> Array:
    """Clamping to the reals lo..hi between two types (ReluQuantized in kernels/activations.h; QuantizedReluX in
    LiteRT's activations.cc).

    The RELU6 of TFLite Micro does not rescale: it clamps the stored integers by the type of x (Relu6Quantized).
    """
    if numerics == "tflm" and math.isfinite(hi) and lo == 0.0:
        return np.clip(STORED, *clamp_limits(lo, hi, x)).astype(np.int8)
    factor = quantize_multiplier(scale_ratio([x.scale], y.scale, numerics))
    values = _scaled(STORED - x.zero_point, factor) + y.zero_point
    return np.asarray(np.clip(values, *clamp_limits(lo, hi, y)).astype(np.int8))


def leaky_relu_multipliers(x: QType, y: QType, alpha: float, numerics: str) -> tuple[Multiplier, Multiplier]:
    """The factors of positive values, and, by their size, of negative ones (kernels/leaky_relu_common.cc)."""
    negative = quantize_multiplier(abs(scale_ratio([x.scale, alpha], y.scale, numerics)))
    return quantize_multiplier(scale_ratio([x.scale], y.scale, numerics)), negative


def leaky_relu_table(x: QType, y: QType, alpha: float, numerics: str) -> Array:
    """x, or alpha * x where x is negative (QuantizeLeakyRelu in `reference/leaky_relu.h`)."""
    above, below = leaky_relu_multipliers(x, y, alpha, numerics)
    values = STORED - x.zero_point
    negative = _scaled(values, below) * (-1 if alpha < 0 else 1)
    return _to_int8(np.where(values >= 0, _scaled(values, above), negative) + y.zero_point)


# -- logistic and tanh ------------------------------------------------------------------------------------------------

SIGMOID_INTEGER_BITS = 4
"""The arguments of logistic and tanh are Q4.27."""


def sigmoid_multiplier(x: QType) -> Multiplier:
    """The scale of `x` as a factor to Q4.27."""
    return quantize_multiplier(x.scale * (1 << (31 - SIGMOID_INTEGER_BITS)))


def input_radius(integer_bits: int, left_shift: int) -> int:
    """The largest stored distance whose scaled value fits the format (CalculateInputRadius, quantization_util.cc)."""
    return math.floor(((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) / (1 << left_shift))


def logistic_table(x: QType, y: QType, numerics: str) -> Array:
    """1 / (1 + exp(-x)): fixed point to scale 1/256, zero point -128 in TFLite Micro (Logistic in
    `reference/integer_ops/logistic.h`), a float table in LiteRT."""
    if numerics == "litert":
        return float_table(x, y, lambda v: np.float32(1) / (np.float32(1) + _libm(np.exp, -v)))
    return _sigmoid_table(x, lambda q: rounding_shift_right(logistic(q, SIGMOID_INTEGER_BITS), 31 - 8) - 128)


def tanh_table(x: QType, y: QType, numerics: str) -> Array:
    """tanh(x): fixed point to scale 1/128, zero point 0 in TFLite Micro (Tanh in `reference/integer_ops/tanh.h`), a
    float table in LiteRT."""
    if numerics == "litert":
        return float_table(x, y, lambda v: _libm(np.tanh, v))
    return _sigmoid_table(x, lambda q: rounding_shift_right(tanh(q, SIGMOID_INTEGER_BITS), 31 - 7))


def _sigmoid_table(x: QType, function: Callable[[Array], Array]) -> Array:
    multiplier = sigmoid_multiplier(x)
    radius = input_radius(SIGMOID_INTEGER_BITS, multiplier[1])
    values = STORED - x.zero_point
    inside = _to_int8(function(_scaled(np.where(np.abs(values) < radius, values, 0), multiplier)))
    return np.where(values <= -radius, np.int8(-128), np.where(values >= radius, np.int8(127), inside))


def float_table(x: QType, y: QType, function: Callable[[Array], Array]) -> Array:
    """`function` in float32 on dequantised values (LUTPopulateInt8 in `common.h`)."""
    with np.errstate(over="ignore"):
        real = np.float32(x.scale) * (STORED - x.zero_point).astype(np.float32)
        scaled = function(real) * (np.float32(1) / np.float32(y.scale))
    rounded = np.copysign(np.floor(np.abs(scaled.astype(np.float64)) + 0.5), scaled)
    return _to_int8(np.clip(rounded, -(2**30), 2**30) + y.zero_point)


def _libm(function: Callable[[Array], Array], v: Array) -> Array:
    """A float32 function of the C library, which rounds correctly but for rare cases: computed in float64."""
    with np.errstate(over="ignore"):
        return np.asarray(function(v.astype(np.float64)).astype(np.float32))


# -- hard swish -------------------------------------------------------------------------------------------------------


def hard_swish_table(x: QType, y: QType, numerics: str) -> Array:
    """x * clamp(x + 3, 0, 6) / 6 in 16-bit fixed point (HardSwish in `reference/hard_swish.h`)."""
    (output_factor, output_shift), (gate_factor, gate_shift) = hard_swish_multipliers(x, y, numerics)
    fine = (STORED - x.zero_point) << 7
    unshifted = _rounding_high_mul16(fine, output_factor)
    gate = _saturate16(fine << (gate_shift - 1)) if gate_shift > 0 else fine
    gate = _rounding_high_mul16(gate, gate_factor)
    if gate_shift > 0:
        gate = _saturate16(gate << 1)
    if gate_shift < 0:
        gate = _rounding_shift_right16(gate, -gate_shift)
    gate = (gate + (1 << 15)) >> 1
    product = np.sign(unshifted) * ((gate * np.abs(unshifted)) >> 15)
    return _to_int8(_rounding_shift_right16(product, -output_shift) + y.zero_point)


def hard_swish_multipliers(x: QType, y: QType, numerics: str) -> tuple[Multiplier, Multiplier]:
    """Q15 factors to the scale of y and to a scale on which 3.0 is 2^15 (HardSwishPrepare in
    kernels/hard_swish_common.cc)."""
    fine_scale = x.scale / 128
    output = quantize_multiplier(scale_ratio([fine_scale], y.scale, numerics))
    gate = quantize_multiplier(scale_ratio([fine_scale], 3 / 32768, numerics))
    return (_mantissa16(output[0]), output[1]), (_mantissa16(gate[0]), gate[1])


def _mantissa16(mantissa: int) -> int:
    return min((mantissa + (1 << 15)) >> 16, 32767)


def _saturate16(values: Array) -> Array:
    return np.asarray(np.clip(values, -(1 << 15), (1 << 15) - 1))


def _rounding_high_mul16(values: Array, factor: int) -> Array:
    return (values * factor + (1 << 14)) >> 15


def _rounding_shift_right16(values: Array, exponent: int) -> Array:
    """RoundingDivideByPOT on int16, whose mask wraps for exponents above 15."""
    if exponent <= 15:
        return rounding_shift_right(values, exponent)
    mask = int(np.array((1 << exponent) - 1).astype(np.int16))
    return (values >> exponent) + ((values & mask) > (mask >> 1) + (values < 0))


# -- softmax ----------------------------------------------------------------------------------------------------------

SOFTMAX_INTEGER_BITS = 5
"""The arguments of softmax's exp are Q5.26."""


def softmax_multiplier(x: QType, beta: float) -> Multiplier:
    """scale * beta as a factor to Q5.26 (PreprocessSoftmaxScaling, quantization_util.cc)."""
    return quantize_multiplier(min(beta * x.scale * (1 << (31 - SOFTMAX_INTEGER_BITS)), (1 << 31) - 1.0))


def exp_table(x: QType, beta: float) -> Array:
    """exp(-d * scale * beta) in Q0.31 for d = 0..255, and 0 for the distances that the kernel leaves out (Softmax in
    `reference/softmax.h`)."""
    multiplier = softmax_multiplier(x, beta)
    distance = np.arange(256, dtype=np.int64)
    taken = distance <= input_radius(SOFTMAX_INTEGER_BITS, multiplier[1])
    exps = exp_of_negative(_scaled(np.where(taken, -distance, 0), multiplier), SOFTMAX_INTEGER_BITS)
    return np.where(taken, exps, 0).astype(np.int32)
