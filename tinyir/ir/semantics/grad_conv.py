"""Gradients of convolutions in float32, or in int32 where g is of integers.

g and x are N,H,W,C, w is O,H,W,I or, for depthwise ones, H,W,O with O = C * multiplier. w and x may be int8. Products
are added one by one, in the order that each function names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .contraction import Pair, windows

Array = npt.NDArray[Any]
Pads = tuple[Pair, Pair]


def sum_type(g: Array) -> type[np.float32 | np.int32]:
    """What sums of products with the gradient `g` are kept in."""
    return np.float32 if g.dtype == np.float32 else np.int32


class Scattered:
    """An image that windows are added back to, tap by tap."""

    def __init__(
        self, shape: tuple[int, ...], count: Pair, stride: Pair, pad: Pads, dilation: Pair, dtype: type = np.float32
    ) -> None:
        batch, height, width, channels = shape
        self._inner = (slice(pad[0][0], pad[0][0] + height), slice(pad[1][0], pad[1][0] + width))
        self._image: Array = np.zeros((batch, height + sum(pad[0]), width + sum(pad[1]), channels), dtype)
        self._count, self._stride, self._dilation = count, stride, dilation

    def read_by(self, *tap: int) -> Array:
        """The elements that the windows read with the tap (kh, kw), as a view N,HO,WO,C."""
        first = [t * d for t, d in zip(tap, self._dilation, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, self._count, self._stride, strict=True)]
        rows, columns = (slice(f, e, s) for f, e, s in zip(first, last, self._stride, strict=True))
        return self._image[:, rows, columns]

    @property
    def inner(self) -> Array:
        """The image without its margins."""
        return np.ascontiguousarray(self._image[:, self._inner[0], self._inner[1]])


def conv2d_input_gradient(g: Array, w: Array, *, size: Pair, stride: Pair, pad: Pads, dilation: Pair) -> Array:
    """What a convolution hands back to its input, added over kh, kw, o."""
    dtype = sum_type(g)
    image = Scattered((g.shape[0], *size, w.shape[3]), (g.shape[1], g.shape[2]), stride, pad, dilation, dtype)
    g, weights = g.astype(dtype), w.astype(dtype)
    for kh in range(w.shape[1]):
        for kw in range(w.shape[2]):
            at = image.read_by(kh, kw)
            for o in range(w.shape[0]):
                at += g[:, :, :, o, None] * weights[o, kh, kw]
    return image.inner


def depthwise_input_gradient(
    g: Array, w: Array, *, size: Pair, channels: int, stride: Pair, pad: Pads, dilation: Pair
) -> Array:
    """What a depthwise convolution hands back to its input, added over kh, kw and the filters of a channel.

    Around g there are zeros, which are multiplied too: a weight that is not finite makes a NaN of them.
    """
    dtype = sum_type(g)
    beyond = [(k - 1) * d // s + 2 for k, d, s in zip(w.shape, dilation, stride, strict=False)]
    g = np.pad(g, ((0, 0), *((n, n) for n in beyond), (0, 0))).astype(dtype)
    rows, columns = ((a + n * s, b + n * s) for (a, b), n, s in zip(pad, beyond, stride, strict=True))
    count = (g.shape[1], g.shape[2])
    image = Scattered((g.shape[0], *size, channels), count, stride, (rows, columns), dilation, dtype)
    weights = w.astype(dtype)
    multiplier = w.shape[2] // channels
    for kh in range(w.shape[0]):
        for kw in range(w.shape[1]):
            at = image.read_by(kh, kw)
            for m in range(multiplier):
                at += g[:, :, :, m::multiplier] * weights[kh, kw, m::multiplier]
    return image.inner


def _patches(g: Array, x: Array, kernel: Pair, stride: Pair, pad: Pads, dilation: Pair, zero_point: int) -> Array:
    """The windows of x - zero_point in the type of sums, one for each pixel of g: N*HO*WO,KH,KW,C."""
    taken, dtype = windows(x, kernel, stride, dilation, pad, zero_point), sum_type(g)
    return (taken.astype(dtype) - dtype(zero_point)).reshape(-1, *kernel, x.shape[3])


def conv2d_weight_gradient(
    g: Array, x: Array, *, kernel: Pair, stride: Pair, pad: Pads, dilation: Pair, zero_point: int = 0
) -> Array:
    """What a convolution hands back to its weights: O,KH,KW,I, added pixel by pixel of g in the order of memory."""
    acc = np.zeros((g.shape[3], *kernel, x.shape[3]), sum_type(g))
    patches = _patches(g, x, kernel, stride, pad, dilation, zero_point)
    for pixel, patch in zip(g.astype(acc.dtype).reshape(-1, g.shape[3]), patches, strict=True):
        acc += pixel[:, None, None, None] * patch
    return acc


def depthwise_weight_gradient(
    g: Array, x: Array, *, kernel: Pair, stride: Pair, pad: Pads, dilation: Pair, zero_point: int = 0
) -> Array:
    """What a depthwise convolution hands back to its weights: KH,KW,O, added pixel by pixel of g in the order of
    memory."""
    acc = np.zeros((*kernel, g.shape[3]), sum_type(g))
    patches = _patches(g, x, kernel, stride, pad, dilation, zero_point)
    multiplier = g.shape[3] // x.shape[3]
    for pixel, patch in zip(g.astype(acc.dtype).reshape(-1, g.shape[3]), patches, strict=True):
        acc += pixel * np.repeat(patch, multiplier, axis=2)
    return acc
