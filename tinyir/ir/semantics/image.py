"""Camera frames and images, all in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WEIGHT_BITS = 11
"""Bilinear weights count 1/2048, as OpenCV's: the sum of four products of a byte and two of them fits 31 bits."""

MATRIX_BITS = 14
"""Coordinates and matrices count 1/16384."""


def rgb565(x: Array, *, swap_bytes: bool = False) -> Array:
    """[..., 1] of i16, red in the upper five bits, to bytes [..., 3]: upper bits fill the lower ones."""
    word = x.astype(np.int32) & 0xFFFF
    if swap_bytes:
        word = (word >> 8) + ((word & 0xFF) << 8)
    red, green, blue = (word >> 11) & 31, (word >> 5) & 63, word & 31
    channels = [(red << 3) + (red >> 2), (green << 2) + (green >> 4), (blue << 3) + (blue >> 2)]
    return np.concatenate(channels, axis=-1).astype(np.uint8)


def byte_lookup(x: Array, table: Array) -> Array:
    """table[c, x] for channel c, the last axis of x; one row of the table serves every channel."""
    rows = np.arange(x.shape[-1]) if len(table) > 1 else 0
    return np.asarray(table[rows, x])


def bilinear_taps(n_in: int, n_out: int) -> tuple[Array, Array, Array]:
    """For each of `n_out` places along an axis of `n_in`: the elements before and behind it, and the weight of the
    latter in 1/2048. Place i lies at (i + 1/2) * n_in / n_out - 1/2, no further out than the outermost elements."""
    parts = 2 * n_out
    at = np.clip((2 * np.arange(n_out) + 1) * n_in - n_out, 0, (n_in - 1) * parts)
    before = at // parts
    weight = ((at - before * parts) * 2 ** (WEIGHT_BITS + 1) + parts) // (2 * parts)
    return before.astype(np.int32), np.minimum(before + 1, n_in - 1).astype(np.int32), weight.astype(np.int32)


def resize_bilinear(x: Array, *, size: tuple[int, int]) -> Array:
    """N,H,W,C of bytes resized to `size`: the weighted sum of the four elements around each place, rounded half up."""
    one = 1 << WEIGHT_BITS
    (top, bottom, down), (left, right, across) = (
        bilinear_taps(n_in, n_out) for n_in, n_out in zip(x.shape[1:3], size, strict=True)
    )
    wide = x.astype(np.int32)
    across, down = across[:, None], down[:, None, None]
    columns = wide[:, :, left] * (one - across) + wide[:, :, right] * across
    total = columns[:, top] * (one - down) + columns[:, bottom] * down
    return np.asarray(((total + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)).astype(x.dtype))


def affine_nearest(x: Array, m: Array) -> Array:
    """N,H,W,C: element (r, c) is that of x nearest to (m0 r + m1 c + m2, m3 r + m4 c + m5) / 2^14; beyond the edge it
    is that of the edge."""
    r = np.arange(x.shape[1], dtype=np.int32)[:, None]
    c = np.arange(x.shape[2], dtype=np.int32)
    half = np.int32(1 << (MATRIX_BITS - 1))
    row, column = ((m[k] * r + m[k + 1] * c + m[k + 2] + half) >> MATRIX_BITS for k in (0, 3))
    return np.asarray(x[:, row.clip(0, x.shape[1] - 1), column.clip(0, x.shape[2] - 1)])


def rotations(degrees: float) -> Array:
    """[2, 256]: cosines and sines, in 1/2^14, of angles evenly spread from -`degrees` to `degrees`."""
    angles = np.deg2rad(degrees) * (np.arange(256) - 127.5) / 127.5
    return np.round(np.stack([np.cos(angles), np.sin(angles)]) * 2.0**MATRIX_BITS).astype(np.int32)


def affine_matrix(
    words: Array,
    *,
    size: tuple[int, int],
    rotation: float = 0.0,
    shift: float = 0.0,
    shear: float = 0.0,
    zoom: float = 0.0,
    flip: bool = False,
) -> Array:
    """The matrix for `affine` that six random words choose: rotation, shear, zoom and flip about the centre of an image
    of `size`, then a shift. The products of numbers in 1/2^14 are cut off downwards."""
    u = words.astype(np.int32) >> 17  # -1 to 1 in 1/2^14
    cos, sin = rotations(rotation)[:, (u[0] >> 7) + 128]
    k = (u[1] * fixed(shear)) >> MATRIX_BITS
    zooms = (1 << MATRIX_BITS) + ((u[2:4] * fixed(zoom)) >> MATRIX_BITS)
    sign = 1 - 2 * (words[0] & 1) if flip else np.int32(1)
    sheared = [(cos - ((sin * k) >> MATRIX_BITS), -sin), (sin + ((cos * k) >> MATRIX_BITS), cos)]
    matrix = []
    for axis, (down, across) in enumerate(sheared):
        by_row = (down * zooms[0]) >> MATRIX_BITS
        by_column = ((across * zooms[1]) >> MATRIX_BITS) * sign
        moved = (u[4 + axis] * shift_step(shift, size[axis])) >> 8
        centre = (size[axis] - 1) << (MATRIX_BITS - 1)
        turned = (by_row * np.int32(size[0] - 1) + by_column * np.int32(size[1] - 1)) >> 1
        matrix += [by_row, by_column, centre - turned + moved]
    return np.array(matrix, np.int32)


def fixed(value: float) -> int:
    """`value` in 1/2^14."""
    return round(value * float(1 << MATRIX_BITS))


def shift_step(share: float, extent: int) -> int:
    """The longest shift along an axis, in 1/256 of an element."""
    return round(share * extent * 256)
