"""Random Thumb code, as a program of many ops: IT blocks, loads and stores of every kind, flags, branches.

Each op is one function in assembly. It takes its registers and flags from the output buffer, computes, and puts them
back. Its accesses are to the last four words of the two buffers, next to what nobody may touch, and to the stack.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = 24
"""Of the input, and of the output: r0 to r7, s0 to s7, the flags, and room for stores."""

BYTES = 4 * WORDS

_CONDITIONS = ["eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"]

# In an IT block {c} is the condition and the flags stay; outside, {c} is empty and {s} makes the instruction set them.
_COMPUTE = [
    "add{s}{c} r{a}, r{b}, r{d}",
    "sub{s}{c} r{a}, r{b}, r{d}",
    "mov{s}{c} r{a}, #{n}",
    "lsl{s}{c} r{a}, r{b}, #{m}",
    "and{s}{c} r{a}, r{b}",
    "adc{s}{c} r{a}, r{b}",
    "cmp{c} r{a}, r{b}",
    "cmp{c} r{a}, #{n}",
    "uadd8{c} r{a}, r{b}, r{d}",
    "sel{c} r{a}, r{b}, r{d}",
    "qadd{c} r{a}, r{b}, r{d}",
    "smlabb{c} r{a}, r{b}, r{d}, r{a}",
    "umull{c} r{lo}, r{hi}, r{b}, r{d}",
    "vmov{c} r{a}, s{b}",
    "vmov{c} s{a}, r{b}",
]
# r8 is the input, r9 the output; r10 is 16 bytes before the end of the input, r11 of the output; r12 moves from there.
_LOAD = [
    "ldr{c} r{a}, [{any}, #{w}]",
    "ldrb{c} r{a}, [{any}, #{w}]",
    "ldrsh{c} r{a}, [{any}, #{w}]",
    "ldrd{c} r{lo}, r{hi}, [{any}, #{w2}]",
    "ldmia{c} {any}, {{r{lo}, r{hi}}}",
    "vldr{c} s{a}, [{any}, #{w}]",
    "vldr{c} d{h}, [{any}, #{w2}]",
    "vldmia{c} {any}, {{s{lo}, s{hi}}}",
    "vldmia{c} {any}, {{d0, d1}}",
    "ldr{c} r{a}, [r12], #4",
    "ldr{c} r{a}, [r12, #-4]!",
    "pop{c} {{r{lo}, r{hi}}}",
]
_STORE = [
    "str{c} r{a}, [{out}, #{w}]",
    "strb{c} r{a}, [{out}, #{w}]",
    "strh{c} r{a}, [{out}, #{w}]",
    "strd{c} r{lo}, r{hi}, [{out}, #{w2}]",
    "stmia{c} {out}, {{r{lo}, r{hi}}}",
    "vstr{c} s{a}, [{out}, #{w}]",
    "vstmia{c} {out}, {{d0, d1}}",
    "push{c} {{r{lo}, r{hi}}}",
]

_HEADER = """\
#include <stdint.h>
int32_t *thumb_input0(void *arena);
int32_t *thumb_output0(void *arena);
int thumb_run(void *arena, const int32_t *input0, int32_t *output0);
"""
_ENTRY = f"""\
int32_t *thumb_input0(void *arena) {{ return (int32_t *)arena; }}
int32_t *thumb_output0(void *arena) {{ return (int32_t *)arena + {WORDS}; }}
int thumb_run(void *arena, const int32_t *input0, int32_t *output0)
{{
    (void)arena;
    for (int i = 0; i < {WORDS}; i++) output0[i] = input0[i];
"""
_BEGIN = """
push {{r4-r11, lr}}
mov lr, sp
mov r2, #0
mov r3, #256
1: push {{r2}}
subs r3, r3, #1
bne 1b
add sp, sp, #512
mov r8, r0
mov r9, r1
add r10, r0, #{end}
add r11, r1, #{end}
vldmia r9, {{d0-d7}}
add r3, r9, #32
vldmia r3, {{s0-s7}}
ldr r3, [r9, #64]
msr apsr_nzcvqg, r3
ldmia r9, {{r0-r7}}
"""
_END = """
mov sp, lr
stmia r9, {{r0-r7}}
mrs r3, apsr
str r3, [r9, #64]
add r3, r9, #32
vstmia r3, {{s0-s7}}
pop {{r4-r11, pc}}
"""


def write_program(folder: Path, seed: int, ops: int) -> Path:
    """A program of `ops` random functions, in `folder`."""
    random = np.random.default_rng(seed)
    functions = {f"op{i}": _function(f"op{i}", random) for i in range(ops)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thumb.h").write_text(_HEADER)
    (folder / "thumb.c").write_text(_source(functions))
    (folder / "report.json").write_text(json.dumps(_report(list(functions))))
    return folder


def random_input(seed: int) -> NDArray[np.int32]:
    """Small numbers, so that comparisons go either way, and any flags."""
    random = np.random.default_rng(seed)
    values = random.integers(-3, 4, WORDS).astype(np.int32)
    values[16] = np.int32(random.integers(0, 16)) << np.int32(28)
    return values


def _source(functions: dict[str, list[str]]) -> str:
    parts = [
        f"__asm__(\n{_quoted(lines)});\nvoid {name}(const int32_t *, int32_t *);\n" for name, lines in functions.items()
    ]
    calls = "".join(f"    {name}(input0, output0);\n" for name in functions)
    return '#include "thumb.h"\n' + "".join(parts) + _ENTRY + calls + "    return 0;\n}\n"


def _report(names: list[str]) -> dict[str, Any]:
    tensor = {"dtype": "int32", "shape": [WORDS], "bytes": BYTES}
    op = {"kind": "thumb", "location": "", "macs": 0, "live_bytes": 2 * BYTES, "outputs": [tensor | {"offset": BYTES}]}
    return {
        "name": "thumb",
        "entry": "thumb_run",
        "header": "thumb.h",
        "sources": ["thumb.c"],
        "arena_bytes": 2 * BYTES,
        "arena_align": 8,
        "macs": 0,
        "inputs": [tensor | {"name": "x"}],
        "outputs": [tensor | {"name": "y"}],
        "ops": [op | {"index": i, "name": name, "function": name} for i, name in enumerate(names)],
    }


def _function(name: str, random: np.random.Generator) -> list[str]:
    lines = [".syntax unified", ".thumb", f".type {name}, %function", ".thumb_func", f"{name}:"]
    lines += _BEGIN.format(end=BYTES - 16).split("\n")
    for part in range(int(random.integers(3, 9))):
        lines += _part(random, f".L{name}_{part}")
    return [*lines, *_END.format().split("\n"), f".size {name}, . - {name}"]


def _part(random: np.random.Generator, label: str) -> list[str]:
    """Some instructions, in an IT block or not, and then perhaps the end of a basic block."""
    lines = ["sub r12, r11, #4"]
    if random.random() < 0.7:
        lines += _it_block(random)
    else:
        lines += [_instruction(random, "") for _ in range(int(random.integers(1, 5)))]
    match int(random.integers(3)):
        case 0:
            return [*lines, f"b {label}", f"{label}:"]
        case 1:
            return [*lines, f"b{_pick(random, _CONDITIONS)} {label}", _instruction(random, ""), f"{label}:"]
    return lines


def _it_block(random: np.random.Generator) -> list[str]:
    """Neighbours in _CONDITIONS are opposites: a "t" in the name stands for the one, an "e" for the other."""
    condition = int(random.integers(len(_CONDITIONS)))
    others = [int(other) for other in random.integers(2, size=int(random.integers(4)))]
    first = "it" + "".join("te"[other] for other in others) + " " + _CONDITIONS[condition]
    return [first, *(_instruction(random, _CONDITIONS[condition ^ other]) for other in [0, *others])]


def _instruction(random: np.random.Generator, condition: str) -> str:
    a, b, d = (int(register) for register in random.integers(8, size=3))
    lo = int(random.integers(7))
    return _pick(random, [_COMPUTE, _LOAD, _STORE][int(random.integers(3))]).format(
        c=condition,
        s="" if condition else "s",
        a=a,
        b=b,
        d=d,
        h=a // 2,
        lo=lo,
        hi=lo + 1,
        n=int(random.integers(4)),
        m=int(random.integers(1, 32)),
        w=4 * min(int(random.integers(5)), 3),
        w2=4 * min(int(random.integers(4)), 2),
        any=_pick(random, ["r10", "r11"]),
        out="r11",
    )


def _pick(random: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(random.integers(len(items)))]


def _quoted(lines: list[str]) -> str:
    return "\n".join(f'"{line}\\n"' for line in lines if line)
