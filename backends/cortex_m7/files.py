"""The other files of the output folder: header, weights, build file, readme, report."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tinyir import __version__
from tinyir.backends.cortex_m7.checkpoint import declare_checkpoint, state_identity
from tinyir.backends.cortex_m7.cnames import C_TYPES
from tinyir.backends.cortex_m7.cwriter import LINE_WIDTH, CWriter
from tinyir.backends.cortex_m7.emit import float_literal
from tinyir.backends.cortex_m7.program import Entry, Port, Program, Step
from tinyir.backends.cortex_m7.readme import training_readme
from tinyir.backends.cortex_m7.source import ALIGNED, accessors, parameters
from tinyir.backends.cortex_m7.training import STATUSES, declare_params, declare_seed, training_report
from tinyir.ir.training import INIT, STEP
from tinyir.ir.types import DType, dtype_of

NUMPY_NAMES = {DType.I8: "int8", DType.U8: "uint8", DType.I16: "int16", DType.I32: "int32", DType.F32: "float32"}


def header_text(program: Program) -> str:
    """NAME.h: sizes, scales, and the functions."""
    name, guard = program.name, f"{program.name.upper()}_H"
    c = CWriter()
    c.comment([f"{name}, compiled by tinyir {__version__}", f"model sha256: {_sha256(program)}"])
    c.line(f"#ifndef {guard}")
    c.line(f"#define {guard}")
    c.line()
    c.line("#include <stdint.h>")
    c.line()
    c.line("#ifdef __cplusplus")
    c.line('extern "C" {')
    c.line("#endif")
    c.line()
    upper = name.upper()
    c.comment(["Activations, scratch, inputs and outputs: one buffer, given by the caller."])
    c.line(f"#define {upper}_ARENA_BYTES {program.arena_bytes}")
    c.line(f"#define {upper}_ARENA_ALIGN {program.arena_align}")
    c.line(f"#define {upper}_MACS {program.macs}")
    for port in [*program.inputs, *program.outputs]:
        _port_macros(upper, port, c)
    if program.params:
        declare_params(program, c)
    c.line()
    for function, port in accessors(program):
        what = "output" if port in program.outputs else "input"
        when = " of a training step" if port not in program.main.ports else ""
        c.comment([f"Where the planner keeps the {what} `{port.name}`{when} in the arena."])
        c.line(f"{C_TYPES[port.type.storage]} *{function}(void *arena);")
    c.line()
    c.comment(
        [
            "One inference. Pass the places above, or buffers of your own that do not overlap the arena. The places of",
            "inputs are overwritten while the program runs. Returns 0; 1 for a null pointer; 2 for an arena that is",
            f"not aligned to {upper}_ARENA_ALIGN. Keeps no state: calls with different arenas may run side by side.",
        ]
    )
    c.line(f"int {name}_run({parameters(program, program.main)});")
    for entry in program.entries[1:]:
        c.line()
        c.comment(_entry_doc(entry))
        c.line(f"int {entry.name}({parameters(program, entry)});")
    if program.params:
        declare_seed(program, c)
        declare_checkpoint(program, c)
    c.line()
    c.line("#ifdef __cplusplus")
    c.line("}")
    c.line("#endif")
    c.line()
    c.line("#endif")
    return c.text()


def _entry_doc(entry: Entry) -> list[str]:
    """What a function for training does, for the header."""
    if entry.func.name == INIT:
        return ["Sets the parameters to the values that the model came with. Returns 0; 1 for a null pointer."]
    return [
        "One step of training on one example: `loss` is that before it, then the parameters change. Returns 0, or",
        "the reason why no parameter has changed:",
        *(f"{status}: {what}" for status, what in STATUSES.items()),
    ]


def _port_macros(prefix: str, port: Port, c: CWriter) -> None:
    """Bytes, elements, shape, and for quantised tensors scale and zero point."""
    stem = f"{prefix}_{port.parameter.upper()}"
    c.line()
    c.comment([f"{port.name}: {_quant_text(port)}"])
    c.line(f"#define {stem}_BYTES {port.type.bytes}")
    c.line(f"#define {stem}_ELEMENTS {port.type.elements}")
    c.line(f"#define {stem}_SHAPE {{{', '.join(str(n) for n in port.type.shape) or '1'}}}")
    quant = port.type.quant
    if quant is not None:
        c.line(f"#define {stem}_SCALE {float_literal(quant.scale)}")
        c.line(f"#define {stem}_ZERO_POINT ({quant.zero_point})")


def _quant_text(port: Port) -> str:
    dims = " x ".join(str(n) for n in port.type.shape) or "a scalar"
    layout = f" {port.type.layout}" if port.type.layout else ""
    quantised = ", real = scale * (stored - zero point)" if port.type.quant is not None else ""
    return f"{port.type.storage} {dims}{layout}{quantised}"


def weights_text(program: Program) -> str:
    """NAME_weights.c: every constant, aligned so that words of it load in one access."""
    c = CWriter()
    c.comment([f"Constants of {program.name}: weights, biases, and tables made by the compiler."])
    c.line("#include <stdint.h>")
    c.line()
    c.lines += ALIGNED.splitlines()
    if not program.tables:
        c.line()
        c.comment(["This model has none. A translation unit needs a declaration."])
        c.line(f"extern const int8_t {program.name}_no_weights;")
    for table in program.tables:
        c_name = C_TYPES[dtype_of(table.array)]
        c.line()
        c.line(f"extern const {c_name} {table.symbol}[{table.array.size}] TINYIR_ALIGNED;")
        with c.block(f"const {c_name} {table.symbol}[{table.array.size}] =", "};"):
            for line in _wrapped(table.array):
                c.line(line)
    return c.text()


def _wrapped(array: np.ndarray[Any, Any]) -> list[str]:
    """The elements as lines of literals."""
    words = _literals(array.reshape(-1))
    per_line = max(1, (LINE_WIDTH - 3) // (2 + max(map(len, words), default=0)))
    return [f"{', '.join(words[i : i + per_line])}," for i in range(0, len(words), per_line)]


def _literals(flat: np.ndarray[Any, Any]) -> list[str]:
    if flat.dtype.kind == "f":
        return [float_literal(value) for value in flat.tolist()]
    words = list(map(str, flat.tolist()))
    return ["INT32_MIN" if word == str(-(2**31)) else word for word in words] if flat.itemsize == 4 else words


def cmake_text(program: Program, opt: str) -> str:
    """CMakeLists.txt: a static library for any tool chain."""
    name = program.name
    return (
        f"cmake_minimum_required(VERSION 3.13)\nproject({name} C)\n\n"
        f"add_library({name} STATIC {name}.c {name}_weights.c)\n"
        f"target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})\n"
        f"set_target_properties({name} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)\n"
        "# Float results are those of separate multiplications and additions.\n"
        f"target_compile_options({name} PRIVATE {opt} -ffp-contract=off -Wall -Wextra -Wconversion)\n"
    )


def readme_text(program: Program) -> str:
    """README.md: how to call it."""
    name, upper = program.name, program.name.upper()
    ports = "\n".join(
        f"- `{port.parameter}` ({'input' if port in program.inputs else 'output'}) `{port.name}`: {_quant_text(port)}"
        for port in [*program.inputs, *program.outputs]
    )
    if program.params:
        return training_readme(program, ports)
    places = [f"{name}_{port.parameter}(arena)" for port in [*program.inputs, *program.outputs]]
    arguments = ", ".join(["arena", *places])
    return f"""# {name}

Compiled by tinyir {__version__}. Plain C11: no heap, no state, no library beyond the compiler's own.

- Arena: {program.arena_bytes} bytes (activations, scratch, inputs and outputs), aligned to {program.arena_align}.
- Multiply-accumulates: {program.macs}.
{ports}

```c
#include "{name}.h"

static uint8_t arena[{upper}_ARENA_BYTES] __attribute__((aligned({upper}_ARENA_ALIGN)));

int infer(void)
{{
    /* fill {name}_{program.inputs[0].parameter if program.inputs else "input0"}(arena), then: */
    return {name}_run({arguments});
}}
```

Build `{name}.c` and `{name}_weights.c` with any C11 compiler for the target; with CMake, `add_subdirectory` this
folder. Floating point models need `-ffp-contract=off` for results that are equal on every machine. Where the FPU is
FPv5, as that of a Cortex-M7, define `TINYIR_FPV5`: a rounding becomes one instruction. `report.json` lists each op with
its multiply-accumulates and the arena bytes alive while it runs.
"""


def report(program: Program, target: str) -> dict[str, Any]:
    """What report.json holds; `flash_bytes` and `stack_bytes` stay null until a compiler and an emulator fill them."""
    return {
        "name": program.name,
        "entry": f"{program.name}_run",
        "header": f"{program.name}.h",
        "sources": [f"{program.name}.c", f"{program.name}_weights.c"],
        "arena_bytes": program.arena_bytes,
        "arena_align": program.arena_align,
        "arena_lower_bound": program.arena_lower_bound,
        "inputs": [_port_report(port) for port in program.inputs],
        "outputs": [_port_report(port) for port in program.outputs],
        "macs": program.macs,
        "flash_bytes": {"code": None, "weights": sum(table.array.nbytes for table in program.tables)},
        "stack_bytes": None,
        "ops": [_op_report(program.main, step) for step in program.steps],
        "target": target,
        "tinyir_version": __version__,
        "model_sha256": _sha256(program),
        **({"training": _training_report(program)} if program.params else {}),
    }


def _training_report(program: Program) -> dict[str, Any]:
    step = next(entry for entry in program.entries if entry.func.name == STEP)
    ports = [_port_report(port) for port in step.inputs]
    ops = [_op_report(step, each) for each in program.steps_of(step)]
    return training_report(program, ports, ops, NUMPY_NAMES) | {"identity": state_identity(program).hex()}


def _port_report(port: Port) -> dict[str, Any]:
    quant = port.type.quant
    return {
        "name": port.name,
        "dtype": NUMPY_NAMES[port.type.storage],
        "shape": list(port.type.shape),
        "bytes": port.type.bytes,
        "scale": quant.scale if quant is not None else None,
        "zero_point": quant.zero_point if quant is not None else None,
    }


def _op_report(entry: Entry, step: Step) -> dict[str, Any]:
    return {
        "index": step.index,
        "name": step.call.results[0].name or step.kernel.name,
        "kind": step.kernel.kind,
        "location": str(step.call.loc),
        "macs": step.call.macs(),
        "live_bytes": step.live_bytes,
        "function": step.function.name,
        "constants": [constant.symbol for constant in step.constants],
        "outputs": [
            {
                "offset": entry.offsets[value],
                "bytes": value.type.bytes,
                "dtype": NUMPY_NAMES[value.type.storage],
                "shape": list(value.type.shape),
                "layout": value.type.layout,
            }
            for value in step.call.results
            if entry.offsets[value] >= 0
        ],
    }


def report_text(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2) + "\n"


def _sha256(program: Program) -> str:
    return str(program.module.attrs.get("sha256", ""))
