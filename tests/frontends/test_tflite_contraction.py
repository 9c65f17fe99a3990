"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED against TFLite Micro and LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from tests.differential import ALL_INT8, Random, check
from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.ir.quant import quantize_multiplier
from tinyir.ir.semantics.fixedpoint import multiply_quantized

SAME, VALID = 0, 1
OPTIONS = ("int8", "float32")


def _extent(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    return (size - (kernel - 1) * dilation - 1) // stride + 1 if padding == VALID else -(-size // stride)


class _Layer:
    """Weights, scales and a bias of one random layer."""

    def __init__(self, r: Random, b: TFLiteBuilder, shape: tuple[int, ...], axis: int, taps: int) -> None:
        channels = shape[axis]
        scale = r.scale()
        per_channel = r.flag()
        scales = [r.scale(2**-10, 1.0) for _ in range(channels if per_channel else 1)]
        self.x = Quant(scale, r.zero_point()) if r.quantized else None
        self.operands = [b.const(r.data(*shape), Quant(scales, 0, axis) if r.quantized else None)]
        if r.quantized:
            bias = r.rng.integers(-3000, 3000, channels).astype(np.int32)
            self.operands.append(b.const(bias, Quant([scale * s for s in scales])))
        else:
            self.operands.append(b.const(r.data(channels)))
        about = scale * float(np.mean(scales)) * 73 * 73 * taps**0.5 / 100
        self.y = Quant(r.scale(about / 8, about * 4), r.zero_point()) if r.quantized else None


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("depthwise", [False, True], ids=["conv", "depthwise"])
def test_convolution(seed: int, kind: str, depthwise: bool) -> None:
    r = Random(seed, kind == "int8")
    n, h, w, c = (r.integer(1, most) for most in (2, 8, 8, 5))
    kernel, stride = (r.integer(1, 3), r.integer(1, 3)), (r.integer(1, 3), r.integer(1, 3))
    dilation = (r.integer(1, 2), r.integer(1, 2)) if max(stride) == 1 else (1, 1)
    fits = (kernel[0] - 1) * dilation[0] < h and (kernel[1] - 1) * dilation[1] < w
    padding = r.integer(0, 1) if fits else SAME
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1]}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    options |= {"fusedActivationFunction": r.integer(0, 3)}
    multiplier = r.integer(1, 3)
    channels = c * multiplier if depthwise else r.integer(1, 6)
    b = TFLiteBuilder()
    if depthwise:
        layer = _Layer(r, b, (1, *kernel, channels), 3, kernel[0] * kernel[1])
        options |= {"depthMultiplier": multiplier}
    else:
        layer = _Layer(r, b, (channels, *kernel, c), 0, kernel[0] * kernel[1] * c)
    x = b.input((n, h, w, c), layer.x)
    extents = (_extent((h, w)[i], kernel[i], stride[i], dilation[i], padding) for i in range(2))
    y = b.tensor((n, *extents, channels), layer.y)
    b.op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, *layer.operands], [y], **options)
    check(b.build([y]), [r.data(n, h, w, c)])


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("depthwise", [False, True], ids=["conv", "depthwise"])
def test_convolution_without_bias(kind: str, depthwise: bool) -> None:
    """LiteRT refuses it, TFLite Micro does not."""
    r = Random(7, kind == "int8")
    b = TFLiteBuilder()
    shape, axis = ((1, 3, 3, 4), 3) if depthwise else ((4, 3, 3, 4), 0)
    layer = _Layer(r, b, shape, axis, 9)
    x, y = b.input((1, 5, 5, 4), layer.x), b.tensor((1, 5, 5, 4), layer.y)
    options = {"depthMultiplier": 1} if depthwise else {}
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    b.op(name, [x, layer.operands[0]], [y], strideH=1, strideW=1, **options)
    check(b.build([y]), [r.data(1, 5, 5, 4)], ["tflm"])


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", OPTIONS)
def test_fully_connected(seed: int, kind: str) -> None:
    r = Random(seed, kind == "int8")
    rows, depth, channels = r.integer(1, 4), r.integer(1, 40), r.integer(1, 20)
    b = TFLiteBuilder()
    layer = _Layer(r, b, (channels, depth), 0, depth)
    shape = (rows, depth) if r.flag() else (1, rows, 1, depth)
    keep = r.flag()
    x = b.input(shape, layer.x)
    y = b.tensor((*shape[:-1], channels) if keep else (rows, channels), layer.y)
    operands = [[x, *layer.operands], [x, layer.operands[0], -1], [x, layer.operands[0]]][r.integer(0, 2)]
    b.op("FULLY_CONNECTED", operands, [y], keepNumDims=keep, fusedActivationFunction=r.integer(0, 3))
    check(b.build([y]), [r.data(*shape)])


def test_fully_connected_flattens_its_operand() -> None:
    """An image of 12 elements as 3 rows of 4."""
    r = Random(0)
    b = TFLiteBuilder()
    layer = _Layer(r, b, (5, 4), 0, 4)
    x, y = b.input((1, 3, 2, 2), layer.x), b.tensor((3, 5), layer.y)
    b.op("FULLY_CONNECTED", [x, *layer.operands], [y])
    check(b.build([y]), [r.data(1, 3, 2, 2)], ["tflm"])


def knife_edges(rounding: str) -> list[tuple[int, float, float, float]]:
    """A weight and three scales for which a factor made in float32 gives other results than one in double precision."""
    rng = np.random.default_rng(0)
    found: list[tuple[int, float, float, float]] = []
    while len(found) < 3:
        weight = int(rng.integers(90, 128))
        x, w = (float(np.float32(2.0**exponent)) for exponent in (rng.uniform(-6, 1), rng.uniform(-9, -3)))
        y = float(np.float32(x * w * weight * 2.0 ** rng.uniform(-1, 0.5)))
        sums = np.arange(256, dtype=np.int64) * weight
        narrow, wide = (quantize_multiplier(product / y) for product in (float(np.float32(x) * np.float32(w)), x * w))
        if (multiply_quantized(sums, *narrow, rounding) != multiply_quantized(sums, *wide, rounding))[:128].any():
            found.append((weight, x, w, y))
    return found


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_factors_are_made_in_double_precision(kind: str, numerics: str) -> None:
    rounding = "single" if (kind, numerics) == ("FULLY_CONNECTED", "litert") else "double"
    for weight, x_scale, w_scale, y_scale in knife_edges(rounding):
        b = TFLiteBuilder()
        dense = kind == "FULLY_CONNECTED"
        shape = (256, 1) if dense else (1, 16, 16, 1)
        x, y = b.input(shape, Quant(x_scale, -128)), b.tensor(shape, Quant(y_scale, -128))
        w = b.const(np.full((1, 1) if dense else (1, 1, 1, 1), weight, np.int8), Quant(w_scale))
        bias = b.const(np.zeros(1, np.int32), Quant(x_scale * w_scale))
        b.op(kind, [x, w, bias], [y], **({} if dense else {"strideH": 1, "strideW": 1}))
        check(b.build([y]), [ALL_INT8.reshape(shape)], [numerics])
