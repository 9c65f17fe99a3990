"""Convolution, depthwise convolution and dense layers.

Layouts: x is N,H,W,C; convolution weights O,H,W,I; depthwise weights H,W,O with O = C * multiplier; dense x is N,I and
weights O,I. `pad` is ((top, bottom), (left, right)). Integer forms multiply exactly: products are summed in float64,
which holds every integer below 2^53, because NumPy's integer matrix product is slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[int, int]


def output_extent(size: int, kernel: int, stride: int, dilation: int, pad: Pair) -> int:
    """How many windows fit."""
    return (size + sum(pad) - (kernel - 1) * dilation - 1) // stride + 1


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair, pad: tuple[Pair, Pair], pad_value: float) -> Array:
    """N,H,W,C to the windows N,HO,WO,KH,KW,C (a view of the padded input)."""
    padded = np.pad(x, ((0, 0), *pad, (0, 0)), constant_values=pad_value)
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def conv2d(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    pad: tuple[Pair, Pair],
    dilation: Pair = (1, 1),
    pad_value: int = 0,
    first_channel: int = 0,
) -> Array:
    """Integer convolution to int32 accumulators; padding reads as `pad_value`. `x` may have more channels, before and
    behind those that `w` meets."""
    x = x[..., first_channel : first_channel + w.shape[3]]
    patches = windows(x, (w.shape[1], w.shape[2]), stride, dilation, pad, pad_value)
    columns = patches.reshape(*patches.shape[:3], -1).astype(np.float64)
    acc = (columns @ w.reshape(w.shape[0], -1).astype(np.float64).T).astype(np.int64)
    return _with_bias(acc, bias)


def depthwise_conv2d(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    pad: tuple[Pair, Pair],
    dilation: Pair = (1, 1),
    pad_value: int = 0,
) -> Array:
    """Integer convolution of each channel with its own filters: output c * multiplier + m comes from input c."""
    multiplier = w.shape[2] // x.shape[3]
    patches = windows(x, (w.shape[0], w.shape[1]), stride, dilation, pad, pad_value)
    acc = np.zeros((*patches.shape[:3], w.shape[2]), np.int64)
    for kh in range(w.shape[0]):
        for kw in range(w.shape[1]):
            tap = np.repeat(patches[:, :, :, kh, kw, :], multiplier, axis=3)
            acc += tap.astype(np.int64) * w[kh, kw]
    return _with_bias(acc, bias)


def dense(x: Array, w: Array, bias: Array | None = None, *, first_channel: int = 0) -> Array:
    """Integer x @ w.T + bias to int32 accumulators. `x` may have more columns, before and behind."""
    x = x[:, first_channel : first_channel + w.shape[1]]
    acc = (x.astype(np.float64) @ w.astype(np.float64).T).astype(np.int64)
    return _with_bias(acc, bias)


def _with_bias(acc: Array, bias: Array | None) -> Array:
    return (acc if bias is None else acc + bias.astype(np.int64)).astype(np.int32)


def conv2d_float(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    pad: tuple[Pair, Pair],
    dilation: Pair = (1, 1),
    first_channel: int = 0,
) -> Array:
    """float32 convolution; the taps are added one by one in the order kh, kw, i, then the bias. `x` may have more
    channels than the weights, before and behind."""
    x = x[..., first_channel : first_channel + w.shape[3]]
    patches = windows(x, (w.shape[1], w.shape[2]), stride, dilation, pad, 0.0)
    acc = np.zeros((*patches.shape[:3], w.shape[0]), np.float32)
    for kh in range(w.shape[1]):
        for kw in range(w.shape[2]):
            for i in range(w.shape[3]):
                acc += patches[:, :, :, kh, kw, i, None] * w[:, kh, kw, i]
    return acc if bias is None else acc + bias


def depthwise_conv2d_float(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    pad: tuple[Pair, Pair],
    dilation: Pair = (1, 1),
) -> Array:
    """float32 depthwise convolution; the taps are added one by one in the order kh, kw, then the bias."""
    multiplier = w.shape[2] // x.shape[3]
    patches = windows(x, (w.shape[0], w.shape[1]), stride, dilation, pad, 0.0)
    acc = np.zeros((*patches.shape[:3], w.shape[2]), np.float32)
    for kh in range(w.shape[0]):
        for kw in range(w.shape[1]):
            acc += np.repeat(patches[:, :, :, kh, kw, :], multiplier, axis=3) * w[kh, kw]
    return acc if bias is None else acc + bias


def dense_float(x: Array, w: Array, bias: Array | None = None, *, first_channel: int = 0) -> Array:
    """float32 x @ w.T + bias, the products added one by one. `x` may have more columns, before and behind."""
    acc = np.zeros((x.shape[0], w.shape[0]), np.float32)
    for i in range(w.shape[1]):
        acc += x[:, first_channel + i, None] * w[:, i]
    return acc if bias is None else acc + bias


def fold_zero_point(w: Array, bias: Array | None = None, *, zero_point: int, axis: int) -> Array:
    """bias - zero_point * (sum of w along all axes but one)."""
    rows = np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1).sum(axis=1, dtype=np.int32)
    start = np.zeros(w.shape[axis], np.int32) if bias is None else bias
    return np.asarray(start - np.int32(zero_point) * rows)
