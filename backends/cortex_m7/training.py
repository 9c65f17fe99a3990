"""What a program that trains has more than one that does not: parameters, and what a step refuses."""

from __future__ import annotations

from typing import Any

from tinyir.backends.cortex_m7.cnames import C_TYPES
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.program import Entry, Param, Program, Step
from tinyir.ir.training import STEP, rng_index

STATUSES = {
    1: "a null pointer",
    2: "an arena that is not aligned",
    3: "a label that no class has",
    4: "a learning rate that is not finite",
    5: "a loss that is not finite",
}
"""What a training step refuses, before it has changed anything."""


def check_values(entry: Entry, c: CWriter) -> None:
    """Refuse values that a step cannot work with."""
    classes = entry.func.attrs.get("classes")
    for port in entry.values:
        if port.parameter == "label":
            with c.block(f"if (label < 0 || label >= {classes})"):
                c.line("return 3;")
        else:
            with c.block("if (!(lr - lr == 0.0f))"):
                c.line("return 4;")


def check_loss(entry: Entry, step: Step, c: CWriter) -> None:
    """Behind the op that computes the loss: give up where it is infinite or no number, before any parameter changes."""
    if any(entry.places.get(value) == "loss" for value in step.call.results):
        with c.block("if (!(*loss - *loss == 0.0f))"):
            c.line("return 5;")


def check_size(program: Program, c: CWriter) -> None:
    """Let the compiler confirm what report.json says of NAME_params."""
    if program.params:
        name = f"{program.name}_params"
        c.line(f'_Static_assert(sizeof({name}) == {program.params_bytes}, "padding in {name}");')


def declare_params(program: Program, c: CWriter) -> None:
    """The type of the parameters, for the header."""
    c.line()
    c.comment(
        [f"The parameters that are trained. They are the caller's, in RAM; {program.name}_params_init sets them."]
    )
    with c.block("typedef struct", f"}} {program.name}_params;"):
        for param in program.params:
            c.line(f"{C_TYPES[param.type.storage]} {param.field}[{param.type.elements}];")


def rng_param(program: Program) -> Param | None:
    """The parameter that random numbers are drawn from: a seed and a number of steps."""
    indices = [rng_index(entry.func) for entry in program.entries]
    return next((program.params[index] for index in indices if index is not None), None)


def declare_seed(program: Program, c: CWriter) -> None:
    """For the header, where training draws random numbers."""
    if rng_param(program) is not None:
        c.line()
        c.comment(["Sets the seed of the random numbers that training draws. Returns 0; 1 for a null pointer."])
        c.line(f"int {program.name}_params_seed({program.name}_params *p, uint32_t seed);")


def define_seed(program: Program, c: CWriter) -> None:
    """The function, where training draws random numbers."""
    param = rng_param(program)
    if param is None:
        return
    c.line()
    with c.block(f"int {program.name}_params_seed({program.name}_params *p, uint32_t seed)"):
        with c.block("if (p == 0)"):
            c.line("return 1;")
        c.line(f"p->{param.field}[0] = (int32_t)seed;")
        c.line(f"p->{param.field}[1] = 0;")
        c.line("return 0;")


def training_report(program: Program, ports: list[Any], ops: list[Any], dtypes: dict[Any, str]) -> dict[str, Any]:
    """What report.json says of training: `ports` are the inputs, `ops` the kernel calls of a step."""
    step = next(entry for entry in program.entries if entry.func.name == STEP)
    return {
        "init": f"{program.name}_params_init",
        "step": step.name,
        "params_bytes": program.params_bytes,
        "params": [
            {
                "name": param.name,
                "field": param.field,
                "dtype": dtypes[param.type.storage],
                "shape": list(param.type.shape),
                "offset": param.offset,
                "bytes": param.type.bytes,
            }
            for param in program.params
        ],
        "classes": step.func.attrs.get("classes"),
        "rng": rng.name if (rng := rng_param(program)) is not None else None,
        "inputs": ports,
        "ops": ops,
        "macs": sum(op["macs"] for op in ops),
    }
