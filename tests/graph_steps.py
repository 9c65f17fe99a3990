"""One function for each operator of the random models: it adds the operator where one fits, else it does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.graph_maker import GraphMaker, Known
from tests.tflite_builder import Quant


def _extent(size: int, kernel: int, stride: int, dilation: int, valid: int) -> int:
    return (size - (kernel - 1) * dilation - 1) // stride + 1 if valid else -(-size // stride)


def _window(m: GraphMaker, x: Known, dilated: bool) -> tuple[tuple[int, int], tuple[int, int], dict[str, int]]:
    """A window that fits: its extents, the extents of the result, and the options."""
    kernel = [m.choose.integer(1, 3) for _ in range(2)]
    stride = [m.choose.integer(1, 3) for _ in range(2)]
    dilation = [m.choose.integer(1, 2) if dilated and max(stride) == 1 else 1 for _ in range(2)]
    valid = m.choose.integer(0, 1)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if spans[0] > x.shape[1] or spans[1] > x.shape[2]:
        valid = 0
    h, w = (_extent(x.shape[1 + i], kernel[i], stride[i], dilation[i], valid) for i in range(2))
    options = {"padding": valid, "strideH": stride[0], "strideW": stride[1]}
    if dilated:
        options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return (kernel[0], kernel[1]), (h, w), options


def _scalar(quant: Quant | None) -> float:
    assert quant is not None and isinstance(quant.scale, float)
    return quant.scale


def _weights(m: GraphMaker, x: Known, shape: tuple[int, ...], axis: int, taps: int) -> tuple[list[int], Quant | None]:
    """Weights and a bias, and the type of a result that they do not saturate all over."""
    channels = shape[axis]
    if not m.quantized:
        return [m.b.const(m.data(shape)), m.b.const(m.data((channels,)))], None
    per_channel = m.flag()
    scales = [m.scale(0.02) for _ in range(channels)] if per_channel else [m.scale(0.02)]
    w = m.b.const(m.data(shape), Quant(scales, 0, axis))
    bias = m.rng.integers(-2000, 2000, channels).astype(np.int32)
    sums = Quant([_scalar(x.quant) * s for s in scales], 0)
    about = _scalar(x.quant) * float(np.mean(scales)) * 73 * 73 * taps**0.5 / 100
    return [w, m.b.const(bias, sums)], m.quant(about)


def _conv2d(m: GraphMaker) -> None:
    x = m.image()
    if x is None:
        return
    kernel, extents, options = _window(m, x, dilated=True)
    channels = m.choose.integer(1, 6)
    weights, quant = _weights(m, x, (channels, *kernel, x.shape[3]), 0, kernel[0] * kernel[1] * x.shape[3])
    y = m.result((x.shape[0], *extents, channels), quant)
    m.op("CONV_2D", [x, *weights], y, fusedActivationFunction=m.choose.integer(0, 3), **options)


def _depthwise_conv2d(m: GraphMaker) -> None:
    x = m.image()
    if x is None or x.shape[3] > 8:
        return
    kernel, extents, options = _window(m, x, dilated=True)
    multiplier = m.choose.integer(1, 3)
    channels = x.shape[3] * multiplier
    weights, quant = _weights(m, x, (1, *kernel, channels), 3, kernel[0] * kernel[1])
    y = m.result((x.shape[0], *extents, channels), quant)
    fused = m.choose.integer(0, 3)
    m.op("DEPTHWISE_CONV_2D", [x, *weights], y, depthMultiplier=multiplier, fusedActivationFunction=fused, **options)


def _fully_connected(m: GraphMaker) -> None:
    x = m.tensor()
    if not x.shape:
        return
    rows, channels = int(np.prod(x.shape[:-1])), m.choose.integer(1, 6)
    weights, quant = _weights(m, x, (channels, x.shape[-1]), 0, x.shape[-1])
    keep = m.flag()
    y = m.result((*x.shape[:-1], channels) if keep else (rows, channels), quant)
    given: list[int | Known] = [x, *weights] if m.flag() else [x, weights[0], -1]
    m.op("FULLY_CONNECTED", given, y, keepNumDims=keep, fusedActivationFunction=m.choose.integer(0, 3))


def _binary(m: GraphMaker) -> None:
    kind = m.pick(("ADD", "SUB", "MUL"))
    x = m.tensor()
    same = [known for known in m.known if known.shape == x.shape]
    if m.flag():
        other = m.pick(same)
    else:
        shape = tuple(n if m.flag() else 1 for n in x.shape)[m.choose.integer(0, len(x.shape)) :]
        quant = m.quant(0.05)
        other = Known(m.b.const(m.data(shape), quant), shape, quant)
    about = 1.0
    if m.quantized:
        a, b = _scalar(x.quant), _scalar(other.quant)
        about = a * b * 73 if kind == "MUL" else max(a, b)
    operands = [x, other] if m.flag() else [other, x]
    m.op(kind, operands, m.result(x.shape, m.quant(about)), fusedActivationFunction=m.choose.integer(0, 3))


def _pool(m: GraphMaker) -> None:
    x = m.image()
    if x is None:
        return
    kernel, extents, options = _window(m, x, dilated=False)
    y = m.result((x.shape[0], *extents, x.shape[3]), x.quant)
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
    kind = m.pick(("AVERAGE_POOL_2D", "MAX_POOL_2D"))
    m.op(kind, [x], y, fusedActivationFunction=m.choose.integer(0, 3), **options)


def _mean(m: GraphMaker) -> None:
    x = m.tensor()
    axes = [i for i in range(len(x.shape)) if m.flag()] or [len(x.shape) - 1]
    keep = m.flag()
    if not x.shape or (not keep and len(axes) == len(x.shape)):
        return
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
    signed = [axis - len(x.shape) if m.flag() else axis for axis in axes]
    about = _scalar(x.quant) if m.quantized else 1.0
    m.op("MEAN", [x, m.b.ints(*signed)], m.result(shape, m.quant(about)), keepDims=keep)


def _activation(m: GraphMaker) -> None:
    _unary(m, m.pick(("RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH", "SOFTMAX", "REQUANTIZE")))


FIXED = {"LOGISTIC": Quant(1 / 256, -128), "SOFTMAX": Quant(1 / 256, -128), "TANH": Quant(1 / 128, 0)}
"""The types of results that the kernels insist on."""


def _unary(m: GraphMaker, kind: str) -> None:
    x = m.tensor()
    if kind == "REQUANTIZE":
        if not m.quantized:
            return
        kind = "QUANTIZE"
    if kind == "SOFTMAX" and not x.shape:
        return
    options: dict[str, Any] = {}
    if kind == "LEAKY_RELU":
        options = {"alpha": m.choose.integer(-16, 24) / 16}
    if kind == "SOFTMAX":
        options = {"beta": m.pick((1.0, 0.5, 2.0))}
    quant = None
    if m.quantized:
        quant = FIXED.get(kind) or m.quant(_scalar(x.quant))
    m.op(kind, [x], m.result(x.shape, quant), **options)


def _reshape(m: GraphMaker) -> None:
    x = m.tensor()
    kind = m.pick(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"))
    if kind == "SQUEEZE":
        if 1 not in x.shape:
            return
        axis = x.shape.index(1)
        m.op(kind, [x], m.result((*x.shape[:axis], *x.shape[axis + 1 :]), x.quant), squeezeDims=[axis])
    elif kind == "EXPAND_DIMS" and len(x.shape) < 4:
        axis = m.choose.integer(0, len(x.shape))
        m.op(kind, [x, m.b.ints(axis)], m.result((*x.shape[:axis], 1, *x.shape[axis:]), x.quant))
    elif kind == "RESHAPE":
        n = int(np.prod(x.shape))
        shape = m.pick([(n,), (1, n), (1, 1, n, 1), x.shape[::-1]])
        m.op(kind, [x, m.b.ints(*shape)], m.result(shape, x.quant), newShape=list(shape))


def _pad(m: GraphMaker) -> None:
    x = m.tensor()
    if not 1 <= len(x.shape) <= 4:
        return
    margins = np.array([[m.choose.integer(0, 2) for _ in range(2)] for _ in x.shape], np.int32)
    shape = [n + int(pair.sum()) for n, pair in zip(x.shape, margins, strict=True)]
    m.op("PAD", [x, m.b.const(margins)], m.result(shape, x.quant))


def _transpose(m: GraphMaker) -> None:
    x = m.tensor()
    if not x.shape:
        return
    perm = list(range(len(x.shape)))
    for i in range(len(perm) - 1, 0, -1):
        j = m.choose.integer(0, i)
        perm[i], perm[j] = perm[j], perm[i]
    m.op("TRANSPOSE", [x, m.b.ints(*perm)], m.result([x.shape[p] for p in perm], x.quant))


def _concatenation(m: GraphMaker) -> None:
    x = m.tensor()
    if not x.shape:
        return
    others = [k for k in m.known if k.quant == x.quant and len(k.shape) == len(x.shape)]
    axis = m.choose.integer(0, len(x.shape) - 1)
    fitting = [k for k in others if k.shape[:axis] + k.shape[axis + 1 :] == x.shape[:axis] + x.shape[axis + 1 :]]
    parts = [m.pick(fitting) for _ in range(m.choose.integer(1, 3))]
    shape = list(x.shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    given = axis - len(shape) if m.flag() else axis
    m.op("CONCATENATION", parts, m.result(shape, x.quant), axis=given)


def _split(m: GraphMaker) -> None:
    x = m.tensor()
    axes = [(axis, parts) for axis, n in enumerate(x.shape) for parts in (2, 3) if n % parts == 0]
    if not axes:
        return
    axis, parts = m.pick(axes)
    shape = [n // parts if i == axis else n for i, n in enumerate(x.shape)]
    results = [m.result(shape, x.quant) for _ in range(parts)]
    m.op("SPLIT", [m.b.ints(axis - len(shape) if m.flag() else axis), x], results, numSplits=parts)


def _strided_slice(m: GraphMaker) -> None:
    x = m.tensor()
    if not 1 <= len(x.shape) <= 4:
        return
    begin, end, stride, shape = [], [], [], []
    masks = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0}
    for axis, n in enumerate(x.shape):
        step = m.pick((1, 1, 2, -1, -2))
        first, last = sorted(m.choose.integer(0, n) for _ in range(2))
        if step < 0:
            first, last = last - 1, first - 1
        if m.flag():
            masks["beginMask"] |= 1 << axis
            first = n - 1 if step < 0 else 0
        if m.flag() or last < 0:
            masks["endMask"] |= 1 << axis
            last = -1 if step < 0 else n
        if not range(first, last, step):
            first, last, step = 0, n, 1
        begin.append(first - n if m.flag() and first < n else first)
        end.append(last - n if 0 <= last < n and m.flag() else max(last, 0))
        if not m.choose.integer(0, 3) and step > 0:
            masks["shrinkAxisMask"] |= 1 << axis
        else:
            shape.append(len(range(first, last, step)))
        stride.append(step)
    if not shape:
        return
    operands: list[int | Known] = [x, m.b.ints(*begin), m.b.ints(*end), m.b.ints(*stride)]
    m.op("STRIDED_SLICE", operands, m.result(shape, x.quant), **masks)


def _resize(m: GraphMaker) -> None:
    x = m.image()
    if x is None:
        return
    size = (m.choose.integer(1, 9), m.choose.integer(1, 9))
    corners = m.flag()
    options = {"alignCorners": corners, "halfPixelCenters": not corners and m.flag()}
    y = m.result((x.shape[0], *size, x.shape[3]), x.quant)
    m.op("RESIZE_NEAREST_NEIGHBOR", [x, m.b.ints(*size)], y, **options)


def _through_float(m: GraphMaker) -> None:
    """QUANTIZE and DEQUANTIZE in the middle of an int8 model."""
    x = m.tensor()
    if not m.quantized:
        return
    real = Known(m.b.tensor(x.shape), x.shape, None)
    m.op("DEQUANTIZE", [x], real)
    m.op("QUANTIZE", [real], m.result(x.shape, m.quant(_scalar(x.quant))))


STEPS: tuple[Callable[[GraphMaker], None], ...] = (
    _conv2d,
    _conv2d,
    _depthwise_conv2d,
    _depthwise_conv2d,
    _fully_connected,
    _binary,
    _binary,
    _pool,
    _mean,
    _activation,
    _activation,
    _reshape,
    _pad,
    _transpose,
    _concatenation,
    _split,
    _strided_slice,
    _resize,
    _through_float,
)
