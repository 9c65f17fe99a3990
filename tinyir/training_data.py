"""Examples to train on: an .npz file with `x` and `y`, and perhaps `x_test` and `y_test`."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import UsageError, warn
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
    arrays = _arrays(path)
    missing = [name for name in ("x", "y") if name not in arrays]
    if missing or ("x_test" in arrays) != ("y_test" in arrays):
        found = ", ".join(f"`{name}`" for name in arrays) or "nothing"
        raise UsageError(
            f"{path} must hold `x` and `y`, perhaps `x_test` and `y_test`; it holds {found}",
            help="np.savez(FILE, x=examples, y=labels) writes one",
        )
    train = _examples(path, "", arrays, x, classes, target)
    if "x_test" not in arrays:
        return Data(train, train, False)
    return Data(train, _examples(path, "_test", arrays, x, classes, target), True)


def _arrays(path: Path) -> dict[str, Array]:
    """What is in the file, by name. Raises UsageError."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is no .npz file", help="np.savez(FILE, x=examples, y=labels) writes one")
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def _examples(
    path: Path, suffix: str, arrays: dict[str, Array], x: TensorInfo, classes: int | None, target: TensorInfo | None
) -> Examples:
    inputs = _inputs(path, f"x{suffix}", arrays[f"x{suffix}"], x)
    name, y = f"y{suffix}", arrays[f"y{suffix}"]
    if y.ndim == 0 or len(y) != len(inputs):
        count = len(y) if y.ndim else "one number"
        raise UsageError(f"{path}: {len(inputs)} examples in `x{suffix}`, {count} in `{name}`")
    if len(inputs) == 0:
        raise UsageError(f"{path}: `x{suffix}` holds no examples")
    if classes is not None:
        return Examples(inputs, _labels(path, name, y, classes))
    assert target is not None
    if y.shape[1:] not in (target.shape, target.shape[1:]) or y.dtype.kind != "f":
        wanted = TensorInfo(name, "float32", target.shape, target.bytes)
        raise UsageError(f"{path}: `{name}` is {y.dtype}{list(y.shape)}, not {_wanted(wanted)}")
    _check_finite(path, name, y)
    return Examples(inputs, y.astype(np.float32).reshape(len(y), *target.shape))


def _labels(path: Path, name: str, y: Array, classes: int) -> Array:
    if y.ndim != 1 or y.dtype.kind not in "iub":
        raise UsageError(
            f"{path}: `{name}` is {y.dtype}{list(y.shape)}, not a list of integers",
            help="it names the class of each example by a number from 0; --train-target tensor compares with tensors",
        )
    y = y.astype(np.int64)
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise UsageError(
            f"{path}: label {y[wrong[0]]} of example {wrong[0]} in `{name}` is none of the {classes} classes",
            help="labels count from 0; --classes N gives the model a classifier for N",
        )
    if len(y) > 1 and (y == y[0]).all():
        warn(f"{path}: all examples in `{name}` are of class {y[0]}")
    return y


def _inputs(path: Path, name: str, array: Array, x: TensorInfo) -> Array:
    fits = array.ndim > 0 and array.shape[1:] in (x.shape, x.shape[1:] if x.shape[:1] == (1,) else x.shape)
    wanted = np.dtype(x.dtype)
    real = array.dtype.kind == "f"
    if not fits or not (array.dtype == wanted or (real and (wanted.kind == "f" or x.scale is not None))):
        scaled = ", or real numbers, which are quantised as the model says" if wanted.kind != "f" and x.scale else ""
        raise UsageError(
            f"{path}: `{name}` is {array.dtype}{list(array.shape)}, not {_wanted(x)}",
            help=f"the first axis counts examples; an element is {x.dtype}{scaled}",
        )
    array = array.reshape(len(array), *x.shape)
    if real:
        _check_finite(path, name, array)
    if real and wanted.kind != "f":
        assert x.scale is not None and x.zero_point is not None
        limits = np.iinfo(wanted)
        array = np.clip(np.rint(array / x.scale) + x.zero_point, limits.min, limits.max)
    return np.ascontiguousarray(array.astype(wanted))


def _wanted(x: TensorInfo) -> str:
    """The type and shape of an array of examples, for messages."""
    return f"{x.dtype}[n, {', '.join(map(str, x.shape[1:] if x.shape[:1] == (1,) and len(x.shape) > 1 else x.shape))}]"


def _check_finite(path: Path, name: str, array: Array) -> None:
    """Raise UsageError for the first example that holds what is no number."""
    with np.errstate(over="ignore"):
        good = np.isfinite(array.astype(np.float32)).all(tuple(range(1, array.ndim)))
    if not good.all():
        raise UsageError(f"{path}: example {int(np.argmin(good))} in `{name}` holds a number that is not finite")
