"""How types, names and indices are spelt in C."""

from __future__ import annotations

import re

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine

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


def affine(expr: Affine) -> str:
    """An index, the steepest variable first."""
    terms = sorted(expr.terms, key=lambda term: (-abs(term[1]), term[0]))
    text = ""
    for var, coef in terms:
        factor = var if abs(coef) == 1 else f"{abs(coef)} * {var}"
        text += (" - " if coef < 0 else " + ") + factor if text else ("-" if coef < 0 else "") + factor
    if not text:
        return str(expr.const)
    return text + (f" {'-' if expr.const < 0 else '+'} {abs(expr.const)}" if expr.const else "")
