"""What a program may not do ends in one clear message, with the op and the address."""

from pathlib import Path

import pytest

from tests.runtime.samples import (
    COMPILERS,
    SAMPLE,
    assert_equal,
    changed,
    expected,
    inputs,
    needs_m7,
    program,
)
from tinyir.diagnostics import ToolError
from tinyir.runtime.emulator import Emulator, EmulatorError
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.trace import Checks
from tinyir.target import CompilerKind, get_target

pytestmark = needs_m7

IN_SCALE = "out[i] = (float)in[i] * 0.5f + b[i];\n    }"
NATIVE = pytest.mark.parametrize("use_native", [True, False], ids=["native", "python"])


def broken(folder: Path, line: str, kind: CompilerKind | None = None, use_native: bool = True) -> M7Program:
    """The sample with one more statement at the end of op 2's kernel."""
    copy = changed(folder, IN_SCALE, f"{IN_SCALE}\n    {line}")
    return M7Program.build(copy, compiler=CrossCompiler.detect(kind), use_native=use_native)


def fault(sample: M7Program, checks: Checks = "bounds", own_buffers: bool = False) -> EmulatorError:
    with pytest.raises(EmulatorError) as caught:
        sample.run(inputs(), checks=checks, own_buffers=own_buffers)
    return caught.value


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("checks", ["pages", "bounds", "full"])
def test_a_write_past_the_arena(tmp_path: Path, kind: CompilerKind, checks: Checks) -> None:
    """Inside the arena's last page: without exact checks a canary shows it, and a second run who wrote."""
    sample = broken(tmp_path, "((volatile float *)out)[21] = 1.0f;", kind)
    error = fault(sample, checks)
    assert (error.kind, error.address, error.op) == ("write", sample.arena + 180, 2)
    assert error.function.startswith("sample_scale_add+")
    assert "write of 4 bytes at 0x200000b4, 0 bytes past the end of the arena, in sample_scale_add+" in str(error)
    assert "in op 2 `scale`" in str(error)


@NATIVE
@pytest.mark.parametrize(
    ("line", "kind", "place"),
    [
        ("(void)*((volatile const uint8_t *)out + 84);", "read", "0 bytes past the end of the arena"),
        (
            "(void)*((volatile const float *)(const void *)((volatile uint8_t *)out + 82));",
            "read",
            "0x200000b2, in the arena",
        ),
        ("(void)*((volatile const uint8_t *)out - 97);", "read", "1 bytes before the arena"),
        ("*((volatile uint8_t *)out - 97) = 1;", "write", "1 bytes before the arena"),
        ("*((volatile uint8_t *)out + 100000) = 1;", "write", "bytes past the end of the arena"),
        ("(void)*((volatile const uint8_t *)16);", "read", "0x00000010"),
        ("*(volatile uint8_t *)(uintptr_t)sample_weight = 1;", "write", "in the program in flash"),
        ("*(volatile uint32_t *)0xE000ED88u = 0u;", "write", "0xe000ed88"),
    ],
)
def test_a_wrong_access(tmp_path: Path, use_native: bool, line: str, kind: str, place: str) -> None:
    error = fault(broken(tmp_path, line, use_native=use_native))
    assert (error.kind, error.op) == (kind, 2)
    assert place in error.message and "in op 2 `scale`" in error.message


@NATIVE
def test_a_jump_to_data(tmp_path: Path, use_native: bool) -> None:
    error = fault(broken(tmp_path, "((void (*)(void))((uintptr_t)out | 1u))();", use_native=use_native))
    assert (error.kind, error.op) == ("fetch", 2)


@NATIVE
def test_a_write_to_an_input_of_the_caller(tmp_path: Path, use_native: bool) -> None:
    """Inputs are const; in the arena their place may be reused, a buffer of the caller's may not be written."""
    sample = broken(tmp_path, "*(volatile float *)(uintptr_t)b = 0.0f;", use_native=use_native)
    assert sample.run(inputs()).status == 0
    error = fault(sample, own_buffers=True)
    assert error.kind == "write" and "in the input `offset`" in error.message


@NATIVE
def test_an_access_past_a_buffer_of_the_caller(tmp_path: Path, use_native: bool) -> None:
    sample = broken(tmp_path, "(void)((volatile const float *)b)[16];", use_native=use_native)
    assert sample.run(inputs()).status == 0  # the next thing in the arena
    error = fault(sample, own_buffers=True)
    assert error.kind == "read" and "0 bytes past the end of the input `offset`" in error.message


@NATIVE
def test_unaligned_accesses(tmp_path: Path, use_native: bool) -> None:
    """A Cortex-M7 loads a word from any address, but two words (LDRD) only from a multiple of 4."""
    word = broken(tmp_path / "1", "(void)*(volatile const uint32_t *)(const void *)(in + 1);", use_native=use_native)
    assert word.run(inputs(), checks="full").status == 0
    line = '__asm__ volatile("ldrd r0, r1, [%0]" : : "r"(in + 1) : "r0", "r1");'
    words = broken(tmp_path / "2", line, use_native=use_native)
    assert words.run(inputs(), checks="bounds").status == 0
    error = fault(words, "full")
    assert (error.kind, error.op) == ("unaligned", 2)
    assert "unaligned access of 4 bytes" in error.message


@NATIVE
@pytest.mark.parametrize(
    "instruction", ["ldm %0, {r0, r1}", "vldr s0, [%0]", "strd r0, r1, [%0]", "stmia %0, {r0, r1}"]
)
def test_instructions_that_must_be_aligned(tmp_path: Path, use_native: bool, instruction: str) -> None:
    line = f'__asm__ volatile("{instruction}" : : "r"((uintptr_t)out + 2u) : "r0", "r1", "s0", "memory");'
    assert fault(broken(tmp_path, line, use_native=use_native), "full").kind == "unaligned"


@NATIVE
@pytest.mark.parametrize("checks", ["pages", "bounds"])
def test_an_endless_loop_ends(tmp_path: Path, use_native: bool, checks: Checks) -> None:
    sample = broken(tmp_path, "while (*(volatile const float *)b < 1e9f) {}", use_native=use_native)
    with pytest.raises(EmulatorError, match="still running after 50,000 instructions") as caught:
        sample.run(inputs(), limit=50_000, checks=checks)
    assert (caught.value.kind, caught.value.op) == ("limit", 2)


def test_an_undefined_instruction(tmp_path: Path) -> None:
    error = fault(broken(tmp_path, '__asm__ volatile("udf #1");'))
    assert (error.kind, error.op) == ("instruction", 2)
    assert error.function.startswith("sample_scale_add+")


@NATIVE
def test_a_stack_that_is_too_small(tmp_path: Path, use_native: bool) -> None:
    line = 'uint8_t local[9000];\n    local[0] = 1;\n    __asm__ volatile("" : : "r"(local) : "memory");'
    error = fault(broken(tmp_path, line, use_native=use_native))
    assert error.kind == "write" and "before the stack" in error.message


@NATIVE
def test_a_stack_that_is_too_small_though_nothing_is_written(tmp_path: Path, use_native: bool) -> None:
    line = 'uint8_t local[9000];\n    __asm__ volatile("" : : "r"(local) : "memory");\n    sample_reverse(out);'
    folder = changed(tmp_path, IN_SCALE, f"{IN_SCALE}\n    {line}")
    source = folder / "sample.c"
    source.write_text(source.read_text().replace("/* out[i] = in[i] * 0.5", "static void sample_reverse(float *);\n/*"))
    error = fault(M7Program.build(folder, use_native=use_native))
    assert error.kind in ("write", "stack")


def test_a_fault_leaves_nothing_behind(tmp_path: Path) -> None:
    """The emulator is used again after a fault, even one between the instructions of an IT block."""
    copy = changed(
        tmp_path,
        "if (((uintptr_t)arena",
        "if (output0[0] > 1e30f) {\n        *(volatile int *)out_of_reach = 1;\n    }\n    if (((uintptr_t)arena",
    )
    source = copy / "sample.c"
    source.write_text(
        source.read_text().replace("#include <stddef.h>", "#include <stddef.h>\n#define out_of_reach 0x10000000u")
    )
    sample = M7Program.build(copy)
    emulator = sample._emulator("bounds")
    in_places, out_places = sample.planned()
    emulator.write(out_places[0], b"\xff\xff\x7f\x7f")
    with pytest.raises(EmulatorError, match="before the first op"):
        sample.invoke(sample.arena, in_places, out_places)
    assert_equal(sample.run(inputs()).outputs, expected(inputs()))


def test_the_fpu_works_and_fused_multiply_add_rounds_once(tmp_path: Path) -> None:
    """vfma is exact before its one rounding: (1 + 2^-12)^2 - (1 + 2^-11) = 2^-24."""
    vfma = '__asm__ volatile("vfma.f32 %0, %1, %1" : "+t"(c) : "t"(a));'
    sample = broken(tmp_path, f"float a = 1.000244140625f, c = -1.00048828125f;\n    {vfma}\n    out[0] = c;")
    assert sample.run(inputs()).outputs[0][0, 15] == 2.0**-24


def test_a_program_for_another_target() -> None:
    elf = program(CrossCompiler.detect().kind).elf
    with pytest.raises(ToolError, match="lies outside the memories of `stm32f746g-disco`"):
        Emulator(elf, get_target("stm32f746g-disco"))
    with pytest.raises(ToolError, match=r"sample\.elf has no symbol `main2`"):
        Emulator(elf, get_target("cortex-m7")).call("main2")


def test_any_function_can_be_called() -> None:
    emulator = Emulator(M7Program.build(SAMPLE).elf, get_target("cortex-m7"))
    assert emulator.call("sample_output1", 0x1000) == 0x1010
    assert emulator.call("main") == 0
