"""exp, tanh and logistic: the same bits from NumPy and from C, and close to the truth."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tinyir.ir.semantics.transcendental import exp, logistic, tanh

Floats = npt.NDArray[np.float32]

HEADER = Path(__file__).parents[2] / "runtime" / "tinyir_float.h"
FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {"exp": exp, "tanh": tanh, "logistic": logistic}

EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.17549435e-38, 3.4028235e38, -3.4028235e38]
EDGES += [
    88.72283,
    88.72284,
    -87.33654,
    -87.33655,
    -103.97207,
    -103.97208,
    100.0,
    -110.0,
    0.625,
    0.62499994,
    9.01,
    9.02,
]


def sample() -> Floats:
    """Every 2003rd bit pattern of all, NaNs among them, and the places where something changes."""
    bits = np.arange(0, 2**32, 2003, dtype=np.uint64).astype(np.uint32)
    around = np.array(EDGES, np.float32).view(np.uint32)
    return np.concatenate([bits, around, around + 1, around - 1]).view(np.float32)


@pytest.mark.parametrize("options", [["-O0"], ["-O3"], ["-O2", "-mfma"]], ids=" ".join)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_numpy_and_c_agree_bit_for_bit(compiler: str, options: list[str], tmp_path: Path) -> None:
    library = _compiled(compiler, options, tmp_path)
    x = sample()
    for name, function in FUNCTIONS.items():
        y = np.empty_like(x)
        library[f"all_{name}"](x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p), len(x))
        wrong = np.flatnonzero(function(x).view(np.uint32) != y.view(np.uint32))
        assert not len(wrong), f"{name}({x[wrong[0]]!r}) is {function(x)[wrong[0]]!r}, in C {y[wrong[0]]!r}"


def _compiled(compiler: str, options: list[str], folder: Path) -> ctypes.CDLL:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    loop = "void all_{0}(const float *x, float *y, int n) {{ for (int i = 0; i < n; i++) y[i] = tinyir_{0}f(x[i]); }}"
    prototypes = [f"void all_{name}(const float *x, float *y, int n);" for name in FUNCTIONS]
    lines = ['#include "tinyir_float.h"', *prototypes, *(loop.format(name) for name in FUNCTIONS)]
    source, library = folder / "all.c", folder / "all.so"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
    command = [compiler, "-std=c11", *warnings, "-ffp-contract=off", *options, "-shared", "-fPIC"]
    subprocess.run([*command, f"-I{HEADER.parent}", str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize(("name", "ulps"), [("exp", 1.0), ("tanh", 1.5), ("logistic", 2.5)])
def test_close_to_the_truth(name: str, ulps: float) -> None:
    truth: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]]
    truth = {"exp": np.exp, "tanh": np.tanh, "logistic": lambda v: 1 / (1 + np.exp(-v))}
    x = sample()
    x = x[np.isfinite(x) & (np.abs(x) < 87)]
    wanted = truth[name](x.astype(np.float64))
    error = np.abs(FUNCTIONS[name](x) - wanted) / np.spacing(np.abs(wanted.astype(np.float32)))
    assert error.max() <= ulps, x[error.argmax()]


def test_limits() -> None:
    x = np.array([np.inf, -np.inf, 1000, -1000, 0.0, -0.0], np.float32)
    assert exp(x).tolist() == [np.inf, 0, np.inf, 0, 1, 1]
    assert logistic(x).tolist() == [1, 0, 1, 0, 0.5, 0.5]
    assert tanh(x).tolist() == [1, -1, 1, -1, 0, 0]
    assert np.signbit(tanh(x)).tolist() == [False, True, False, True, False, True]
    assert all(np.isnan(function(np.array([np.nan], np.float32))).all() for function in FUNCTIONS.values())


def test_subnormal_results() -> None:
    x = np.array([-87.5, -95.0, -103.0, -103.97], np.float32)
    assert np.allclose(exp(x), np.exp(x.astype(np.float64)), rtol=0, atol=1.5e-45)
