"""Convolutions and poolings in NumPy, from their definitions: images are N,H,W,C, in the precision of the operands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
NO_PADS: Pads = ((0, 0), (0, 0))


def _patches(x: Array, kernel: Pair, stride: Pair, pad: Pads, dilation: Pair, margin: float) -> Iterator[Array]:
    """The windows N,KH,KW,C, row by row."""
    padded = np.pad(x, ((0, 0), *pad, (0, 0)), constant_values=margin)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    for top in range(0, padded.shape[1] - spans[0] + 1, stride[0]):
        for left in range(0, padded.shape[2] - spans[1] + 1, stride[1]):
            yield padded[:, top : top + spans[0] : dilation[0], left : left + spans[1] : dilation[1]]


def _image(x: Array, pixels: list[Array], kernel: Pair, stride: Pair, pad: Pads, dilation: Pair) -> Array:
    width = (x.shape[2] + sum(pad[1]) - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    return np.stack(pixels, 1).reshape(x.shape[0], -1, width, pixels[0].shape[1])


def conv(x: Array, w: Array, c: Array, stride: Pair = (1, 1), pad: Pads = NO_PADS, dilation: Pair = (1, 1)) -> Array:
    """A convolution; w is O,KH,KW,I."""
    kernel = (w.shape[1], w.shape[2])
    patches = _patches(x, kernel, stride, pad, dilation, 0)
    return _image(x, [np.tensordot(p, w, ((1, 2, 3), (1, 2, 3))) + c for p in patches], kernel, stride, pad, dilation)


def depthwise(
    x: Array, w: Array, c: Array, stride: Pair = (1, 1), pad: Pads = NO_PADS, dilation: Pair = (1, 1)
) -> Array:
    """A depthwise convolution; w is KH,KW,O."""
    kernel, copies = (w.shape[0], w.shape[1]), w.shape[2] // x.shape[3]
    patches = _patches(x, kernel, stride, pad, dilation, 0)
    pixels = [(np.repeat(p, copies, 3) * w).sum((1, 2)) + c for p in patches]
    return _image(x, pixels, kernel, stride, pad, dilation)


def max_pool(x: Array, kernel: Pair, stride: Pair, pad: Pads = NO_PADS) -> Array:
    """The largest element of each window."""
    patches = _patches(x, kernel, stride, pad, (1, 1), -np.inf)
    return _image(x, [p.max((1, 2)) for p in patches], kernel, stride, pad, (1, 1))


def average_pool(x: Array, kernel: Pair, stride: Pair, pad: Pads = NO_PADS) -> Array:
    """The mean of the elements of each window that lie inside x."""
    patches = _patches(x, kernel, stride, pad, (1, 1), np.nan)
    return _image(x, [np.nanmean(p, (1, 2)) for p in patches], kernel, stride, pad, (1, 1))
