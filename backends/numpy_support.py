"""What a printed program needs besides the meaning of its ops: descriptions of its inputs and outputs, the check of
what it is given, and its command line.

The NumPy backend ships this file as `program.py` in the folder of kernels, so it imports NumPy alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """An input or output. Where it has a scale, real = scale * (stored - zero_point)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None

    def __str__(self) -> str:
        return f"`{self.name}`: {self.dtype} {list(self.shape)}"


def load_weights(path: Path) -> dict[str, Array]:
    """Every array of an .npz file by name; not to be written, lest one run changes the next."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def check(tensors: Sequence[Tensor], *arrays: Array) -> None:
    """Raise ValueError unless the arrays are what the program takes, in number, type and shape."""
    if len(arrays) != len(tensors):
        raise ValueError(f"the program takes {len(tensors)} inputs, {len(arrays)} given")
    for i, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
        if not isinstance(array, np.ndarray):
            raise ValueError(f"input {i} {tensor}, but a {type(array).__name__} was given; make it a NumPy array")
        if array.dtype != np.dtype(tensor.dtype) or array.shape != tensor.shape:
            raise ValueError(f"input {i} {tensor}, but the array given is {array.dtype} {list(array.shape)}")


def random_inputs(tensors: Sequence[Tensor], seed: int) -> list[Array]:
    """Arrays that the program takes: integers from the whole range of the type, floats of a normal distribution."""
    rng = np.random.default_rng(seed)
    return [_random(rng, tensor) for tensor in tensors]


def _random(rng: np.random.Generator, tensor: Tensor) -> Array:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return np.asarray(rng.normal(size=tensor.shape).astype(dtype))
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, tensor.shape).astype(dtype))
    limits = np.iinfo(dtype)
    return np.asarray(rng.integers(limits.min, limits.max, tensor.shape, dtype=dtype, endpoint=True))


def main(run: Callable[..., Any], inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """The command line of a program: run it on files, or on random inputs, and print or save what it gives."""
    parser = argparse.ArgumentParser(description="Run the program once.")
    parser.add_argument("inputs", nargs="*", metavar="X.npy", help="one file for each input; without any, random ones")
    parser.add_argument(
        "-o", "--output", action="append", default=[], metavar="Y.npy", help="save an output here; once for each"
    )
    parser.add_argument("--seed", type=int, default=0, help="of random inputs (default: 0)")
    args = parser.parse_args()
    if args.inputs and len(args.inputs) != len(inputs):
        parser.error(f"the program takes {len(inputs)} inputs, {len(args.inputs)} files given")
    if args.output and len(args.output) != len(outputs):
        parser.error(f"the program has {len(outputs)} outputs, {len(args.output)} files given")
    try:
        arrays = [_load(path) for path in args.inputs] or random_inputs(inputs, args.seed)
        check(inputs, *arrays)
        results = run(*arrays)
        _show(outputs, results if len(outputs) != 1 else [results], args.output)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _load(path: str) -> Array:
    try:
        array: Array = np.load(path)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    return array


def _show(tensors: Sequence[Tensor], arrays: Sequence[Array], files: Sequence[str]) -> None:
    """Print the outputs, or save them where `files` name places for them."""
    for i, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
        print(f"output {i} {tensor}")
        if files:
            np.save(files[i], array)
        else:
            print(np.array2string(array, threshold=100))
