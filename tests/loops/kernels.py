"""What tests of kernels share: kernels from text, data for them, and running two against each other."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tinyir.frontends.text import parse
from tinyir.ir.types import DType
from tinyir.loops.check import check_kernel
from tinyir.loops.interp import run_kernel
from tinyir.loops.ir import Kernel, Param
from tinyir.loops.schedule import ScheduleError, apply

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

COPY = """
kernel @copy(in x: i8[4, 6], out y: i8[4, 6]) {
  for i in 4 {
    for j in 6 {
      y[i, j] = x[i, j]
    }
  }
}
"""

DOT = """
kernel @dot(in x: i8[4, 6], in w: i8[6], out y: i32[4]) {
  for i in 4 {
    var acc: i32 = 0
    for k in 6 {
      acc = (acc + (i32(x[i, k]) * i32(w[k])))
    }
    y[i] = acc
  }
}
"""


def kernel(text: str) -> Kernel:
    """The kernel that `text` spells."""
    (found,) = parse(textwrap.dedent(text), "<kernel>").kernels.values()
    assert isinstance(found, Kernel)
    return found


def text(kernel: Kernel) -> str:
    """The kernel as text without the record of its steps."""
    return replace(kernel, schedule=()).text()


def random_array(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Array:
    """Any integers of the type; of 32 bits not so large that sums overflow. Floats of a normal distribution."""
    if dtype is DType.F32:
        return rng.normal(size=shape).astype(np.float32)
    low, high = dtype.limits if dtype.bytes < 4 else (-(2**24), 2**24)
    return rng.integers(low, high, shape, dtype=dtype.numpy, endpoint=True)


def data_for(kernel: Kernel, seed: int = 0) -> dict[str, Array]:
    """Random contents of the inputs and constants of a kernel."""
    rng = np.random.default_rng(seed)
    return {p.name: random_array(rng, p.dtype, p.shape) for p in kernel.by_role("in", "const")}


def run(kernel: Kernel, arrays: Arrays, seed: int = 0) -> dict[str, Array]:
    """The outputs, from the contents that `initial` gives."""
    return run_kernel(kernel, initial(kernel, arrays, seed))


def initial(kernel: Kernel, arrays: Arrays, seed: int = 0) -> dict[str, Array]:
    """What buffers hold at first: inputs, constants packed as the kernel wants them, scratch full of garbage (NaN for
    floats)."""
    rng = np.random.default_rng(seed)
    given = {p.name: _packed(p, arrays[p.name]) for p in kernel.by_role("in", "const")}
    for p in kernel.by_role("scratch"):
        given[p.name] = np.full(p.shape, np.nan, np.float32) if p.dtype is DType.F32 else garbage(rng, p)
    return given


def garbage(rng: np.random.Generator, p: Param) -> Array:
    low, high = p.dtype.limits
    return rng.integers(low, high, p.shape, dtype=p.dtype.numpy, endpoint=True)


def _packed(p: Param, array: Array) -> Array:
    return array if p.packing is None else p.packing.apply(array)


def same_results(before: Kernel, after: Kernel, arrays: Arrays | None = None) -> None:
    """Fail unless `after` is a sound kernel that computes, to the bit, what `before` does."""
    assert check_kernel(after) == "", after.text()
    arrays = data_for(before) if arrays is None else arrays
    wanted, found = run(before, arrays), run(after, arrays, seed=1)
    assert wanted.keys() == found.keys()
    for name, array in wanted.items():
        assert array.dtype == found[name].dtype
        same = np.array_equal(array.reshape(-1).view(np.uint8), found[name].reshape(-1).view(np.uint8))
        assert same, f"{name} differs:\n{after.text()}"


def becomes(before: str, steps: str, after: str) -> Kernel:
    """Fail with a diff unless `steps`, one a line, make `after` of `before`; then compare what both compute. Steps
    recorded in the kernel must give the same again. Returns the new kernel."""
    old, wanted = kernel(before), kernel(after)
    lines = tuple(line.strip() for line in steps.strip().splitlines())
    new = apply(old, lines)
    if text(new) != text(wanted):
        diff = difflib.unified_diff(
            text(wanted).splitlines(), text(new).splitlines(), "wanted", "found", "", "", 99, ""
        )
        pytest.fail("\n".join(diff), pytrace=False)
    assert new.schedule == lines
    assert apply(old, new.schedule) == new
    same_results(old, new)
    return new


def refuses(before: str, step: str, reason: str) -> None:
    """Fail unless `step` is refused for a reason that matches."""
    with pytest.raises(ScheduleError, match=reason):
        apply(kernel(before), (step,))
