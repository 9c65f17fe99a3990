"""Gradients of poolings and resizes in float32: N,H,W,C; terms are added in the order that each function names."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .contraction import Pair, windows
from .grad_conv import Pads, Scattered
from .movement import nearest_indices

Array = npt.NDArray[Any]


def max_pool_gradient(g: Array, x: Array, *, kernel: Pair, stride: Pair, pad: Pads) -> Array:
    """g handed to the first largest element of its window; added by the element's place in its windows, row by row."""
    taps = windows(x.astype(np.float32), kernel, stride, (1, 1), pad, -np.inf)
    best = np.full(g.shape, -np.inf, np.float32)
    first = np.full(g.shape, -1)
    image = Scattered(x.shape, (g.shape[1], g.shape[2]), stride, pad, (1, 1))
    for at in range(kernel[0] * kernel[1]):
        tap = taps[:, :, :, at // kernel[1], at % kernel[1]]
        first = np.where(tap > best, at, first)
        best = np.where(tap > best, tap, best)
    for at in range(kernel[0] * kernel[1]):
        view = image.read_by(at // kernel[1], at % kernel[1])
        view += np.where(first == at, g, np.float32(0))
    return image.inner


def window_sum(g: Array, *, size: Pair, kernel: Pair, stride: Pair, pad: Pads) -> Array:
    """g handed to every element of its window; added by the element's place in its windows, row by row."""
    image = Scattered((g.shape[0], *size, g.shape[3]), (g.shape[1], g.shape[2]), stride, pad, (1, 1))
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            view = image.read_by(kh, kw)
            view += g
    return image.inner


def resize_nearest_gradient(
    g: Array, *, size: Pair, align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """g handed to the element that was copied; added row by row."""
    dx = np.zeros((g.shape[0], *size, g.shape[3]), np.float32)
    rows, columns = (
        nearest_indices(n_in, n_out, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        for n_in, n_out in zip(size, g.shape[1:3], strict=True)
    )
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            dx[:, row, column] += g[:, i, j]
    return dx
