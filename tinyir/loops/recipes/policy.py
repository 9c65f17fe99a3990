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
    written out, windows of up to `written_sums` summing instructions too. With `widen_rows` a dense layer widens its
    input once, in scratch; without, as often as it reads it. A depthwise convolution makes `outputs` of a row together:
    an even number, so that blocks begin at aligned words whatever the stride. With `wide_weights` dense layers and
    convolutions keep the weights of pairs of channels as int16, twice the flash for no unpacking.
    """

    tile_bytes: int
    plane_bytes: int
    pixels: int
    written_words: int
    written_sums: int
    widen_rows: bool
    outputs: int = 4
    wide_weights: bool = False


POLICIES: dict[Level, Policy] = {
    "size": Policy(1024, 2048, 2, 1, 0, False),
    "balanced": Policy(2048, 4096, 3, 8, 128, False),
    "speed": Policy(2048, 4096, 3, 8, 128, True),
}
