"""Watching a program does not change what it does: conditional loads and stores, where Unicorn needs help.

For a callback at an access Unicorn sets the IT state of the core and leaves it set, so that what follows the block runs
as if it belonged to an IT block (its issue 2309). The tracers undo that; without it most of these tests fail.
"""

from pathlib import Path

import pytest

from tests.runtime.samples import COMPILERS, assert_equal, changed, inputs, needs_m7, needs_qemu
from tests.runtime.thumb import random_input, write_program
from tests.strategies import graph_case
from tinyir.api import compile
from tinyir.frontends.tflite import parse_tflite
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.numpy_host import NumpyProgram
from tinyir.runtime.qemu import QemuProgram
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.trace import Checks
from tinyir.target import CompilerKind

pytestmark = needs_m7

NATIVE = pytest.mark.parametrize("use_native", [True, False], ids=["native", "python"])
MODES: list[Checks] = ["pages", "bounds", "full"]

# An access within an IT block; then, in a block of its own, an instruction that sets Z unless it is in an IT block.
AFTER_IT_BLOCK = """
    uint32_t z;
    __asm__ volatile(
        "cmp %[at], %[at]\\n it eq\\n {access}\\n b.n 1f\\n"
        "1: movs r0, #1\\n ite eq\\n moveq %[z], #1\\n movne %[z], #0"
        : [z] "=r"(z) : [at] "r"(out + 20) : "r0", "r1", "s0", "cc", "memory");
    out[0] = (float)z;"""


@NATIVE
@pytest.mark.parametrize("checks", MODES)
@pytest.mark.parametrize(
    "access", ["ldreq r0, [%[at]]", "ldrbeq r0, [%[at], #3]", "streq r0, [%[at]]", "vldreq s0, [%[at]]"]
)
def test_what_follows_a_conditional_access(tmp_path: Path, use_native: bool, checks: Checks, access: str) -> None:
    """The access is to the last word of the arena, where `bounds` looks as closely as `full`."""
    end = "out[i] = (float)in[i] * 0.5f + b[i];\n    }"
    folder = changed(tmp_path, end, end + AFTER_IT_BLOCK.replace("{access}", access))
    assert M7Program.build(folder, use_native=use_native).run(inputs(), checks=checks).outputs[0][0, 15] == 0.0


@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("seed", range(6))
def test_random_code(tmp_path: Path, seed: int, kind: CompilerKind) -> None:
    """The same results and counts however the program is watched."""
    folder, compiler = write_program(tmp_path, seed, ops=20), CrossCompiler.detect(kind)
    programs = [M7Program.build(folder, compiler=compiler, use_native=use_native) for use_native in (True, False)]
    for number in range(3):
        x = [random_input(number)]
        wanted = programs[0].run(x, checks="pages", count=True)
        for program in programs:
            for checks in MODES:
                for own_buffers in (False, True):
                    found = program.run(x, checks=checks, own_buffers=own_buffers, count=True)
                    assert_equal(found.outputs, wanted.outputs)
                    assert found.per_op == wanted.per_op


@needs_qemu
@pytest.mark.parametrize("kind", COMPILERS)
def test_random_code_on_qemu(tmp_path: Path, kind: CompilerKind) -> None:
    folder, compiler = write_program(tmp_path, seed=100, ops=60), CrossCompiler.detect(kind)
    batch = [[random_input(number)] for number in range(5)]
    machine = M7Program.build(folder, compiler=compiler)
    for x, result in zip(batch, QemuProgram.build(folder, compiler).run(batch), strict=True):
        for checks in MODES:
            assert_equal(machine.run(x, checks=checks).outputs, result.outputs)


@NATIVE
@pytest.mark.parametrize(("seed", "opt"), [(78, "-O1"), (78, "-O2"), (78, "-O3"), (156, "-O2"), (185, "-O2")])
def test_graphs(tmp_path: Path, seed: int, opt: str, use_native: bool) -> None:
    """Random graphs that gave wrong results, or faults, when they were watched."""
    case = graph_case(seed, quantized=False)
    module = parse_tflite(case.model, "case")
    wanted = NumpyProgram(compile(module, backend="numpy").files).run(case.inputs)
    machine = M7Program.build(compile(module, measure=False).write(tmp_path), opt=opt, use_native=use_native)
    for checks in MODES:
        for own_buffers in (False, True):
            found = machine.run(case.inputs, checks=checks, own_buffers=own_buffers).outputs
            assert [array.tobytes() for array in found] == [array.tobytes() for array in wanted], (checks, own_buffers)
