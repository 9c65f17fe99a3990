"""Kernels that differ in nothing but numbers share a C function, which computes for each what the kernel says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from tests.loops.kernels import data_for, kernel, run
from tests.loops.programs import files_of, folder_of, module_of
from tests.runtime.samples import COMPILERS, needs_m7
from tinyir.backends.cortex_m7.functions import follows
from tinyir.backends.cortex_m7.slots import Slots, fill
from tinyir.loops.ir import Kernel
from tinyir.runtime.host import HostProgram
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.profiler import profile
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import CompilerKind

ROWS = """
kernel @rows(in x: i8[{n}, {depth}], out y: i32[{n}, {depth}]) {{
  for i in {n} {{
    for k in {depth} {{
      y[i, k] = (i32(x[i, k]) {op} {number})
    }}
  }}
}}
"""
SCALED = """
kernel @scaled(in x: i32[{n}], out y: i8[{n}]) {{
  for i in {n} {{
    y[i] = i8(ssat_asr((x[i] << {left}), {right}))
  }}
}}
"""
SUMS = """
kernel @sums(in x: i16[{n}, {pitch}], in w: i16[64], out y: i32[{n}]) {{
  for o in {n} {{
    var s: i32 = {start}
    for k in 4 {{
      let a: i16x2 = x[o, {step}*k] as i16x2
      let b: i16x2 = x[o, {step}*k + {next}] as i16x2
      let c: i16x2 = w[2*k] as i16x2
      s = smlad(a, c, s)
      s = smlad(b, c, s)
    }}
    y[o] = s
  }}
}}
"""
COPY = """
kernel @copy(in x: i8[{n}, {depth}], out y: i16[{n}, 4]) {{
  for i in {n} {{
    let a: i8x4 = x[i, 0] as i8x4
    let b: i8x4 = x[i, {next}] as i8x4
    y[i, 0] = sxtb16(a)
    y[i, 2] = sxtb16(b)
  }}
}}
"""


def rows(n: int, depth: int, number: int, op: str = "+") -> Kernel:
    return kernel(ROWS.format(n=n, depth=depth, number=number, op=op))


def scaled(n: int, left: int, right: int) -> Kernel:
    return kernel(SCALED.format(n=n, left=left, right=right))


def sums(n: int, pitch: int, start: int, step: int = 2, next: int = 2) -> Kernel:
    return kernel(SUMS.format(n=n, pitch=pitch, start=start, step=step, next=next))


def copy(n: int, depth: int, next: int) -> Kernel:
    return kernel(COPY.format(n=n, depth=depth, next=next))


def source(kernels: Sequence[Kernel]) -> str:
    text = files_of(module_of(kernels))["k.c"]
    assert isinstance(text, str)
    return text


def functions(kernels: Sequence[Kernel]) -> list[str]:
    """The kernel functions of a program."""
    return re.findall(r"static TINYIR_KERNEL void k_(\w+)\(", source(kernels))


ALIKE = {
    "counts, strides and numbers": [rows(3, 8, 5), rows(4, 6, 9), rows(3, 8, 5)],
    "a number below and above zero": [rows(3, 8, -5), rows(4, 6, 9)],
    "large numbers": [rows(3, 8, 70000), rows(3, 8, -(2**31) + 1)],
    "shifts to the left": [scaled(5, 3, 7), scaled(8, 9, 7)],
    "rows of words": [sums(3, 16, 1), sums(5, 20, -7)],
    "distances in a copy": [copy(3, 8, 4), copy(4, 24, 12)],
}


@pytest.mark.parametrize("kernels", ALIKE.values(), ids=ALIKE)
def test_one_function(kernels: list[Kernel]) -> None:
    assert len(functions(kernels)) == 1


@pytest.mark.parametrize("kernels", ALIKE.values(), ids=ALIKE)
def test_on_this_machine(kernels: list[Kernel]) -> None:
    compare(kernels, [])


@needs_m7
@pytest.mark.parametrize("kind", COMPILERS)
def test_on_the_m7(kind: CompilerKind) -> None:
    compare([k for kernels in ALIKE.values() for k in kernels], [kind])


def compare(kernels: list[Kernel], kinds: Sequence[CompilerKind]) -> None:
    """Fail unless the program of `kernels` gives what the interpreter does, on the M7 by these compilers or here."""
    data = [data_for(k, seed) for seed, k in enumerate(kernels)]
    wanted = [array for k, arrays in zip(kernels, data, strict=True) for array in run(k, arrays).values()]
    inputs = [arrays[p.name] for k, arrays in zip(kernels, data, strict=True) for p in k.by_role("in")]
    with folder_of(files_of(module_of(kernels, data))) as folder:
        found = [M7Program.build(folder, compiler=CrossCompiler.detect(kind)).run(inputs).outputs for kind in kinds]
        for outputs in found or [HostProgram.build(folder).run(inputs).outputs]:
            for a, b in zip(wanted, outputs, strict=True):
                np.testing.assert_array_equal(a.reshape(-1), b.reshape(-1))


APART = {
    "another operator": [rows(3, 8, 5), rows(3, 8, 5, "*")],
    "the shift of SSAT, which is part of the instruction": [scaled(5, 3, 7), scaled(5, 3, 8)],
    "distances of words that are multiplied": [sums(3, 24, 1), sums(3, 24, 1, next=4)],
    "steps of a walk": [sums(3, 32, 1), sums(3, 32, 1, step=4)],
}


@pytest.mark.parametrize("kernels", APART.values(), ids=APART)
def test_two_functions(kernels: list[Kernel]) -> None:
    assert len(functions(kernels)) == 2


def test_equal_kernels_hand_nothing_over() -> None:
    text = source([rows(3, 8, 5), rows(3, 8, 5)])
    assert "numbers" not in text and text.count("k_rows_0(") == 3


def test_what_is_handed_over() -> None:
    """The depth, the number and the count; the row of a kernel that occurs twice stands once."""
    text = source(ALIKE["counts, strides and numbers"])
    assert "static const int16_t k_rows_0_numbers[2][3] = {" in text
    assert text.count("k_rows_0_numbers[0]);") == 2 and text.count("k_rows_0_numbers[1]);") == 1


def test_strides_follow_from_others() -> None:
    """Twice and thrice a number, and the next element, are worked out where they are used."""
    assert follows((16, 24), (8, 12)) == (2, 0)
    assert follows((9, 13), (8, 12)) == (1, 1)
    assert follows((25, 37), (8, 12)) == (3, 1)
    assert follows((8, 12, 16), (4, 6, 9)) is None
    assert follows((4, 6), (8, 12)) is None
    assert follows((800, 1200), (8, 12)) is None
    assert follows((5, 5), (8, 12)) is None


def test_fill() -> None:
    slots = Slots()
    text = f"x[{slots.put(3, 'a')}] + {slots.put(-4, 'b')} - load(p{slots.put_behind(6, 2, 'c')})"
    assert slots.hints == ["a", "b", "c"]
    assert fill(text, slots.values, {}) == "x[3] + (-4) - load(p, 12)"
    assert fill(text, slots.values, {0: "n", 2: "far"}) == "x[n] + (-4) - load(p + far, 0)"


@needs_m7
def test_flash_counts_what_is_shared_once() -> None:
    kernels = ALIKE["counts, strides and numbers"]
    with folder_of(files_of(module_of(kernels))) as folder:
        found = profile(M7Program.build(folder), [data_for(k)["x"] for k in kernels])
    code = [op.flash.code for op in found.ops]
    assert code[0] > 0 and code[1:] == [0, 0]
    assert [op.flash.constants for op in found.ops] == [2 * 2 * 3, 0, 0]
    assert all(op.tally.instructions > 0 for op in found.ops)
