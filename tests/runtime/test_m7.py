"""The program on the emulated Cortex-M7: results, counts per op, stack, observation."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.runtime.samples import (
    COMPILERS,
    SAMPLE,
    assert_equal,
    changed,
    dense,
    expected,
    inputs,
    needs_m7,
    program,
)
from tinyir.diagnostics import ToolError
from tinyir.runtime import native
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.program import ProgramError
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.trace import Checks, Trace
from tinyir.target import CompilerKind

pytestmark = needs_m7

Blocks = set[tuple[int, ...]]


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("own_buffers", [False, True])
@pytest.mark.parametrize("checks", ["pages", "bounds", "full"])
def test_outputs(kind: CompilerKind, own_buffers: bool, checks: Checks) -> None:
    for seed in range(3):
        result = program(kind).run(inputs(seed), own_buffers=own_buffers, checks=checks)
        assert result.status == 0 and result.per_op is None
        assert_equal(result.outputs, expected(inputs(seed)))


@pytest.mark.parametrize("kind", COMPILERS)
def test_the_board_gives_the_same_as_the_generic_target(kind: CompilerKind) -> None:
    results = [program(kind, target).run(inputs(), count=True) for target in ("cortex-m7", "stm32f746g-disco")]
    assert_equal(results[0].outputs, results[1].outputs)
    assert results[0].per_op == results[1].per_op


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("use_native", [False, True])
def test_counts_add_up(kind: CompilerKind, use_native: bool) -> None:
    result = program(kind, use_native=use_native).run(inputs(), count=True)
    assert result.trace and result.per_op and len(result.per_op) == 4
    assert sum(result.per_op) == result.instructions == result.trace.instructions
    assert all(count > 16 for count in result.per_op)
    arrivals = [0] * len(result.trace.blocks)
    for _, to, times, mispredicted in result.trace.edges:
        arrivals[to] += times
        assert 0 <= mispredicted <= times
    assert arrivals == [block.count for block in result.trace.blocks]
    assert [edge.times for edge in result.trace.edges if edge.came == -1] == [1]


@pytest.mark.parametrize("kind", COMPILERS)
def test_c_and_python_count_the_same(kind: CompilerKind) -> None:
    if native.library() is None:
        pytest.skip("no C compiler for this machine")
    traces = [program(kind, use_native=fast).run(inputs(), count=True).trace for fast in (True, False)]
    assert traces[0] and traces[1]
    assert _blocks(traces[0]) == _blocks(traces[1])
    assert _edges(traces[0]) == _edges(traces[1])


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("use_native", [False, True])
def test_counts_begin_anew_with_each_run(kind: CompilerKind, use_native: bool) -> None:
    runs = [program(kind, use_native=use_native).run(inputs(seed), count=True) for seed in (0, 1, 0)]
    assert runs[0].trace and runs[2].trace
    assert _blocks(runs[0].trace) == _blocks(runs[2].trace)


@pytest.mark.parametrize("kind", COMPILERS)
def test_code_that_ops_share_counts_to_the_op_that_runs(kind: CompilerKind) -> None:
    """The two dense ops have one kernel; data decides on little in it."""
    result = program(kind).run(inputs(), count=True)
    assert result.per_op and result.trace
    assert abs(result.per_op[0] - result.per_op[1]) < 50
    kernel = program(kind).elf.functions["sample_dense"]
    ops = {block.op for block in result.trace.blocks if kernel.begin <= block.address < kernel.end}
    assert ops == {0, 1}


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("use_native", [False, True])
def test_the_arena_after_each_op(kind: CompilerKind, use_native: bool) -> None:
    seen: list[tuple[int, NDArray[np.uint8]]] = []
    sample = program(kind, use_native=use_native)
    sample.run(inputs(), observe=lambda op, arena: seen.append((op, arena)))
    assert [op for op, _ in seen] == [0, 1, 2, 3]
    first = sample.info.ops[0].outputs[0].read(seen[0][1])
    np.testing.assert_array_equal(first, dense(inputs()[0]))
    last = sample.info.ops[3].outputs[0].read(seen[3][1])
    np.testing.assert_array_equal(last, expected(inputs())[0])


@pytest.mark.parametrize("use_native", [False, True])
def test_an_observer_may_fail(use_native: bool) -> None:
    def fail(op: int, _: object) -> None:
        raise RuntimeError(f"no more after {op}")

    sample = program(CrossCompiler.detect().kind, use_native=use_native)
    with pytest.raises(RuntimeError, match="no more after 0"):
        sample.run(inputs(), observe=fail)
    assert_equal(sample.run(inputs()).outputs, expected(inputs()))


@pytest.mark.parametrize("kind", COMPILERS)
def test_what_the_program_refuses(kind: CompilerKind) -> None:
    sample = program(kind)
    in_places, out_places = sample.planned()
    assert sample.invoke(sample.arena, in_places, out_places) == 0
    assert sample.invoke(0, in_places, out_places) == 1
    assert sample.invoke(sample.arena, in_places, [out_places[0], 0]) == 1
    assert sample.invoke(sample.arena + 4, in_places, out_places) == 2


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("use_native", [False, True])
def test_stack_depth(tmp_path: Path, kind: CompilerKind, use_native: bool) -> None:
    """A local array of 1000 bytes more shows as 1000 bytes more of stack."""
    small = program(kind, use_native=use_native).run(inputs()).stack_bytes
    lines = 'uint8_t local[1000];\n    local[0] = 1;\n    __asm__ volatile("" : : "r"(local) : "memory");'
    folder = changed(tmp_path, "float copy[16];", f"{lines}\n    float copy[16];")
    large = (
        M7Program.build(folder, compiler=CrossCompiler.detect(kind), use_native=use_native).run(inputs()).stack_bytes
    )
    assert small is not None and large is not None
    assert 16 <= small <= 256
    assert 1000 - 64 <= large - small <= 1000 + 64


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_loop_back_to_the_start_of_a_kernel_is_no_new_op(tmp_path: Path, kind: CompilerKind) -> None:
    """Ops 0 and 1 share a kernel that is one loop, whose head may be the first instruction."""
    body = (
        '    do {\n        *out++ = (int8_t)(*in++ + 1);\n        __asm__ volatile("");\n'
        "    } while (((uintptr_t)in & 15u) != 0u);\n"
    )
    folder = changed(
        tmp_path, "    for (int32_t o = 0; o < 16; o++) {\n", f"{body}    for (int32_t o = 0; o < 0; o++) {{\n"
    )
    result = M7Program.build(folder, compiler=CrossCompiler.detect(kind)).run(inputs(), count=True)
    np.testing.assert_array_equal(result.outputs[1], inputs()[0] + np.int8(2))
    assert result.per_op and abs(result.per_op[0] - result.per_op[1]) < 50


def test_a_kernel_that_is_not_called(tmp_path: Path) -> None:
    line = "    sample_reverse(output0);"
    folder = changed(tmp_path, line, f"    if (arena == input1) {{\n    {line}\n    }}")
    with pytest.raises(ProgramError) as caught:
        M7Program.build(folder).run(inputs())
    assert caught.value.message == "`sample_run` called 3 of 4 kernels in the order of report.json"
    assert caught.value.notes == ["the kernel of op 3 `reverse` did not come next"]


def test_a_kernel_that_does_not_exist(tmp_path: Path) -> None:
    folder = changed(tmp_path, "Arena: input0", "The arena: input0")
    report = folder / "report.json"
    report.write_text(report.read_text().replace('"sample_reverse"', '"sample_backwards"'))
    with pytest.raises(ProgramError, match="op 3 `reverse` has its kernel in `sample_backwards`, which"):
        M7Program.build(folder)


def test_without_a_c_compiler_it_counts_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    sample = M7Program.build(SAMPLE)
    assert sample.run(inputs(), count=True).per_op
    assert type(sample._emulator("bounds").tracer).__name__ == "PythonTracer"


def test_without_unicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(ToolError, match="unicorn was not found") as caught:
        M7Program.build(SAMPLE).run(inputs())
    assert "pip install 'tinyir[m7]'" in caught.value.help


def _blocks(trace: Trace) -> Blocks:
    return {(b.address, b.bytes, b.instructions, b.op, b.count) for b in trace.blocks}


def _edges(trace: Trace) -> set[tuple[int, ...]]:
    """Transitions by address and op, since the blocks are numbered in another order."""

    def place(number: int) -> tuple[int, int]:
        return (trace.blocks[number].address, trace.blocks[number].op) if number >= 0 else (-1, -1)

    return {(*place(came), *place(to), times, wrong) for came, to, times, wrong in trace.edges}
