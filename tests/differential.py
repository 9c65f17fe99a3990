"""Models run by the reference semantics and by the oracles, element against element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracles import run_litert, run_tflm
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.interp import evaluate

Array = npt.NDArray[Any]

ORACLES = {"tflm": run_tflm, "litert": run_litert}

ALL_INT8 = np.arange(-128, 128).astype(np.int8)

ZERO_POINTS = (-128, 127, 0, 5, -77)


def check(model: bytes, inputs: Sequence[Array], oracles: Sequence[str] = ("tflm", "litert")) -> None:
    """Fail unless the model means what each oracle computes: the same integers, floats within 1e-5 of the largest."""
    func = parse_tflite(model, "case").main
    for numerics in oracles:
        wanted = ORACLES[numerics](model, inputs)
        found = evaluate(func, inputs, numerics)
        assert len(found) == len(wanted)
        for i, (one, two) in enumerate(zip(found, wanted, strict=True)):
            assert_same(one, two, f"output {i} against {numerics}")


def assert_same(found: Array, wanted: Array, what: str) -> None:
    """Fail unless the arrays are the same integers, or floats within 1e-5 of the largest."""
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), what
    if found.dtype.kind == "f":
        largest = float(np.abs(wanted).max(initial=1e-3))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * largest, err_msg=what)
    else:
        np.testing.assert_array_equal(found, wanted, err_msg=what)


class Random:
    """Scales, zero points and data of one test, from its seed."""

    def __init__(self, seed: int, quantized: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.quantized = quantized

    def integer(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def flag(self) -> bool:
        return bool(self.rng.integers(2))

    def scale(self, least: float = 2**-9, most: float = 8.0) -> float:
        """A float32 scale, evenly by its logarithm."""
        return float(np.float32(np.exp(self.rng.uniform(np.log(least), np.log(most)))))

    def zero_point(self) -> int:
        return int(self.rng.choice(ZERO_POINTS))

    def data(self, *shape: int) -> Array:
        if self.quantized:
            return self.rng.integers(-128, 128, shape, dtype=np.int8)
        return self.rng.normal(size=shape).astype(np.float32)
