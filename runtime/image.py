"""A compiled program linked for a target's real memories, with start-up code and an arena: an ELF file to run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tinyir.diagnostics import LimitError, ToolError, UsageError
from tinyir.runtime.elf import FlashSizes, flash_sizes
from tinyir.runtime.program import ProgramInfo, TensorInfo, TrainingInfo
from tinyir.runtime.toolchain import HERE, CompileOptions, CrossCompiler
from tinyir.target import Target

DEFAULT_STACK_BYTES = 8192
STEP_LABEL, STEP_RATE = 0, 0.01
"""Arguments of the steps that an image with `step` makes."""

PAGE_BYTES = 1024
"""The emulator's page: the stack is a number of whole ones, so that its ends are exact."""


def build_image(
    info: ProgramInfo,
    target: Target,
    compiler: CrossCompiler,
    folder: Path,
    *,
    opt: str = "-O3",
    stack_bytes: int = DEFAULT_STACK_BYTES,
    semihosting: bool = False,
    step: bool = False,
) -> Path:
    """Compile and link the program for `target` in `folder`, which must exist; the path of the ELF file.

    `stack_bytes` of RAM are set apart for the stack. With `semihosting`, main() reads inputs from a file of the host
    (`semihost.c`); without, it runs once on whatever the arena holds. With `step` a run is a step of training, on label
    0, with the parameters that the model came with. Raises ToolError with the compiler's message, and LimitError, with
    what takes how much, when RAM or flash of the target is too small.
    """
    if target.is_host:
        raise UsageError(f"target `{target.name}` has no memory map to link for", help="name a Cortex-M7 target")
    stack_bytes = -(-stack_bytes // PAGE_BYTES) * PAGE_BYTES
    params = info.training.params_bytes if info.training else 0
    excess = info.arena_bytes + params + stack_bytes - target.ram.length
    if excess > 0:
        parts = [("arena", info.arena_bytes), ("parameters", params), ("stack", stack_bytes)]
        raise _too_large(info, target, "RAM", excess, [part for part in parts if part[1]])
    (folder / "memory.x").write_text(_memory_script(target, stack_bytes))
    (folder / "program.h").write_text(_program_header(info, step))
    support = [HERE / "start.c", HERE / "harness.c", *([HERE / "semihost.c"] if semihosting else [])]
    with ThreadPoolExecutor(2) as pool:  # the small files beside the large one
        program = CompileOptions(opt, (info.folder,))
        compiled = pool.submit(compiler.compile_all, info.source_paths, folder, target, program)
        around = CompileOptions("-O2", (folder, info.folder, HERE))
        helpers = compiler.compile_all(support, folder, target, around)
        objects = compiled.result()
    out = folder / f"{info.name}.elf"
    keep = info.training.functions if info.training else ()
    try:
        return compiler.link([*helpers, *objects], HERE / "m7.ld", out, target, keep)
    except ToolError as error:
        found = re.search(r"region [`']FLASH'(?:: | )overflowed by (\d+) bytes", "\n".join(error.notes))
        if not found:
            raise
        size = flash_sizes(objects)
        parts = [("code", size.code), ("constants", size.weights)]
        raise _too_large(info, target, "flash", int(found[1]), parts) from error


def measure_flash(
    info: ProgramInfo, target: Target, compiler: CrossCompiler, folder: Path, opt: str = "-O3"
) -> FlashSizes:
    """Bytes of code and of constants of the program alone, compiled into `folder`, before any linking."""
    options = CompileOptions(opt, (info.folder,))
    return flash_sizes(compiler.compile_all(info.source_paths, folder, target, options))


def _memory_script(target: Target, stack_bytes: int) -> str:
    flash, ram = target.flash, target.ram
    return (
        "MEMORY\n{\n"
        f"  FLASH (rx) : ORIGIN = {flash.origin:#010x}, LENGTH = {flash.length}\n"
        f"  RAM (rw) : ORIGIN = {ram.origin:#010x}, LENGTH = {ram.length}\n"
        f"}}\ntinyir_stack_bytes = {stack_bytes};\n"
    )


def _program_header(info: ProgramInfo, step: bool) -> str:
    """program.h, as harness.h describes it; TINYIR_CALL is a step of training if `step`."""

    def places(kind: str, tensors: tuple[TensorInfo, ...]) -> list[tuple[str, int]]:
        return [(f"{info.prefix}_{kind}{i}(arena)", tensor.bytes) for i, tensor in enumerate(tensors)]

    if step and info.training is not None:
        return _step_header(info, info.training)
    inputs, outputs = places("input", info.inputs), places("output", info.outputs)
    params = ["&tinyir_params"] if info.training else []
    pointers = [f"place{i}" for i in range(len(inputs + outputs))]
    setup = [f"void *const {name} = {place};" for name, (place, _) in zip(pointers, inputs + outputs, strict=True)]
    lines = [
        f'#include "{info.header}"',
        f"#define TINYIR_ARENA_BYTES {info.arena_bytes}u",
        f"#define TINYIR_ARENA_ALIGN {info.arena_align}",
        f"#define TINYIR_PLACES(arena) {' '.join(setup)}",
        f"#define TINYIR_CALL(arena) {info.entry}({', '.join(['arena', *params, *pointers])})",
    ]
    if info.training:
        lines.append(f"#define TINYIR_PARAMS {info.prefix}_params")
        lines.append("extern TINYIR_PARAMS tinyir_params;")
    for name, buffers in (("TINYIR_INPUTS", inputs), ("TINYIR_OUTPUTS", outputs)):
        lines.append(f"#define {name}(X, arena) " + " ".join(f"X({place}, {size}u)" for place, size in buffers))
    return "\n".join(lines) + "\n"


def _step_header(info: ProgramInfo, training: TrainingInfo) -> str:
    """program.h of a program whose runs are steps of training, each from the first parameters on."""
    places = [(f"{training.step}_input{i}(arena)", tensor.bytes) for i, tensor in enumerate(training.inputs)]
    label = [str(STEP_LABEL)] if training.classes is not None else []
    pointers = [f"place{i}" for i in range(len(places))]
    setup = [f"void *const {name} = {place};" for name, (place, _) in zip(pointers, places, strict=True)]
    setup += ["float loss;", f"(void){training.init}(&tinyir_params);"]
    arguments = ["arena", "&tinyir_params", *pointers, *label, f"{STEP_RATE}f", "&loss"]
    lines = [
        f'#include "{info.header}"',
        f"#define TINYIR_ARENA_BYTES {info.arena_bytes}u",
        f"#define TINYIR_ARENA_ALIGN {info.arena_align}",
        f"#define TINYIR_PLACES(arena) {' '.join(setup)}",
        f"#define TINYIR_CALL(arena) {training.step}({', '.join(arguments)})",
        f"#define TINYIR_PARAMS {info.prefix}_params",
        "extern TINYIR_PARAMS tinyir_params;",
        "#define TINYIR_INPUTS(X, arena) " + " ".join(f"X({place}, {size}u)" for place, size in places),
        f"#define TINYIR_OUTPUTS(X, arena) X(&tinyir_params, {training.params_bytes}u)",
    ]
    return "\n".join(lines) + "\n"


def _too_large(
    info: ProgramInfo, target: Target, what: str, excess: int, parts: Sequence[tuple[str, int]]
) -> LimitError:
    memory = target.ram if what == "RAM" else target.flash
    return LimitError(
        f"`{info.name}` needs {excess:,} bytes more {what} than `{target.name}` has ({memory.length:,} bytes)",
        notes=[f"bytes of {what}: {', '.join(f'{name} {size:,}' for name, size in parts)}"],
    )
