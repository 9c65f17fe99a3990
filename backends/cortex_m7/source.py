"""NAME.c: the helpers in use, the kernels, and the entry that calls them one after the other."""

from __future__ import annotations

from tinyir.backends.cortex_m7.cnames import C_TYPES
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.program import Program
from tinyir.backends.cortex_m7.support import helper_text, uses_intrinsics
from tinyir.ir.types import dtype_of

ALIGNED = """\
#if defined(__GNUC__)
#define TINYIR_ALIGNED __attribute__((aligned(8)))
#else
#define TINYIR_ALIGNED
#endif
"""
"""What NAME.c and NAME_weights.c must agree on: compilers assume more of arrays that are declared without."""

PRELUDE = """\
/* On the core itself the instructions of inner loops stand in an order that suits its pipeline, and volatile assembly
 * of one instruction each keeps them there; registers and addresses are the compiler's business. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(TINYIR_NO_ASM)
#define TINYIR_IN_ORDER 1
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define TINYIR_KERNEL __attribute__((noinline, noclone))
#elif defined(__GNUC__)
#define TINYIR_KERNEL __attribute__((noinline))
#else
#define TINYIR_KERNEL
#endif

/* Before a loop that stays one: the schedule has written out what pays. */
#if defined(__OPTIMIZE_SIZE__)
#define TINYIR_ROLLED
#elif defined(__clang__)
#define TINYIR_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define TINYIR_ROLLED _Pragma("GCC unroll 1")
#else
#define TINYIR_ROLLED
#endif

/* Called after each op; a build that wants to watch the program defines it. By default it only keeps the compiler from
 * dropping an op whose result no later one needs, so that the program does what report.json lists. */
#if !defined(TINYIR_AFTER_OP) && defined(__GNUC__)
#define TINYIR_AFTER_OP(index) __asm__ volatile("" ::: "memory")
#elif !defined(TINYIR_AFTER_OP)
#define TINYIR_AFTER_OP(index) ((void)0)
#endif
"""


def source_text(program: Program) -> str:
    """The text of NAME.c."""
    kernels = CWriter()
    helpers: set[str] = set()
    for function in program.functions:
        function.define(kernels)
        kernels.line()
        helpers |= function.helpers
    entry = CWriter()
    _entry(program, entry)
    support = helper_text(sorted(helpers))
    head = CWriter()
    head.line(f'#include "{program.name}.h"')
    head.line()
    head.line("#include <stdint.h>")
    if uses_intrinsics(support):
        head.line("#if defined(__ARM_FEATURE_DSP)")
        head.line("#include <arm_acle.h>")
        head.line("#endif")
    head.line()
    head.lines += ALIGNED.splitlines()
    head.line()
    _declare_tables(program, head)
    return "\n".join([head.text(), PRELUDE, support, kernels.text() + entry.text()])


def _declare_tables(program: Program, c: CWriter) -> None:
    for table in program.tables:
        c.line(f"extern const {C_TYPES[dtype_of(table.array)]} {table.symbol}[{table.array.size}] TINYIR_ALIGNED;")


def _entry(program: Program, c: CWriter) -> None:
    """The accessors of inputs and outputs, and NAME_run."""
    for port in [*program.inputs, *program.outputs]:
        with c.block(f"{C_TYPES[port.type.storage]} *{program.name}_{port.parameter}(void *arena)"):
            c.line(f"return (void *)((uint8_t *)arena + {port.offset});")
        c.line()
    pointers = ["arena", *(port.parameter for port in [*program.inputs, *program.outputs])]
    with c.block(f"int {program.name}_run({run_parameters(program)})"):
        with c.block(f"if ({' || '.join(f'{p} == 0' for p in pointers)})"):
            c.line("return 1;")
        with c.block(f"if (((uintptr_t)arena & {program.arena_align - 1}u) != 0u)"):
            c.line("return 2;")
        c.line("uint8_t *const base = arena;")
        c.line("(void)base;")
        for step in program.steps:
            c.call(step.function.name, step.arguments)
            c.line(f"TINYIR_AFTER_OP({step.index});")
        c.line("return 0;")


def run_parameters(program: Program) -> str:
    """The parameter list of NAME_run."""
    inputs = [f"const {C_TYPES[port.type.storage]} *{port.parameter}" for port in program.inputs]
    outputs = [f"{C_TYPES[port.type.storage]} *{port.parameter}" for port in program.outputs]
    return ", ".join(["void *arena", *inputs, *outputs])
