"""Softmax along the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .fixedpoint import doubling_high_mul, rounding_shift_right, wrap32
from .gemmlowp import reciprocal_of_one_plus
from .transcendental import exp, log

Array = npt.NDArray[Any]


def softmax_q8(x: Array, exp_table: Array) -> Array:
    """Softmax of int8 rows to int8 at scale 1/256, zero point -128.

    `exp_table[d]` is exp(-d * scale * beta) in Q0.31 for the distance d from the largest element. The sum is kept in
    Q12.19; where it reaches 512, which TFLite does not allow, the last shift exceeds 31 and every element is -128.
    Source: TFLite `reference/softmax.h` (Softmax), `common.h` (GetReciprocal).
    """
    wide = x.astype(np.int32)
    exps = exp_table.astype(np.int64)[wide.max(axis=-1, keepdims=True) - wide]
    total = wrap32(rounding_shift_right(exps, 12).sum(axis=-1, keepdims=True))
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    reciprocal = reciprocal_of_one_plus((total << headroom) - (1 << 31))
    scaled = rounding_shift_right(doubling_high_mul(reciprocal, exps), 12 - headroom + 23)
    return np.asarray(np.clip(scaled - 128, -128, 127).astype(np.int8))


def softmax_float(x: Array, *, beta: float) -> Array:
    """exp((x - max) * beta) / sum in float32; the exponentials are added from first to last.

    Source: TFLite `reference/softmax.h`.
    """
    e = exp((x - largest(x)) * np.float32(beta))
    total = np.zeros(x.shape[:-1], np.float32)
    for i in range(x.shape[-1]):
        total = total + e[..., i]
    return np.asarray(e / total[..., None])


def log_softmax_float(x: Array) -> Array:
    """(x - max) - log(sum of exp(x - max)) in float32; the exponentials are added from first to last."""
    centred = x - largest(x)
    e = exp(centred)
    total = np.zeros(x.shape[:-1], np.float32)
    for i in range(x.shape[-1]):
        total = total + e[..., i]
    return np.asarray(centred - log(total)[..., None])


def largest(x: Array) -> Array:
    """The largest element of each row, [..., 1]; a NaN is passed over."""
    top = np.full(x.shape[:-1], np.finfo(np.float32).min, np.float32)
    for i in range(x.shape[-1]):
        top = np.where(x[..., i] > top, x[..., i], top)
    return top[..., None]
