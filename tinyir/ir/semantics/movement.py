"""Ops that only move elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def identity(x: Array) -> Array:
    """The operand itself."""
    return x


def reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements in row-major order under another shape."""
    return x.reshape(shape)


def transpose(x: Array, *, perm: tuple[int, ...]) -> Array:
    """Axis i of the result is axis perm[i] of `x`."""
    return np.asarray(x.transpose(perm), order="C")


def pad(x: Array, *, pads: tuple[tuple[int, int], ...], value: float) -> Array:
    """Margins of `value` around `x`."""
    return np.pad(x, pads, constant_values=x.dtype.type(value))


def slice(x: Array, *, begin: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    """Elements begin + k * stride, k < size, of each axis."""
    for axis, (first, count, step) in enumerate(zip(begin, size, stride, strict=True)):
        x = np.take(x, np.arange(count) * step + first, axis=axis)
    return x


def concat(*xs: Array, axis: int) -> Array:
    """The operands one after the other."""
    return np.concatenate(xs, axis=axis)


def nearest_indices(n_in: int, n_out: int, *, align_corners: bool, half_pixel_centers: bool) -> list[int]:
    """The input index that each output index reads: GetNearestNeighbor in TFLite's resize_nearest_neighbor.h, in
    float32 as there."""
    corners = align_corners and n_out > 1
    scale = np.float32(n_in - 1) / np.float32(n_out - 1) if corners else np.float32(n_in) / np.float32(n_out)
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    indices = []
    for i in range(n_out):
        place = float((np.float32(i) + offset) * scale)
        index = math.floor(place + 0.5) if align_corners else math.floor(place)
        indices.append(max(0, min(index, n_in - 1)) if half_pixel_centers else min(index, n_in - 1))
    return indices


def resize_nearest(
    x: Array, *, size: tuple[int, int], align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """N,H,W,C resized to `size` by repeating or dropping rows and columns."""
    rows, columns = (
        nearest_indices(n_in, n_out, align_corners=align_corners, half_pixel_centers=half_pixel_centers)
        for n_in, n_out in zip(x.shape[1:3], size, strict=True)
    )
    return x[:, rows][:, :, columns]


def broadcast(x: Array, *, shape: tuple[int, ...]) -> Array:
    """x repeated to `shape`."""
    return np.broadcast_to(x, shape)
