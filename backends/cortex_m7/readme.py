"""README.md of a program that trains: what it needs, and C that trains, measures and keeps with it."""

from __future__ import annotations

from tinyir import __version__
from tinyir.backends.cortex_m7.cnames import C_TYPES
from tinyir.backends.cortex_m7.program import Program
from tinyir.backends.cortex_m7.training import STATUSES, rng_param
from tinyir.checkpoint import REASONS
from tinyir.ir.training import STEP


def training_readme(program: Program, ports: str) -> str:
    """The text; `ports` describes inputs and outputs of an inference, a line each."""
    name, upper = program.name, program.name.upper()
    step = next(entry for entry in program.entries if entry.func.name == STEP)
    names = ", ".join(f"`{param.name}`" for param in program.params)
    refused = "\n".join(f"- {status}: {what}" for status, what in {**STATUSES, **REASONS}.items())
    return f"""# {name}

Compiled by tinyir {__version__}, to be trained where it runs. Plain C11: no heap, no state of its own, no library
beyond the compiler's own.

- Arena: {program.arena_bytes} bytes (activations, gradients, scratch, inputs and outputs), aligned to \
{program.arena_align}.
- Parameters, in RAM: {program.params_bytes} bytes in `{name}_params`: {names}. Everything else stays in flash.
- Checkpoint: `{upper}_CHECKPOINT_BYTES` bytes, with a version, what it belongs to, and a CRC-32.
- Multiply-accumulates: {program.macs} of an inference, \
{sum(call.macs() for call in step.calls)} of a step of training.
{ports}

```c
{example(program)}```

Functions return 0, or why they have changed nothing:

{refused}

A learning rate of 0 changes no weight. The host's `tinyir train` makes the same steps, bit for bit, and takes the same
checkpoints. Build `{name}.c` and `{name}_weights.c` with any C11 compiler for the target; with CMake,
`add_subdirectory` this folder. Equal bits on every machine need `-ffp-contract=off`. Where the FPU is FPv5, as that of
a Cortex-M7, define `TINYIR_FPV5`: a rounding becomes one instruction. `report.json` lists each op.
"""


def example(program: Program) -> str:
    """C around the program: to start, to learn from an example, to measure, to keep and restore."""
    name, upper = program.name, program.name.upper()
    step = next(entry for entry in program.entries if entry.func.name == STEP)
    inputs = [f"const {C_TYPES[port.type.storage]} *{port.parameter}" for port in step.inputs]
    given = [*inputs, *(f"{C_TYPES[port.type.storage]} {port.parameter}" for port in step.values)]
    passed = [port.parameter for port in [*step.inputs, *step.values]]
    start = f"return {name}_params_init(&params);"
    if rng_param(program) is not None:
        start = f"const int status = {name}_params_init(&params);\n    "
        start += f"return status != 0 ? status : {name}_params_seed(&params, 1);"
    return f"""#include "{name}.h"

static uint8_t arena[{upper}_ARENA_BYTES] __attribute__((aligned({upper}_ARENA_ALIGN)));
static {name}_params params;

int start(void)
{{
    {start}
}}

/* `loss` is that before the step. */
int learn({", ".join(given)}, float *loss)
{{
    return {name}_train_step(arena, &params, {", ".join(passed)}, loss);
}}
{_evaluate(program)}
/* `checkpoint` has {upper}_CHECKPOINT_BYTES bytes, in flash or on a card; a bad one leaves the parameters alone. */
int keep(uint8_t *checkpoint)
{{
    return {name}_params_save(&params, checkpoint);
}}

int restore(const uint8_t *checkpoint)
{{
    return {name}_params_load(&params, checkpoint, {upper}_CHECKPOINT_BYTES);
}}
"""


def _evaluate(program: Program) -> str:
    """The share of right answers, for a program that is trained on labels."""
    name, upper = program.name, program.name.upper()
    step = next(entry for entry in program.entries if entry.func.name == STEP)
    if "classes" not in step.func.attrs:
        return ""
    x, y = program.inputs[0], program.outputs[0]
    return f"""
/* How many of `count` examples, one behind the other, get their label; -1 where the program fails. */
int32_t evaluate(const {C_TYPES[x.type.storage]} *inputs, const int32_t *labels, int32_t count)
{{
    {C_TYPES[y.type.storage]} y[{upper}_OUTPUT0_ELEMENTS];
    int32_t right = 0;
    for (int32_t i = 0; i < count; i++) {{
        if ({name}_run(arena, &params, inputs + i * {upper}_INPUT0_ELEMENTS, y) != 0) {{
            return -1;
        }}
        int32_t best = 0;
        for (int32_t k = 1; k < {upper}_OUTPUT0_ELEMENTS; k++) {{
            best = y[k] > y[best] ? k : best;
        }}
        right += best == labels[i];
    }}
    return right;
}}
"""
