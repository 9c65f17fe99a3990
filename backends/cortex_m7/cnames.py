"""How types, names and indices are spelt in C."""

from __future__ import annotations

import re

from tinyir.backends.cortex_m7.slots import Slots
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.ir import Param

C_TYPES = {
    DType.I4: "int8_t",
    DType.I8: "int8_t",
    DType.I16: "int16_t",
    DType.I32: "int32_t",
    DType.I64: "int64_t",
    DType.U8: "uint8_t",
    DType.F32: "float",
    DType.BOOL: "bool",
}


def identifier(name: str) -> str:
    """`name` as a C identifier, in ASCII: compilers, linkers and CMake differ on what else they take."""
    return re.sub(r"\W", lambda ch: "_" if ch[0].isascii() else f"u{ord(ch[0]):04x}", name, flags=re.ASCII)


def element_type(param: Param) -> str:
    """The C type of a kernel's view of an element of a buffer."""
    return f"{'const ' if param.role in ('in', 'const') else ''}{C_TYPES[param.dtype]}"


def affine(expr: Affine, slots: Slots, of: str) -> str:
    """An index, the steepest variable first. Its numbers are in slots; `of` names what it is an index of."""
    terms = sorted(expr.terms, key=lambda term: (-abs(term[1]), term[0]))
    text = ""
    for var, coef in terms:
        factor = var if abs(coef) == 1 else f"{slots.put(abs(coef), f'{of}_{var}')} * {var}"
        text += (" - " if coef < 0 else " + ") + factor if text else ("-" if coef < 0 else "") + factor
    first = slots.put(abs(expr.const), f"{of}_first") if expr.const or not text else ""
    if not text:
        return f"-{first}" if expr.const < 0 else first
    return f"{text} {'-' if expr.const < 0 else '+'} {first}" if first else text
