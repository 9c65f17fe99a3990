"""Thumb code as the instructions of `tinyir.machine`: capstone disassembles, tables say what each instruction is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tinyir.diagnostics import ToolError
from tinyir.machine import FLAGS, MachineInstr, make
from tinyir.runtime.decode_fp import decode_fp
from tinyir.runtime.decode_operands import Operands
from tinyir.runtime.toolchain import INSTALL_HELP

_SUMS = frozenset({"add", "addw", "sub", "subw", "mov", "movw", "adr"})
_SHIFTS = frozenset({"lsl", "lsr", "asr", "ror"})
_LOGIC = frozenset({"and", "orr", "eor", "bic", "orn", "mvn", "adc", "sbc", "rsb", "rrx", "movt"})
_COMPARES = frozenset({"cmp", "cmn", "tst", "teq"})
_MULTIPLIES = frozenset({"mul", "smmul", "smmulr"})
_LONG_MULTIPLIES = frozenset({"smull", "umull"})
_MACS = frozenset({"mla", "mls", "smmla", "smmlar", "smmls", "smmlsr"})
_LONG_MACS = frozenset({"umlal", "umaal"})
_REVERSES = frozenset({"rev", "rev16", "revsh", "rbit"})
_SATURATING = frozenset({"usad8", "usada8"})
_BRANCHES = frozenset({"b", "bl", "blx", "bx", "cbz", "cbnz", "tbb", "tbh"})
_LOADS = {"ldr": 4, "ldrt": 4, "ldrb": 1, "ldrsb": 1, "ldrh": 2, "ldrsh": 2, "pld": 4, "ldrex": 4}
_STORES = {"str": 4, "strt": 4, "strb": 1, "strh": 2}
_LOADS_OF_SEVERAL, _STORES_OF_SEVERAL = frozenset({"ldm", "ldmdb"}), frozenset({"stm", "stmdb"})


@functools.lru_cache(maxsize=4096)
def decode(code: bytes, address: int) -> tuple[MachineInstr, ...]:
    """The instructions of a straight line of code at `address`, one for each that the core executes.

    What capstone does not know becomes an instruction that is issued alone. Raises ToolError without capstone.
    """
    found: list[MachineInstr] = []
    at = 0
    while at < len(code):
        for insn in _disassembler().disasm(code[at:], address + at):
            found.append(_instruction(insn))
            at += insn.size
        if at < len(code):
            size = 4 if code[at + 1] >= 0xE8 else 2
            found.append(replace(make.system(f".inst 0x{code[at : at + size].hex()}"), size=size))
            at += size
    return tuple(found)


@functools.cache
def _disassembler() -> Any:
    try:
        import capstone
    except ImportError as error:
        raise ToolError("the Python package capstone was not found", help=INSTALL_HELP) from error
    mode = capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM, mode)
    disassembler.detail = True
    return disassembler


def _instruction(insn: Any) -> MachineInstr:
    ops = Operands(insn)
    made = decode_fp(ops) if ops.name.startswith("v") else _integer(ops)
    if insn.update_flags and FLAGS not in made.writes:
        made = make.setting_flags(made)
    if ops.name in ("adc", "sbc", "rrx", "sel"):
        made = make.reading_flags(made)
    if ops.conditional:
        made = make.conditional(made)
    return replace(made, text=f"{insn.mnemonic} {insn.op_str}".rstrip(), size=insn.size)


def _integer(ops: Operands) -> MachineInstr:
    for family in (_arithmetic, _multiplication, _bits, _memory):
        made = family(ops)
        if made is not None:
            return made
    name = ops.name
    if name in _BRANCHES:
        return make.branch(name)
    if name.startswith("it") or name in ("nop", "hint"):
        return make.no_operation(name)
    return make.system(name, *ops.registers[:1])


def _arithmetic(ops: Operands) -> MachineInstr | None:
    name, regs = ops.name, ops.registers
    if name in _SUMS | _LOGIC | _COMPARES and ops.shifted_constant:
        kept = make.compare(*regs, name=name) if name in _COMPARES else make.alu(regs[0], *ops.sources, name=name)
        return replace(kept, unit=make.SHIFTED_CONSTANT)
    if name in _COMPARES:
        return make.compare(*(regs[:-1] if ops.shifted else regs), name=name, shifted=ops.shifted)
    if name in _SUMS | _LOGIC and ops.shifted:
        return make.alu(regs[0], *ops.sources[:-1], name=name, shifted=ops.shifted)
    if name in _SUMS:
        return make.add(regs[0], *ops.sources, name=name)
    if name in _SHIFTS:
        return make.shift(regs[0], *ops.sources, name=name)
    if name in _LOGIC:
        kept_too = regs[:1] if name == "movt" else []
        return make.alu(regs[0], *ops.sources, *kept_too, name=name)
    return None


def _multiplication(ops: Operands) -> MachineInstr | None:
    name, regs = ops.name, ops.registers
    if name in _LONG_MULTIPLIES:
        return make.multiply(regs[:2], regs[2], regs[3], name)
    if name in _MULTIPLIES or name.startswith(("smul", "smuad", "smusd")):
        return make.multiply(regs[:1], regs[-2], regs[-1], name)
    if name in _LONG_MACS or name.startswith(("smlal", "smlsld")):
        return make.mac_long(regs[0], regs[1], regs[2], regs[3], name)
    if name in _MACS or name.startswith(("smla", "smlsd")):
        return make.mac(regs[3], regs[1], regs[2], name, out=regs[0])
    if name in ("sdiv", "udiv"):
        return make.divide(regs[0], regs[-2], regs[-1], name)
    return None


def _bits(ops: Operands) -> MachineInstr | None:
    name, regs = ops.name, ops.registers
    if name.startswith(("sxta", "uxta", "pkh")):
        return make.pack_two(regs[0], regs[-2], regs[-1], name)
    if name.startswith(("sxt", "uxt")):
        return make.pack(regs[0], regs[-1], name)
    if name in ("bfi", "bfc"):
        return make.insert_field(regs[0], regs[-1], name)
    if name in ("sbfx", "ubfx"):
        return make.extract_field(regs[0], regs[-1], name)
    if name in _REVERSES:
        return make.reverse(regs[0], regs[-1], name)
    if name.startswith(("ssat", "usat")):
        return make.saturate(regs[0], regs[-1], name)
    if name.startswith(("q", "uq")) or name in _SATURATING:
        return make.simd(regs[0], *ops.sources, name=name, saturating=True)
    if name in ("clz", "sel") or name.endswith(("add16", "sub16", "add8", "sub8", "asx", "sax")):
        return make.simd(regs[0], *ops.sources, name=name)
    return None


def _memory(ops: Operands) -> MachineInstr | None:
    name, regs = ops.name, ops.registers
    if name in _LOADS:
        out = regs[0] if regs else "pc"
        return make.load(out, ops.base, offset=ops.offset, index=ops.index, bytes=_LOADS[name], update=ops.updates)
    if name in _STORES:
        return make.store(
            regs[0], ops.base, offset=ops.offset, index=ops.index, bytes=_STORES[name], update=ops.updates
        )
    if name in ("ldrd", "strd"):
        several: Callable[..., MachineInstr] = make.load_several if name == "ldrd" else make.store_several
        return several(regs, ops.base, update=ops.updates, name=name)
    if name in ("pop", "push"):
        several = make.load_several if name == "pop" else make.store_several
        return several(regs, "sp", update=True, name=name)
    if name in _LOADS_OF_SEVERAL:
        return make.load_several(regs[1:], regs[0], update=ops.updates, name=name)
    if name in _STORES_OF_SEVERAL:
        return make.store_several(regs[1:], regs[0], update=ops.updates, name=name)
    return None
