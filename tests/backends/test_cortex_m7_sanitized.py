"""Generated programs under AddressSanitizer and UndefinedBehaviorSanitizer, in an arena of exactly its bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.backends.programs import ALL, case
from tinyir.diagnostics import ToolError
from tinyir.runtime.program import ProgramInfo, TensorInfo
from tinyir.runtime.toolchain import run_tool

SANITIZE = ("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all")

MAIN = """
#include <stdio.h>
#include <stdlib.h>

#include "{header}"

/* Reads the inputs, one after the other, and writes the outputs; with an argument, in buffers of its own, those of
 * bytes at odd addresses. */
int main(int argc, char **argv)
{{
    const int own = argc > 1 && argv[1] != 0;
    unsigned char *arena = malloc({upper}_ARENA_BYTES);
{declare}
{read}
    const int status = {name}_run({arguments});
{write}
    return status;
}}
"""
C_TYPES = {"int8": "int8_t", "float32": "float", "int32": "int32_t"}


def main_text(info: ProgramInfo) -> str:
    """A C program that runs the generated one once."""
    inputs = {f"input{i}": tensor for i, tensor in enumerate(info.inputs)}
    outputs = {f"output{i}": tensor for i, tensor in enumerate(info.outputs)}
    return MAIN.format(
        header=info.header,
        upper=info.prefix.upper(),
        name=info.prefix,
        arguments=", ".join(["arena", *inputs, *outputs]),
        declare="\n".join(_declaration(info.prefix, port, t) for port, t in {**inputs, **outputs}.items()),
        read="\n".join(_reading(port, tensor.bytes) for port, tensor in inputs.items()),
        write="\n".join(f"    fwrite({port}, 1, {t.bytes}, stdout);" for port, t in outputs.items()),
    )


def _reading(port: str, size: int) -> str:
    return f"    if (fread({port}, 1, {size}, stdin) != {size}) return 99;"


def _declaration(prefix: str, port: str, tensor: TensorInfo) -> str:
    ctype = C_TYPES[tensor.dtype]
    own = f"({ctype} *)malloc({tensor.bytes + 1}) + 1" if tensor.dtype == "int8" else f"malloc({tensor.bytes})"
    return f"    {ctype} *{port} = own ? {own} : {prefix}_{port}(arena);"


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A compiler with sanitizers."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text("int main(void) { return 0; }\n")
    for name in ("clang", "gcc"):
        if shutil.which(name):
            try:
                run_tool([name, *SANITIZE, "probe.c", "-o", "probe"], "looking for sanitizers", folder)
                run_tool([str(folder / "probe")], "looking for sanitizers")
            except ToolError:
                continue
            return name
    pytest.skip("no compiler with sanitizers is installed")


def build(name: str, compiler: str, folder: Path) -> Path:
    info = ProgramInfo.load(case(name).program.write(folder))
    (folder / "main.c").write_text(main_text(info))
    flags = ["-std=c11", "-g", "-O1", "-ffp-contract=off", *SANITIZE, "-o", "main"]
    run_tool([compiler, *flags, "main.c", *info.sources], f"building {name}", folder)
    return folder / "main"


@pytest.mark.parametrize("name", ALL)
def test_sanitized(name: str, compiler: str, tmp_path: Path) -> None:
    """Nothing to complain of, and the right outputs, for random inputs and the least and greatest of them."""
    main = build(name, compiler, tmp_path)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    for inputs, outputs in zip(case(name).inputs, case(name).outputs, strict=True):
        given = b"".join(x.tobytes() for x in inputs)
        for arguments in ([], ["own"]):
            done = subprocess.run([main, *arguments], input=given, capture_output=True, env=environment)
            assert (done.returncode, done.stderr.decode()) == (0, "")
            assert done.stdout == b"".join(y.tobytes() for y in outputs)
