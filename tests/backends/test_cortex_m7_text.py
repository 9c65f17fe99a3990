"""The C backend's text: three programs to read, the same bytes in every run, names that C takes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.programs import READABLE, module, named, program
from tests.golden import Golden
from tinyir import __version__
from tinyir.api import compile
from tinyir.backends.base import Files
from tinyir.backends.cortex_m7 import CortexM7Backend
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse


def text_of(files: Files, path: str) -> str:
    content = files[path]
    assert isinstance(content, str)
    return content.replace(f"tinyir {__version__}", "tinyir VERSION")


def kernels(source: str) -> str:
    """What follows the helpers: kernels, accessors and the entry."""
    return source[source.rindex("/*", 0, source.index("static TINYIR_KERNEL")) :]


# -- to read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["conv.h", "conv.c", "conv_weights.c", "CMakeLists.txt", "README.md", "report.json"])
def test_text_of_the_whole_folder(path: str, golden: Golden) -> None:
    golden.check(text_of(program("conv").files, path).replace(f'"{__version__}"', '"VERSION"'), path)


@pytest.mark.parametrize("name", ["dense", "add"])
def test_text_of_kernels(name: str, golden: Golden) -> None:
    golden.check(kernels(text_of(program(name).files, f"{name}.c")), f"{name}.c")


def test_a_folder_holds_nothing_else() -> None:
    assert list(program("conv").files) == [
        "conv.h",
        "conv.c",
        "conv_weights.c",
        "CMakeLists.txt",
        "README.md",
        "report.json",
    ]


def test_a_module_without_a_plan_is_refused() -> None:
    with pytest.raises(IRError, match="no memory plan"):
        CortexM7Backend().emit(parse(READABLE["conv"]))


def test_no_text_depends_on_where_it_was_made() -> None:
    for path, content in program("digits").files.items():
        assert isinstance(content, str)
        assert str(Path.home()) not in content and str(Path.cwd()) not in content, path
        assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", content), path
        assert content.endswith("\n") and "\r" not in content and "\t" not in content, path


# -- the same bytes -------------------------------------------------------------------------------------------------

SAME = ("int8-26", "float-0", "digits")


def digest() -> str:
    """A hash of every file of the programs SAME, compiled anew."""
    total = hashlib.sha256()
    for name in SAME:
        for path, content in compile(module(name), measure=False).files.items():
            assert isinstance(content, str)
            total.update(f"{path}\0{content}\0".encode())
    return total.hexdigest()


def test_the_same_bytes_in_every_run() -> None:
    code = "from tests.backends.test_cortex_m7_text import digest; print(digest())"
    digests = {digest()}
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("person", "person"),
        ("my model", "my_model"),
        ("v1.2-final", "v1_2_final"),
        ("3d", "m3d"),
        ("int", "int"),  # a keyword is none with _run behind it
        ("_Reserved", "m_Reserved"),
        ("__", "m__"),
        ("", "model"),
        ("café", "cafu00e9"),
        ("模型", "u6a21u578b"),
        ("²", "u00b2"),
        ("a\nb", "a_b"),
        ("-o", "m_o"),
        ("stdint", "mstdint"),
        ("String", "mString"),
        ("uint8", "muint8"),
        ("test", "mtest"),
        ("tinyir", "mtinyir"),
    ],
)
def test_prefix(model: str, prefix: str) -> None:
    """The file names, the functions and the macros of a model begin with its name, made fit for C."""
    made = named(model)
    assert made.report["entry"] == f"{prefix}_run"
    assert set(made.files) >= {f"{prefix}.h", f"{prefix}.c", f"{prefix}_weights.c"}
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix)
    assert f"#define {prefix.upper()}_ARENA_BYTES " in text_of(made.files, f"{prefix}.h")


def functions(model: str, *tensors: str) -> list[str]:
    first, second, third = tensors
    return [op["function"] for op in named(model, (first, second, third)).report["ops"]]


def test_kernels_do_not_take_the_names_of_the_interface() -> None:
    assert functions("m", "x", "run", "input0") == ["m_run_1", "m_input0_1"]
    assert functions("M", "x", "MACS", "OUTPUT1_ZERO_POINT") == ["M_MACS_1", "M_OUTPUT1_ZERO_POINT_1"]


def test_tensors_of_one_name_have_kernels_of_two() -> None:
    assert len(set(functions("m", "x", "a/b", "a_b"))) == 2
    assert len(set(functions("m", "x", "é", "è"))) == 2
    assert functions("m", "int", "int", "int") == ["m_int", "m_int_1"]


def test_a_comment_ends_where_it_should() -> None:
    """No text of a model reaches the C as it is."""
    made = named("*/ int x; /*", ("*/ int y;", '"\\', "??/"))
    for path, content in made.files.items():
        assert isinstance(content, str)
        if path.endswith((".c", ".h")):
            assert "int x" not in content and "int y" not in content and "??/" not in content
            assert content.count("/*") == content.count("*/")
