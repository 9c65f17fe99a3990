"""Generated folders under four C compilers, a C++ compiler and CMake; what the objects need and hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.backends.programs import ALL, READABLE, named, program
from tests.loops.programs import files_of, module_of
from tests.loops.test_instrs import instr_kernel
from tinyir.api import Compiled
from tinyir.diagnostics import ToolError
from tinyir.loops.instrs import INSTRS
from tinyir.pipeline import write_files
from tinyir.runtime.toolchain import WARNINGS, ZIG_CC, CompileOptions, CrossCompiler, has_zig, run_tool
from tinyir.target import CompilerKind, get_target

M7 = get_target("cortex-m7")
COMPILERS: dict[str, tuple[str, ...]] = {
    "gcc": ("gcc",),
    "clang": ("clang",),
    "arm-none-eabi-gcc": ("arm-none-eabi-gcc", *M7.flags("gcc")),
    "zig": (*ZIG_CC, *M7.flags("zig")),
}
HARD_NAMES = ("my model", "3d", "int", "class", "_Reserved", "", "模型", "²", "stdint", "arm_acle", "INT8", "tinyir")
HARD_TENSORS = ("int", "for", "run", "input0", "MACS", "ssat8", "smmla", "é", "t", "MAX")


def needs(tool: str) -> None:
    """Skip the test where there is no such tool."""
    if not (has_zig() if tool == "zig" else shutil.which(tool)):
        pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every program, written."""
    return {name: program(name).write(tmp_path_factory.mktemp(name)) for name in ALL}


def complaints(command: Sequence[str], sources: Sequence[Path], out: Path, opt: str = "-O2") -> list[str]:
    """Compile each file by itself; what the compiler says of each that it refuses."""

    def compile_one(source: Path) -> str:
        obj = out / f"{source.parent.name}-{source.stem}.o"
        flags = ["-std=c11", opt, *WARNINGS, f"-I{source.parent}", "-c", str(source), "-o", str(obj)]
        try:
            return run_tool([*command, *flags], f"compiling {source}")
        except ToolError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        return [said for said in pool.map(compile_one, sources) if said]


def sources_of(folders: dict[str, Path]) -> list[Path]:
    return [source for folder in folders.values() for source in sorted(folder.glob("*.c"))]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning(compiler: str, folders: dict[str, Path], tmp_path: Path) -> None:
    needs(compiler)
    assert len(sources_of(folders)) == 2 * len(ALL)
    assert complaints(COMPILERS[compiler], sources_of(folders), tmp_path) == []


@pytest.mark.parametrize("defines", [(), ("-DTINYIR_NO_ASM",)], ids=["in order", "plain"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning_of_any_helper_alone(compiler: str, defines: tuple[str, ...], tmp_path: Path) -> None:
    """Nor of one that it needs in another form only: clang warns of functions of no use."""
    needs(compiler)
    for name, instr in INSTRS.items():
        write_files(files_of(module_of([instr_kernel(instr)])), tmp_path / name)
    sources = [tmp_path / name / "k.c" for name in INSTRS]
    assert complaints([*COMPILERS[compiler], *defines], sources, tmp_path) == []


def hard_programs() -> list[Compiled]:
    """Programs that are hard to name."""
    models = [named(model, ("t", "MAX", "acle")) for model in HARD_NAMES]
    pairs = list(zip(HARD_TENSORS[::2], HARD_TENSORS[1::2], strict=True))
    tensors = [named(model, ("x", *pair)) for model in ("M", "tinyir", "int8") for pair in pairs]
    return models + tensors


@pytest.mark.parametrize("compiler", ["gcc", "arm-none-eabi-gcc"])
def test_hard_names(compiler: str, tmp_path: Path) -> None:
    """Valid, and no two the same: either would not compile."""
    needs(compiler)
    folders = {str(i): made.write(tmp_path / str(i)) for i, made in enumerate(hard_programs())}
    assert complaints(COMPILERS[compiler], sources_of(folders), tmp_path, "-O0") == []


# -- headers and build files ----------------------------------------------------------------------------------------

CPP = """
#include "{name}.h"
#include "{name}.h"

alignas({upper}_ARENA_ALIGN) static unsigned char arena[{upper}_ARENA_BYTES];
static const int shape[] = {upper}_INPUT0_SHAPE;

int main() {{
    return shape[0] < 0 ? 3 : {name}_run(arena, {arguments});
}}
"""


def cpp_text(made: Compiled) -> str:
    name = made.report["name"]
    ports = [f"input{i}" for i in range(len(made.report["inputs"]))]
    ports += [f"output{i}" for i in range(len(made.report["outputs"]))]
    arguments = ", ".join(f"{name}_{port}(arena)" for port in ports)
    return CPP.format(name=name, upper=name.upper(), arguments=arguments)


@pytest.mark.parametrize("name", ["digits", "int8-18", "float-32"])
def test_called_from_cpp(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    needs("g++")
    needs("gcc")
    sources = sorted(folders[name].glob("*.c"))
    assert complaints(["gcc"], sources, tmp_path) == []
    (tmp_path / "main.cpp").write_text(cpp_text(program(name)))
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{folders[name]}", "-o", "main"]
    run_tool(["g++", *flags, "main.cpp", *map(str, tmp_path.glob("*.o"))], "building", tmp_path)
    assert subprocess.run([tmp_path / "main"]).returncode == 0


def test_headers_stand_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """As C and as C++, with nothing included before them."""
    needs("gcc")
    needs("g++")
    headers = [str(header) for folder in folders.values() for header in sorted(folder.glob("*.h"))]
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    for command in (["gcc", "-std=c11", "-xc"], ["g++", "-std=c++11", "-xc++"]):
        for header in headers:
            run_tool([*command, *strict, "-include", header, "/dev/null"], f"including {header}")


def test_cmake(folders: dict[str, Path], tmp_path: Path) -> None:
    """Every folder as a part of one project, whatever the model is called; one of them built."""
    needs("cmake")
    needs("gcc")
    parts = [folders[name] for name in READABLE]
    parts += [named(model).write(tmp_path / f"{i}") for i, model in enumerate((*HARD_NAMES, "test", "all", "café"))]
    lines = [f'add_subdirectory("{part}" "part{i}")' for i, part in enumerate(parts)]
    head = ["cmake_minimum_required(VERSION 3.13)", "project(firmware C)", "enable_testing()"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join([*head, *lines]))
    run_tool(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), "-DCMAKE_C_COMPILER=gcc"], "configuring")
    run_tool(["cmake", "--build", str(tmp_path / "build"), "--target", "conv"], "building")
    assert (tmp_path / "build" / "part0" / "libconv.a").is_file()


# -- objects --------------------------------------------------------------------------------------------------------

ALLOWED = {"memcpy", "memset", "memmove"}
"""What compilers call on their own; exp and its kin are among the program's helpers."""


class Symbols(NamedTuple):
    """What a program takes from elsewhere, and its bytes that can be written."""

    undefined: set[str]
    writable: dict[str, int]


def symbols(objects: Sequence[Path]) -> Symbols:
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    defined: set[str] = set()
    undefined: set[str] = set()
    writable = {}
    for path in objects:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            table = elf.get_section_by_name(".symtab")
            assert isinstance(table, SymbolTableSection)
            for symbol in table.iter_symbols():
                (undefined if symbol["st_shndx"] == "SHN_UNDEF" else defined).add(symbol.name)
            for section in elf.iter_sections():
                if section["sh_flags"] & SH_FLAGS.SHF_WRITE and section["sh_size"]:
                    writable[section.name] = section["sh_size"]
    return Symbols(undefined - defined - {""}, writable)


@pytest.mark.parametrize("opt", ["-O0", "-O3"])
@pytest.mark.parametrize("kind", ["gcc", "zig"])
def test_no_library_and_no_state(kind: CompilerKind, opt: str, folders: dict[str, Path], tmp_path: Path) -> None:
    needs("arm-none-eabi-gcc" if kind == "gcc" else "zig")
    compiler = CrossCompiler.detect(kind)
    for name, folder in folders.items():
        (tmp_path / name).mkdir()
        sources = sorted(folder.glob("*.c"))
        objects = compiler.compile_all(sources, tmp_path / name, M7, CompileOptions(opt, (folder,)))
        found = symbols(objects)
        assert found.undefined <= ALLOWED, name
        assert found.writable == {}, name
