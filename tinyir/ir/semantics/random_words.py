"""Random words by counter: each is a hash of the seed, the step, the draw and its index, so no order matters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def words(seed: int, step: int, salt: int, index: Array) -> Array:
    """32 bits for each index (u32), as i32: ended as MurmurHash3 ends (fmix32). `runtime/tinyir_random.h` is the C."""
    start = ((seed + 0x9E3779B9 * (step + 1)) ^ (salt * 0x85EBCA6B)) & 0xFFFFFFFF
    h = np.uint32(start) + index * np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return np.asarray(h.view(np.int32))


def random(state: Array, *, salt: int, shape: tuple[int, ...]) -> Array:
    """A word for each element; `state` is (seed, step)."""
    index = np.arange(math.prod(shape), dtype=np.uint32)
    return words(int(state[0]), int(state[1]), salt, index).reshape(shape)


def next_step(state: Array) -> Array:
    """(seed, step) -> (seed, step + 1), the step modulo 2^32."""
    return np.asarray(state + np.array([0, 1], np.int32))
