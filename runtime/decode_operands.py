"""What capstone says of an instruction's operands, by the roles they play."""

from __future__ import annotations

from functools import cached_property
from typing import Any

_REG, _IMM, _MEM, _FP = 1, 2, 3, 4  # CS_OP_REG, CS_OP_IMM, CS_OP_MEM (in its low bits), CS_OP_FP
_ALWAYS = (0, 15)  # ARM_CC_INVALID, ARM_CC_AL
_PREDICTED = frozenset({"b", "cbz", "cbnz"})
"""Branches with conditions of their own, which are predicted and wait for no flags."""

_ONE_SOURCE = frozenset({"mov", "movw", "movt", "mvn", "adr", "clz", "rrx"})
_ALIASES = {"fmstat": "vmrs", "fconsts": "vmov"}


class Operands:
    """One instruction of capstone. `registers` are the operands that are registers, in the order of assembly."""

    def __init__(self, insn: Any) -> None:
        self._insn = insn
        name = str(insn.insn_name())
        self.name = "it" if name.startswith("it") else _ALIASES.get(name, name)
        self.all: list[Any] = list(insn.operands)

    @property
    def size(self) -> int:
        """Bytes of the instruction: 2 or 4."""
        return int(self._insn.size)

    @property
    def conditional(self) -> bool:
        """Whether it stands in an IT block."""
        if self.name in _PREDICTED or self.name == "it" or self.name.startswith("vsel"):
            return False
        return self._insn.cc not in _ALWAYS

    @cached_property
    def registers(self) -> list[str]:
        """Names of the registers; a double is two singles."""
        return [name for op in self.all if op.type == _REG for name in self._singles(op.reg)]

    @property
    def sources(self) -> list[str]:
        """Registers without the destination, which is a source as well where two operands stand for three."""
        in_place = len(self.all) == 2 and self.name not in _ONE_SOURCE
        return self.registers if in_place else self.registers[1:]

    @property
    def shifted(self) -> str | None:
        """The last register, if it is shifted inline."""
        last = self.all[-1] if self.all else None
        if last is None or last.type != _REG or not last.shift.type or not (last.shift.value or self.name == "rrx"):
            return None
        return self.registers[-1]

    @property
    def shifted_constant(self) -> bool:
        """Whether a constant is a byte shifted to its place, not a plain number or a repeated pattern."""
        if self.size != 4 or not self.all or self.all[-1].type != _IMM:
            return False
        first, second = (int.from_bytes(self._insn.bytes[i : i + 2], "little") for i in (0, 2))
        modified = first & 0xFA00 == 0xF000 and second & 0x8000 == 0
        return modified and bool(first & 0x0400 or second & 0x4000)

    @property
    def has_constant(self) -> bool:
        """Whether the last operand is a number."""
        return bool(self.all) and self.all[-1].type in (_IMM, _FP)

    @property
    def updates(self) -> bool:
        """Whether the base register of an access changes."""
        return bool(self._insn.writeback)

    @property
    def base(self) -> str:
        """The base register of an access."""
        return self._name(self._memory.mem.base) if self._memory else self.registers[-1]

    @property
    def index(self) -> str | None:
        """The index register of an access."""
        if self._memory is None or not self._memory.mem.index:
            return None
        return self._name(self._memory.mem.index)

    @property
    def offset(self) -> int | None:
        """The constant offset of an access, if the address depends on nothing else."""
        if self._memory is None or self._memory.mem.index:
            return None
        return int(self._memory.mem.disp)

    @cached_property
    def _memory(self) -> Any:
        return next((op for op in self.all if op.type == _MEM), None)

    def _name(self, number: int) -> str:
        return str(self._insn.reg_name(number))

    def _singles(self, number: int) -> list[str]:
        name = self._name(number)
        if name.startswith("d") and name[1:].isdigit() and int(name[1:]) < 16:
            low = 2 * int(name[1:])
            return [f"s{low}", f"s{low + 1}"]
        return [name]
