"""Examples to train on: an .npz file with `x` and `y`, and perhaps `x_test` and `y_test`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import UsageError
from tinyir.runtime.program import TensorInfo

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Examples:
    """`x[i]` is one input as the program takes it; `y[i]` a label, or what the output is compared with."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def target(self, i: int) -> int | Array:
        """What a step is given for example i."""
        return int(self.y[i]) if self.y.ndim == 1 else self.y[i]

    @property
    def labels(self) -> Array:
        """The class of each example: where targets are tensors, that of their largest element."""
        return self.y if self.y.ndim == 1 else self.y.reshape(len(self.y), -1).argmax(1)


@dataclass(frozen=True)
class Data:
    """Examples to train on, and those to measure on: the same where the file has no others."""

    train: Examples
    test: Examples
    held_out: bool


def read_data(path: Path, x: TensorInfo, classes: int | None, target: TensorInfo | None = None) -> Data:
    """The examples in `path` for a program with the input `x` that is trained on labels below `classes`, or where that
    is None on tensors like `target`.

    `x` may have the shape of the input behind the axis that counts examples, or that without its first 1. Real numbers
    are quantised where the program takes integers with a scale. Raises UsageError for what does not fit, with the first
    example that does not.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files} if hasattr(content, "files") else {}
    except (OSError, ValueError, EOFError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    missing = [name for name in ("x", "y") if name not in arrays]
    if missing or ("x_test" in arrays) != ("y_test" in arrays):
        found = ", ".join(arrays) or "nothing"
        raise UsageError(f"{path} must hold `x` and `y`, perhaps `x_test` and `y_test`; it holds {found}")
    train = _examples(path, "", arrays, x, classes, target)
    if "x_test" not in arrays:
        return Data(train, train, False)
    return Data(train, _examples(path, "_test", arrays, x, classes, target), True)


def _examples(
    path: Path, suffix: str, arrays: dict[str, Array], x: TensorInfo, classes: int | None, target: TensorInfo | None
) -> Examples:
    inputs = _inputs(path, f"x{suffix}", arrays[f"x{suffix}"], x)
    name, y = f"y{suffix}", arrays[f"y{suffix}"]
    if len(inputs) == 0 or y.ndim == 0 or len(y) != len(inputs):
        count = len(y) if y.ndim else "no"
        raise UsageError(f"{path}: {len(inputs)} examples in `x{suffix}`, {count} in `{name}`")
    if classes is not None:
        return Examples(inputs, _labels(path, name, y, classes))
    assert target is not None
    if y.shape[1:] not in (target.shape, target.shape[1:]) or y.dtype.kind != "f":
        raise UsageError(f"{path}: `{name}` is {y.dtype}{list(y.shape)}, not float32{['n', *target.shape]}")
    return Examples(inputs, y.astype(np.float32).reshape(len(y), *target.shape))


def _labels(path: Path, name: str, y: Array, classes: int) -> Array:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise UsageError(f"{path}: `{name}` is {y.dtype}{list(y.shape)}, not a list of integers")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise UsageError(
            f"{path}: label {y[wrong[0]]} of example {wrong[0]} in `{name}` is none of the {classes} classes",
            help="labels count from 0; --classes N gives the model a classifier for N",
        )
    return y.astype(np.int64)


def _inputs(path: Path, name: str, array: Array, x: TensorInfo) -> Array:
    fits = array.ndim > 0 and array.shape[1:] in (x.shape, x.shape[1:] if x.shape[:1] == (1,) else x.shape)
    wanted = np.dtype(x.dtype)
    real = array.dtype.kind == "f"
    if not fits or not (array.dtype == wanted or (real and (wanted.kind == "f" or x.scale is not None))):
        raise UsageError(f"{path}: `{name}` is {array.dtype}{list(array.shape)}, not {x.dtype}{['n', *x.shape]}")
    array = array.reshape(len(array), *x.shape)
    if real and wanted.kind != "f":
        assert x.scale is not None and x.zero_point is not None
        limits = np.iinfo(wanted)
        array = np.clip(np.rint(array / x.scale) + x.zero_point, limits.min, limits.max)
    return np.ascontiguousarray(array.astype(wanted))
