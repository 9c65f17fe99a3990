"""The hand-written program of `sample/`, what it computes, and copies of it with a mistake."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyir.runtime.m7 import M7Program
from tinyir.runtime.qemu import has_qemu
from tinyir.runtime.toolchain import CrossCompiler, has_zig
from tinyir.target import CompilerKind

Array = NDArray[Any]

SAMPLE = Path(__file__).parent / "sample"
TOOLS = Path(os.environ.get("TINYIR_TOOLS", Path(__file__).parents[3] / "shared" / "tools"))

_HAS_GCC = shutil.which("arm-none-eabi-gcc") is not None

needs_m7 = pytest.mark.skipif(
    importlib.util.find_spec("unicorn") is None or not (_HAS_GCC or has_zig()), reason="needs tinyir[m7]"
)
needs_qemu = pytest.mark.skipif(not has_qemu(), reason="qemu-system-arm is not installed")
needs_m7prof = pytest.mark.skipif(not (TOOLS / "m7prof").is_dir(), reason=f"no m7prof in {TOOLS} ($TINYIR_TOOLS)")

COMPILERS = [
    pytest.param("gcc", marks=pytest.mark.skipif(not _HAS_GCC, reason="arm-none-eabi-gcc is not installed")),
    pytest.param("zig", marks=pytest.mark.skipif(not has_zig(), reason="ziglang is not installed")),
]

_WEIGHT = np.array([[(o * 7 + i * 3) % 11 - 5 for i in range(16)] for o in range(16)], np.int64)
_BIAS = np.array([-40 + 10 * o for o in range(16)], np.int64)


def inputs(seed: int = 0) -> list[Array]:
    """Random inputs of the sample."""
    random = np.random.default_rng(seed)
    return [
        random.integers(-128, 128, (1, 16)).astype(np.int8),
        random.standard_normal((1, 16)).astype(np.float32),
    ]


def dense(x: Array) -> Array:
    """The first two ops of the sample."""
    sums: Array = (_BIAS + x.astype(np.int64) @ _WEIGHT.T) >> 4
    return np.clip(sums, -128, 127).astype(np.int8)


def expected(values: list[Array]) -> list[Array]:
    """The outputs of the sample."""
    x, offset = values
    h = dense(dense(x))
    y = h.astype(np.float32) * np.float32(0.5) + offset
    return [y[:, ::-1], h]


def assert_equal(found: list[Array], wanted: list[Array]) -> None:
    """The same dtypes, shapes and bits."""
    assert [array.dtype for array in found] == [array.dtype for array in wanted]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@functools.cache
def program(kind: CompilerKind, target: str = "cortex-m7", use_native: bool = True) -> M7Program:
    """The sample, built once per test session."""
    return M7Program.build(SAMPLE, target, CrossCompiler.detect(kind), use_native=use_native)


def changed(folder: Path, before: str, after: str) -> Path:
    """A copy of the sample in `folder` in which the text `before` of sample.c, which occurs once, is `after`."""
    copy = folder / "changed"
    shutil.copytree(SAMPLE, copy)
    source = (copy / "sample.c").read_text()
    assert source.count(before) == 1
    (copy / "sample.c").write_text(source.replace(before, after))
    return copy
