"""Compilers: found or not, their messages, and the sizes of what they make."""

from pathlib import Path

import pytest

from tests.runtime.samples import COMPILERS, SAMPLE, changed, needs_m7
from tinyir.diagnostics import LimitError, ToolError, UsageError
from tinyir.runtime import toolchain
from tinyir.runtime.elf import Elf, flash_sizes
from tinyir.runtime.image import build_image, measure_flash
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.toolchain import HERE, WARNINGS, CompileOptions, CrossCompiler, HostCompiler
from tinyir.target import KIB, CompilerKind, get_target

M7 = get_target("cortex-m7")


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "has_zig", lambda: False)


@pytest.mark.usefixtures("nothing_installed")
def test_no_compiler_says_what_to_install() -> None:
    with pytest.raises(ToolError, match="a cross compiler was not found") as caught:
        CrossCompiler.detect()
    assert "pip install 'tinyir[m7]'" in caught.value.help
    with pytest.raises(ToolError, match="arm-none-eabi-gcc was not found"):
        CrossCompiler.detect("gcc")
    with pytest.raises(ToolError, match="the Python package ziglang was not found"):
        CrossCompiler.detect("zig")
    with pytest.raises(ToolError, match="no C compiler was found on this machine") as caught:
        HostCompiler.detect()
    assert "install gcc or clang" in caught.value.help


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_compiler_can_be_asked_for(kind: CompilerKind) -> None:
    compiler = CrossCompiler.detect(kind)
    assert compiler.kind == kind
    assert {"gcc": "arm-none-eabi-gcc", "zig": "clang"}[kind] in compiler.version


def test_a_name_that_is_no_compiler() -> None:
    with pytest.raises(UsageError, match="unknown compiler `icc`"):
        CrossCompiler.detect("icc")  # type: ignore[arg-type]


def test_an_unknown_optimisation_level() -> None:
    with pytest.raises(UsageError, match="unknown optimisation level `-Ofast`"):
        CompileOptions("-Ofast").flags()


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_compiler_tells_what_is_wrong(tmp_path: Path, kind: CompilerKind) -> None:
    folder = changed(tmp_path, "int8_t *const hidden", "int7_t *const hidden")
    with pytest.raises(ToolError, match=r"failed while compiling sample\.c") as caught:
        M7Program.build(folder, compiler=CrossCompiler.detect(kind))
    assert any("int7_t" in note for note in caught.value.notes)


@pytest.mark.parametrize("kind", COMPILERS)
def test_no_warnings(tmp_path: Path, kind: CompilerKind) -> None:
    """In the sample, and in the start-up code that is linked with every program."""
    info, compiler = ProgramInfo.load(SAMPLE), CrossCompiler.detect(kind)
    build_image(info, M7, compiler, tmp_path)  # writes program.h
    sources = [*info.source_paths, HERE / "start.c", HERE / "harness.c", HERE / "semihost.c"]
    options = CompileOptions(include_dirs=(tmp_path, SAMPLE, HERE), warnings=True)
    assert set(WARNINGS) <= set(options.flags())
    compiler.compile_all(sources, tmp_path, M7, options)


def test_no_warnings_on_the_host(tmp_path: Path) -> None:
    sources = [*ProgramInfo.load(SAMPLE).source_paths, HERE / "host_hook.c"]
    options = CompileOptions("-O2", (SAMPLE,), warnings=True)
    HostCompiler.detect().shared_library(sources, tmp_path / "sample.so", options, HERE / "host_hook.h")
    options = CompileOptions("-O2", warnings=True)
    HostCompiler.detect().shared_library([HERE / "blockcount.c"], tmp_path / "blockcount.so", options)


@pytest.mark.parametrize("kind", COMPILERS)
def test_flash_is_counted_from_the_objects(tmp_path: Path, kind: CompilerKind) -> None:
    sizes = measure_flash(ProgramInfo.load(SAMPLE), M7, CrossCompiler.detect(kind), tmp_path)
    assert sizes.weights == 256 + 16 * 4
    assert 100 < sizes.code < 2000


@pytest.mark.parametrize("kind", COMPILERS)
def test_flash_of_a_linked_program(tmp_path: Path, kind: CompilerKind) -> None:
    info, compiler = ProgramInfo.load(SAMPLE), CrossCompiler.detect(kind)
    alone = measure_flash(info, M7, compiler, tmp_path)
    linked = flash_sizes([build_image(info, M7, compiler, tmp_path)])
    assert alone.code < linked.code < alone.code + 2000
    assert alone.weights <= linked.weights < alone.weights + 100


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_program_too_large_for_ram(tmp_path: Path, kind: CompilerKind) -> None:
    folder = _with_arena(tmp_path, 320 * KIB)
    with pytest.raises(LimitError) as caught:
        M7Program.build(folder, "stm32f746g-disco", CrossCompiler.detect(kind), stack_bytes=4096)
    assert caught.value.render() == (
        "error: `sample` needs 4,096 bytes more RAM than `stm32f746g-disco` has (327,680 bytes)\n"
        "note: bytes of RAM: arena 327,680, stack 4,096"
    )


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_program_that_just_fits(tmp_path: Path, kind: CompilerKind) -> None:
    board = get_target("stm32f746g-disco")
    info = ProgramInfo.load(_with_arena(tmp_path, 316 * KIB))
    elf = Elf.read(build_image(info, board, CrossCompiler.detect(kind), tmp_path, stack_bytes=4096))
    assert elf.objects["tinyir_arena"] == (board.ram.origin, board.ram.origin + 316 * KIB)
    assert elf.symbol("tinyir_stack_top") == board.ram.end


@pytest.mark.parametrize("kind", COMPILERS)
def test_a_program_too_large_for_flash(tmp_path: Path, kind: CompilerKind) -> None:
    folder = changed(
        tmp_path, "KERNEL void sample_dense", "extern const int8_t big[1200000];\nKERNEL void sample_dense"
    )
    _replace(folder / "sample.c", "int32_t acc = sample_bias[o]", "int32_t acc = big[o * 70000]")
    (folder / "sample_weights.c").write_text(
        (folder / "sample_weights.c").read_text() + "const int8_t big[1200000] = {1};\n"
    )
    with pytest.raises(LimitError, match="bytes more flash than `stm32f746g-disco` has") as caught:
        M7Program.build(folder, "stm32f746g-disco", CrossCompiler.detect(kind))
    assert "constants 1,200,320" in caught.value.notes[0]


@needs_m7
def test_the_host_is_nothing_to_link_for() -> None:
    with pytest.raises(UsageError, match="no memory map to link for"):
        M7Program.build(SAMPLE, "host")


def test_a_file_that_is_no_elf(tmp_path: Path) -> None:
    pytest.importorskip("elftools")
    (tmp_path / "a.elf").write_bytes(b"no")
    with pytest.raises(ToolError, match="not an ELF file"):
        Elf.read(tmp_path / "a.elf")


def _with_arena(folder: Path, size: int) -> Path:
    copy = changed(folder, "Arena: input0", "A large arena: input0")
    _replace(copy / "report.json", '"arena_bytes": 180', f'"arena_bytes": {size}')
    return copy


def _replace(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
