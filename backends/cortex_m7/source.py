"""NAME.c: the helpers in use, the kernels, and the entry that calls them one after the other."""

from __future__ import annotations

from tinyir.backends.cortex_m7.checkpoint import HELPERS, define_checkpoint
from tinyir.backends.cortex_m7.cnames import C_TYPES
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.program import Entry, Port, Program
from tinyir.backends.cortex_m7.support import helper_text, uses_intrinsics
from tinyir.backends.cortex_m7.training import check_loss, check_size, check_values, define_seed
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
    _accessors(program, entry)
    for each in program.entries:
        _entry(program, each, entry)
    if program.params:
        define_seed(program, entry)
        define_checkpoint(program, entry)
        helpers |= HELPERS
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
    check_size(program, head)
    return "\n".join([head.text(), PRELUDE, support, kernels.text() + entry.text()])


def _declare_tables(program: Program, c: CWriter) -> None:
    for table in program.tables:
        c.line(f"extern const {C_TYPES[dtype_of(table.array)]} {table.symbol}[{table.array.size}] TINYIR_ALIGNED;")


def _accessors(program: Program, c: CWriter) -> None:
    """The places of inputs and outputs."""
    for name, port in accessors(program):
        with c.block(f"{C_TYPES[port.type.storage]} *{name}(void *arena)"):
            c.line(f"return (void *)((uint8_t *)arena + {port.offset});")
        c.line()


def accessors(program: Program) -> list[tuple[str, Port]]:
    """The functions that tell the places of inputs and outputs, by name."""
    found = [(f"{program.name}_{port.parameter}", port) for port in program.main.ports]
    return found + [(f"{e.name}_{port.parameter}", port) for e in program.entries[1:] for port in e.inputs]


def _entry(program: Program, entry: Entry, c: CWriter) -> None:
    """One function for the caller: checks, then the kernels."""
    if entry is not program.main:
        c.line()
    pointers = [*(["arena"] if uses_arena(entry) else []), *(["p"] if entry.has_params else [])]
    pointers += [port.parameter for port in entry.ports]
    with c.block(f"int {entry.name}({parameters(program, entry)})"):
        with c.block(f"if ({' || '.join(f'{p} == 0' for p in pointers)})"):
            c.line("return 1;")
        if uses_arena(entry):
            with c.block(f"if (((uintptr_t)arena & {program.arena_align - 1}u) != 0u)"):
                c.line("return 2;")
        check_values(entry, c)
        if uses_arena(entry):
            c.line("uint8_t *const base = arena;")
            c.line("(void)base;")
        for step in program.steps_of(entry):
            c.call(step.function.name, step.arguments)
            c.line(f"TINYIR_AFTER_OP({step.index});")
            check_loss(entry, step, c)
        c.line("return 0;")


def uses_arena(entry: Entry) -> bool:
    """Whether a function takes the arena: all but the one that fills in parameters."""
    return bool(entry.ports)


def parameters(program: Program, entry: Entry) -> str:
    """The parameter list of a function."""
    texts = ["void *arena"] if uses_arena(entry) else []
    if entry.has_params:
        texts.append(f"{'' if entry.writes_params else 'const '}{program.name}_params *p")
    texts += [f"const {C_TYPES[port.type.storage]} *{port.parameter}" for port in entry.inputs]
    texts += [f"{C_TYPES[port.type.storage]} {port.parameter}" for port in entry.values]
    texts += [f"{C_TYPES[port.type.storage]} *{port.parameter}" for port in entry.outputs]
    return ", ".join(texts)
