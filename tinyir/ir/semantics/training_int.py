"""Updates of stored integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def whole(x: Array) -> Array:
    """Floats without a fraction as int64, within int32; 0 for NaN."""
    return np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), -(2.0**31), 2.0**31 - 1).astype(np.int64)


def sgd_int(
    param: Array, grad: Array, lr: Array, words: Array | None = None, *, rounding: str, lo: int, hi: int
) -> Array:
    """param - lr * grad in whole numbers, limited to lo..hi."""
    step = np.float32(0) - lr * grad
    if words is not None:
        unit = (words.view(np.uint32) >> np.uint32(8) | np.uint32(1)).astype(np.float32) * np.float32(2.0**-24)
        new = param + whole(np.floor(unit + step))
    elif rounding == "nearest":
        wide = step.astype(np.float64)
        new = param + whole(np.copysign(np.floor(np.abs(wide) + 0.5), wide))
    elif param.dtype == np.int8:
        new = np.where(np.isnan(step), param, whole(np.trunc(param.astype(np.float32) + step)))
    else:
        new = param + whole(np.trunc(step))
    return np.asarray(np.clip(new, lo, hi).astype(param.dtype))
