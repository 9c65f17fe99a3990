"""What schedules may spend: scratch in RAM and code in flash, for cycles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["size", "balanced", "speed"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Policy:
    """Limits of the built-in schedules.

    `tile_bytes` of scratch hold the widened pixels of a 1x1 convolution, `plane_bytes` those of a depthwise one.
    `pixels` stand in a register block beside two channels. Loops over up to `written_words` words of weights are
    written out, in 1x1 convolutions of several pixels up to `written_depth`, windows of up to `written_sums` summing
    instructions too. With `widen_rows` a dense layer that reads its input more than once widens it once, in scratch;
    without, as often as it reads it. With `wide_taps` the weights of small depthwise windows lie in flash as pairs of
    int16; others, as pairs of int8, which take half of that and are unpacked when they are used. A window of up to
    `written_taps` is written out there, of a larger one a row, for `outputs` side by side: an even number, so that
    blocks begin at aligned words whatever the stride. With `wide_weights` dense layers and convolutions keep the
    weights of pairs of channels as int16, twice the flash for no unpacking.
    """

    tile_bytes: int
    plane_bytes: int
    pixels: int
    written_words: int
    written_depth: int
    written_sums: int
    widen_rows: bool
    wide_taps: bool
    written_taps: int
    outputs: int
    wide_weights: bool = False


POLICIES: dict[Level, Policy] = {
    "size": Policy(1024, 2048, 2, 1, 1, 0, False, False, 0, 2),
    "balanced": Policy(2048, 4096, 3, 8, 8, 128, False, False, 25, 4),
    "speed": Policy(2048, 4096, 3, 8, 16, 128, True, True, 25, 4),
}
