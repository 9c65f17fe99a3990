"""C names that nobody else has: not the language, not the header of the program, not the headers that it includes."""

from __future__ import annotations

import re

from tinyir.backends.cortex_m7.cnames import identifier

_RESERVED = re.compile(
    # headers, which NAME.h would hide
    "assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic"
    "|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype|arm_acle"
    "|u?int(8|16|32|64|ptr|max)"  # types, with _t
    "|all|clean|help|install|package|test"  # targets of CMake
    "|tinyir",  # helpers
    re.IGNORECASE,
)


def prefix(model: str) -> str:
    """The model's name as the beginning of C names, and of the names of files."""
    name = identifier(model) or "model"
    return f"m{name}" if name[0].isdigit() or name[0] == "_" or _RESERVED.fullmatch(name) else name


def header_names(ports: list[str]) -> list[str]:
    """What the header of a program declares and defines, without the prefix; `ports` are its inputs and outputs."""
    facts = ("BYTES", "ELEMENTS", "SHAPE", "SCALE", "ZERO_POINT")
    macros = [f"{port.upper()}_{fact}" for port in ports for fact in facts]
    return ["run", *ports, "H", "ARENA_BYTES", "ARENA_ALIGN", "MACS", *macros]


def unique(name: str, taken: set[str]) -> str:
    """`name`, or that with a number where it is taken; taken from now on."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
