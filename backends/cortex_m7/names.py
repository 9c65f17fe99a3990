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


_NO_FIELD = re.compile(
    # keywords of C and C++, which may include the header
    "alignas|alignof|and|and_eq|asm|auto|bitand|bitor|bool|break|case|catch|char|char8_t|char16_t|char32_t|class|compl"
    "|concept|const|const_cast|consteval|constexpr|constinit|continue|co_await|co_return|co_yield|decltype|default"
    "|delete|do|double|dynamic_cast|else|enum|explicit|export|extern|false|float|for|friend|goto|if|inline|int|long"
    "|mutable|namespace|new|noexcept|not|not_eq|nullptr|operator|or|or_eq|private|protected|public|register"
    "|reinterpret_cast|requires|restrict|return|short|signed|sizeof|static|static_assert|static_cast|struct|switch"
    "|template|this|thread_local|throw|true|try|typedef|typeid|typename|typeof|typeof_unqual|union|unsigned|using"
    "|virtual|void|volatile|wchar_t|while|xor|xor_eq"
    # macros of the headers and of compilers
    "|NULL|unix|linux|errno|U?INT_?(LEAST|FAST)?(8|16|32|64|PTR|MAX)_(MIN|MAX|C)"
    "|(SIZE|PTRDIFF|WCHAR|WINT|SIG_ATOMIC)_(MIN|MAX)|TINYIR_.*|_.*|[0-9].*|"
)


def field(name: str) -> str:
    """The name of a parameter as that of a field of a struct."""
    found = identifier(name)
    return f"p_{found}" if _NO_FIELD.fullmatch(found) else found


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
