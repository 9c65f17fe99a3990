"""From the pixels of an image back to the windows that read them.

With a stride of s only every s-th window along an axis has a tap on a pixel, and which taps those are depends on the
pixel's place modulo s: each such phase is a nest of its own, without a test for divisibility.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tinyir.ir.types import TensorType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.lower.context import Lowering, Point, ordered

Loops = list[tuple[str, int]]


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `size` pixels, of which `before` margins are none, read by windows of `kernel` taps."""

    size: int
    windows: int
    kernel: int
    stride: int
    dilation: int
    before: int


@dataclass(frozen=True)
class _Phase:
    """The pixels `first`, `first + step`, ... of one axis, `count` of them; the taps `tap`, `tap + tap_step`, ...,
    `taps` of them, that windows read them with; and which windows: `window` for the first pixel and the first tap, less
    `window_step` for each tap, plus one for each pixel."""

    first: int
    step: int
    count: int
    tap: int
    tap_step: int
    taps: int
    window: int
    window_step: int


@dataclass(frozen=True)
class PixelNest:
    """The nest of one pair of phases: `point` of the image inside `loops`; inside `taps` the tap (`kh`, `kw`) with
    which the window (`p`, `q`) reads it, where the `guards` hold. `read` is False where none does."""

    point: Point
    loops: Loops
    channel: Affine
    batch: Affine
    kh: Affine
    kw: Affine
    p: Affine
    q: Affine
    taps: Loops
    guards: tuple[Guard, ...]
    read: bool


def _phases(axis: Axis) -> list[_Phase]:
    """A pixel at h is read by the window p with the tap k where p * stride + k * dilation - before = h."""
    common = math.gcd(axis.stride, axis.dilation)
    tap_step, window_step = axis.stride // common, axis.dilation // common
    phases = []
    for first in range(min(axis.stride, axis.size)):
        place = first + axis.before
        fits = [k for k in range(min(tap_step, axis.kernel)) if (place - k * axis.dilation) % axis.stride == 0]
        tap = fits[0] if fits else 0
        taps = -(-(axis.kernel - tap) // tap_step) if fits else 0
        count = -(-(axis.size - first) // axis.stride)
        window = (place - tap * axis.dilation) // axis.stride
        phases.append(_Phase(first, axis.stride, count, tap, tap_step, taps, window, window_step))
    return phases


def pixel_nests(
    low: Lowering, image: TensorType, rows: Axis, columns: Axis, flipped: bool = False
) -> Iterator[PixelNest]:
    """Nests that together run over every element of `image` once. With `flipped` taps run from the last to the first,
    so that windows are read in the order of memory, as a convolution reads its input."""
    for row in _phases(rows):
        for column in _phases(columns):
            yield _pixel_nest(low, image, (rows, row), (columns, column), flipped)


def _pixel_nest(
    low: Lowering, image: TensorType, rows: tuple[Axis, _Phase], columns: tuple[Axis, _Phase], flipped: bool
) -> PixelNest:
    batch, batch_loop = low.axis("n", image.size("N"))
    channel, channel_loop = low.axis("c", image.size("C"))
    h, row_loop = low.axis("h", rows[1].count)
    w, column_loop = low.axis("w", columns[1].count)
    by_letter = {"N": batch_loop, "H": row_loop, "W": column_loop, "C": channel_loop}
    loops = [loop for letter in image.layout for loop in by_letter[letter]]
    place = {"N": batch, "H": _pixel(rows[1], h), "W": _pixel(columns[1], w), "C": channel}
    read = rows[1].taps > 0 and columns[1].taps > 0
    kh, p, kh_loop = _window(low, rows[1], "kh", h, flipped) if read else (Affine(), Affine(), [])
    kw, q, kw_loop = _window(low, columns[1], "kw", w, flipped) if read else (Affine(), Affine(), [])
    taps = [*kh_loop, *kw_loop]
    extents = dict([*loops, *taps])
    inside = (Guard(p, rows[0].windows), Guard(q, columns[0].windows))
    guards = tuple(guard for guard in inside if not guard.decide(extents))
    return PixelNest(ordered(image, place), loops, channel, batch, kh, kw, p, q, taps, guards, read)


def _pixel(phase: _Phase, number: Affine) -> Affine:
    return number * phase.step + phase.first


def _window(low: Lowering, phase: _Phase, hint: str, pixel: Affine, flipped: bool) -> tuple[Affine, Affine, Loops]:
    """A tap of the phase, the window that reads the pixel with the number `pixel` with it, and the loop over taps."""
    number, loop = low.axis(hint, phase.taps)
    number = number * -1 + (phase.taps - 1) if flipped else number
    window = pixel - number * phase.window_step + phase.window
    return number * phase.tap_step + phase.tap, window, loop
