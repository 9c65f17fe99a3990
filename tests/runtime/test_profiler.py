"""What the profiler says of programs: sums that add up, and figures equal to those of others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import FOLDER, needs_models
from tests.runtime.samples import COMPILERS, SAMPLE, TOOLS, inputs, needs_m7, needs_m7prof, needs_qemu
from tinyir.diagnostics import ToolError
from tinyir.machine import OpClass
from tinyir.pipeline import Options, compile_file, write_files
from tinyir.runtime.elf import Elf
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.profiler import profile
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.qemu import BOARD, build_referee_elf
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import CompilerKind, get_target

pytestmark = needs_m7

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"


@pytest.fixture
def m7prof(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOLS))
    return pytest.importorskip("m7prof")


@pytest.mark.parametrize("kind", COMPILERS)
def test_sums(kind: CompilerKind) -> None:
    found = profile(M7Program.build(SAMPLE, compiler=CrossCompiler.detect(kind)), inputs())
    parts = [one.tally for one in found.ops]
    for tallies in (parts, list(found.functions.values())):
        assert sum(tally.instructions for tally in tallies) == found.total.instructions
        assert sum(tally.cycles for tally in tallies) == pytest.approx(found.total.cycles)
    assert found.total.instructions == found.result.instructions
    assert [tally.instructions for tally in parts] == found.result.per_op
    assert sum(found.total.classes.values()) == found.total.instructions
    assert found.total.classes[OpClass.MAC] > 0
    assert all(tally.instructions / 2 <= tally.cycles for tally in parts)


def test_counts_do_not_depend_on_being_watched() -> None:
    program = M7Program.build(SAMPLE)
    assert profile(program, inputs()).total.instructions == program.run(inputs(), count=True).instructions


def test_without_checks_no_load_is_charged_for_its_address() -> None:
    program = M7Program.build(SAMPLE)
    quick, whole = profile(program, inputs(), "pages"), profile(program, inputs())
    assert quick.total.instructions == whole.total.instructions
    assert quick.total.cycles <= whole.total.cycles
    assert quick.result.trace and not quick.result.trace.loads


def test_python_and_c_see_the_same() -> None:
    found = [profile(M7Program.build(SAMPLE, use_native=fast), inputs()) for fast in (True, False)]
    assert found[0].total == found[1].total
    assert found[0].result.trace and found[1].result.trace
    assert found[0].result.trace.loads == found[1].result.trace.loads != {}


def test_hot_blocks() -> None:
    one = profile(M7Program.build(SAMPLE), inputs()).ops[0]
    hot = one.hot_blocks(0.5)
    assert 0 < len(hot) < len(one.blocks)
    assert sum(sum(block.cycles) for block in hot) >= 0.5 * one.tally.cycles
    assert one.hot_blocks(1.0)[: len(hot)] == hot


def test_flash() -> None:
    """The first op that calls a function has its code."""
    code = {}
    for one in profile(M7Program.build(SAMPLE), inputs()).ops:
        assert (one.flash.code > 0) == (one.op.function not in code)
        code[one.op.function] = one.flash.code


def test_without_capstone(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyir.runtime import decode

    decode.decode.cache_clear()
    decode._disassembler.cache_clear()
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(ToolError, match="capstone was not found"):
        profile(M7Program.build(SAMPLE), inputs())


@needs_qemu
@needs_m7prof
@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("model", ["digits", "ad01_int8", "hello_world_int8", "str_ww_ref_model", "kws_ref_model"])
def test_the_referee_agrees(
    kind: CompilerKind, model: str, m7prof: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instructions on QEMU to the last one, in total and by function; cycles within a tenth."""
    path = DIGITS if model == "digits" else FOLDER / f"{model}.tflite"
    if not path.exists():
        pytest.skip(needs_models.kwargs["reason"])
    write_files(compile_file(path, Options(io="int8", measure=False)).files, tmp_path)
    elf = build_referee_elf(tmp_path, tmp_path / "program.elf", CrossCompiler.detect(kind))
    monkeypatch.chdir(tmp_path)
    theirs = m7prof.profile(elf, engine="qemu").functions
    del theirs["tinyir_bench"]  # the referee's caller
    info = ProgramInfo.load(tmp_path)
    found = profile(M7Program(info, get_target(BOARD), Elf.read(elf)), [_pattern(t) for t in info.inputs])
    assert {name: tally.instructions for name, tally in found.functions.items()} == {
        name: tally.instructions for name, tally in theirs.items()
    }
    assert found.total.cycles == pytest.approx(sum(tally.cycles for tally in theirs.values()), rel=0.1)


def _pattern(tensor: Any) -> Any:
    """What `semihost.c` fills the inputs with."""
    return ((np.arange(tensor.bytes) * 37 + 11 - 128) % 256).astype(np.uint8).view(tensor.dtype).reshape(tensor.shape)
