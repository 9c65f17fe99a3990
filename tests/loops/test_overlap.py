"""How far apart input and output must lie: against running kernels with their memory shared, at every displacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from tests.loops.cases import case
from tests.loops.kernels import Array, Arrays, data_for, initial, kernel
from tests.loops.random_kernels import random_kernel
from tests.loops.traces import trace
from tests.memory import buffer_in
from tinyir.loops import overlap
from tinyir.loops.interp import Buffer, compiled, run_kernel
from tinyir.loops.ir import Cond, If, Kernel
from tinyir.loops.overlap import Clearance, clearance
from tinyir.loops.recipes import schedule
from tinyir.loops.walk import all_exprs, walk
from tinyir.passes.schedule_loops import without_packings

MARGIN = 3
"""Displacements this far beyond disjoint memory are tried too."""


def is_safe(gap: Clearance, displacement: int) -> bool:
    return not gap.first <= displacement <= gap.last or (displacement == 0 and gap.in_place)


def displacements(one: Kernel, source: str, result: str) -> range:
    return range(-one.param(result).bytes - MARGIN, one.param(source).bytes + MARGIN + 1)


def assert_safe_where_permitted(one: Kernel, arrays: Arrays, source: str, result: str) -> None:
    """Run the kernel with `result` at every displacement from `source` that the clearance permits."""
    gap = clearance(one, source, result)
    run, given, wanted = compiled(one), initial(one, arrays), run_kernel(one, initial(one, arrays))
    for displacement in displacements(one, source, result):
        if is_safe(gap, displacement):
            found = run_shared(one, run, given, source, result, displacement)
            assert found == wanted[result].tobytes(), f"{displacement} outside of {gap}\n{one.text()}"


def run_shared(
    one: Kernel,
    run: Callable[[Mapping[str, Buffer]], None],
    given: Arrays,
    source: str,
    result: str,
    displacement: int,
) -> bytes:
    """What `result` holds after a run in which it lies `displacement` bytes after `source`."""
    sizes = {name: one.param(name).bytes for name in (source, result)}
    at = sizes[result] + MARGIN
    memory = bytearray(b"\xa5" * (sizes[source] + 2 * at))
    memory[at : at + sizes[source]] = given[source].tobytes()
    buffers = {p.name: Buffer(p, given.get(p.name)) for p in one.params if p.name not in (source, result)}
    buffers[source] = buffer_in(memory, at, one.param(source))
    buffers[result] = buffer_in(memory, at + displacement, one.param(result))
    run(buffers)
    return bytes(memory[at + displacement : at + displacement + sizes[result]])


def unsafe(one: Kernel, arrays: Arrays, source: str, result: str) -> set[int]:
    """Every displacement at which a byte is written before it is read for the last time, from what happens."""
    last_read = np.full(one.param(source).bytes, -1)
    first_write = np.full(one.param(result).bytes, np.iinfo(np.int64).max)
    for time, event in enumerate(trace(one, arrays)):
        size = one.param(event.buffer).dtype.bytes
        touched = slice(event.at * size, (event.at + event.lanes) * size)
        if event.buffer == source:
            last_read[touched] = time
        elif event.buffer == result:
            first_write[touched] = np.minimum(first_write[touched], time)
    reads, writes = np.meshgrid(last_read, first_write, indexing="ij")
    read, written = np.nonzero(reads > writes)
    return {int(n) for n in read - written}


def assert_exact(one: Kernel, arrays: Arrays, source: str, result: str) -> None:
    """The clearance forbids from the first to the last displacement that goes wrong; in place is judged by itself."""
    wrong = unsafe(one, arrays, source, result)
    gap = clearance(one, source, result)
    if not wrong:
        assert gap.first > gap.last
    else:
        assert (gap.first, gap.last) == (min(wrong), max(wrong)), one.text()
        assert not min(wrong) <= 0 <= max(wrong) or gap.in_place == (0 not in wrong)


def has_guards(one: Kernel) -> bool:
    return any(isinstance(s, If) for s in walk(one.body)) or any(isinstance(e, Cond) for e in all_exprs(one.body))


def check(one: Kernel, arrays: Arrays) -> None:
    """Every pair of an input and an output. Guards are not looked at, so with them the clearance may be too wide."""
    for source in one.by_role("in"):
        for result in one.by_role("out"):
            assert_safe_where_permitted(one, arrays, source.name, result.name)
            gap = clearance(one, source.name, result.name)
            whole = Clearance(1 - result.bytes, source.bytes - 1, False)
            wrong = unsafe(one, arrays, source.name, result.name)
            assert all(not is_safe(gap, d) for d in wrong)
            if not has_guards(one) and gap != whole:
                assert_exact(one, arrays, source.name, result.name)


KINDS = (
    "conv", "word_conv", "depthwise", "dense", "average_pool", "max_pool", "sum", "softmax", "float_conv",
    "float_softmax", "transpose", "pad", "slice", "concat", "resize", "sum_int", "product_int", "sum_float",
    "unary_int", "quantize", "unary_float",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_lowered_kernels(kind: str) -> None:
    for seed in range(5):
        plain = case(kind, seed, 3)
        check(plain.kernel, plain.arrays)


@pytest.mark.parametrize("kind", ["conv", "word_conv", "depthwise", "dense", "sum_int", "sum_float", "unary_int"])
def test_scheduled_kernels(kind: str) -> None:
    for seed in range(8):
        plain = case(kind, seed, 3)
        scheduled = schedule(plain.kernel)
        arrays = {
            p.name: plain.arrays[p.name] if p.packing is None else p.packing.apply(plain.arrays[p.name])
            for p in scheduled.by_role("in", "const")
        }
        check(without_packings(scheduled), arrays)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_any_kernel(first: int) -> None:
    for seed in range(first, first + 20):
        one = random_kernel(seed)
        check(one, data_for(one, seed))


# -- by hand ----------------------------------------------------------------------------------------------------------


def gap_of(text: str, x: str = "i8[8]", y: str = "i8[8]") -> Clearance:
    one = kernel(f"kernel @k(in x: {x}, const w: i8[8], scratch s: i8[8], out y: {y}) {{ {text} }}")
    check(one, data_for(one))
    return clearance(one, "x", "y")


def test_in_place() -> None:
    """Forward, an output may lie anywhere at or before its input; at a later place it would overwrite the next."""
    assert gap_of("for i in 8 { y[i] = x[i] }") == Clearance(1, 7, True)


def test_backwards() -> None:
    assert gap_of("for i in 8 { y[-1*i + 7] = x[-1*i + 7] }") == Clearance(-7, -1, True)


def test_reversed() -> None:
    """The first write meets the last read in place, and nothing in between is free either."""
    assert gap_of("for i in 8 { y[i] = x[-1*i + 7] }") == Clearance(-6, 6, False)


def test_wider_elements() -> None:
    gap = gap_of("for i in 8 { y[i] = i32(x[i]) }", y="i32[8]")
    assert (gap.first, gap.last, gap.in_place) == (-20, 7, False)


def test_narrower_elements() -> None:
    assert gap_of("for i in 8 { y[i] = i8(x[i]) }", x="i32[8]") == Clearance(4, 31, True)


def test_everything_is_read_before_anything_is_written() -> None:
    gap = gap_of("for i in 8 { s[i] = x[i] } for j in 8 { y[-1*j + 7] = s[j] }")
    assert gap == Clearance(0, -1, True)


def test_every_other_element() -> None:
    assert gap_of("for i in 4 { y[i] = x[2*i] }", y="i8[4]") == Clearance(2, 6, True)


def test_what_is_never_read_may_be_overwritten() -> None:
    assert gap_of("for i in 8 { y[i] = w[i] }") == Clearance(0, -1, True)


def test_words() -> None:
    """A word's bytes are read together, written together."""
    assert gap_of("for i in 2 { y[4*i] = x[4*i] as i8x4 }") == Clearance(1, 7, True)


def test_an_output_that_is_read_is_kept_apart() -> None:
    assert gap_of("for i in 8 { y[i] = x[i] } for j in 8 { y[j] = y[j] }") == Clearance(-7, 7, False)


def test_a_table_is_kept_apart() -> None:
    assert gap_of("for i in 8 { y[i] = x[[index(-1*i + 7)]] }") == Clearance(-7, 7, False)


def test_kernels_too_long_to_trace_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MAX_INSTANCES", 7)
    assert gap_of("for i in 8 { y[i] = x[i] }") == Clearance(-7, 7, False)
    assert gap_of("for i in 8 { y[i] = w[i] } let a: i8 = x[0]") == Clearance(-7, 7, False)


def test_displacements_that_are_forbidden_do_go_wrong() -> None:
    """The simulation can fail: at the ends of what is forbidden, with data that tell elements apart."""
    one = kernel("kernel @k(in x: i8[8], out y: i8[8]) { for i in 8 { y[i] = x[-1*i + 7] } }")
    given: dict[str, Array] = {"x": np.arange(8, dtype=np.int8)}
    wanted = run_kernel(one, given)["y"].tobytes()
    run = compiled(one)
    outcome = {d: run_shared(one, run, given, "x", "y", d) == wanted for d in displacements(one, "x", "y")}
    assert {d for d, good in outcome.items() if not good} == set(range(-6, 7))
