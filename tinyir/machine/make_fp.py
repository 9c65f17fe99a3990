"""Single-precision instructions of the FPU, made from the registers they use."""

from __future__ import annotations

from tinyir.machine.instr import FLAGS, Access, MachineInstr, OpClass, Reg, giving, reading
from tinyir.machine.timing import (
    FLAGS_SET,
    FP_CHAINED,
    FP_DIVIDE_CYCLES,
    FP_FUSED,
    FP_MOVED,
    FP_ROOT_CYCLES,
    FP_SHADOW,
    FP_SUM,
    FP_WORD,
    MOVED_TO_CORE,
    WRITE_FIFTHS,
    Kind,
    Port,
    Slots,
    Unit,
)

_SHADOW: Reg = "fp-shadow"
"""Not a register: what a multiply-accumulate leaves in the pipeline, which a sum must wait for [J]."""


def fp_sum(out: Reg, *operands: Reg, name: str = "vadd.f32") -> MachineInstr:
    """VADD, VSUB, VCVT, VABS and their kin."""
    needs = reading(Port.FP_ADD, *operands, _SHADOW)
    return MachineInstr(_text(name, out, *operands), OpClass.FPU, needs, giving(FP_SUM, out), unit=Unit.FP)


def fp_multiply(out: Reg, a: Reg, b: Reg, name: str = "vmul.f32") -> MachineInstr:
    """VMUL."""
    needs = reading(Port.FP_MUL, a, b)
    return MachineInstr(_text(name, out, a, b), OpClass.FPU, needs, giving(FP_SUM, out), unit=Unit.FP)


def fp_mac(acc: Reg, a: Reg, b: Reg, name: str = "vfma.f32") -> MachineInstr:
    """VFMA and VMLA and their kin: `acc` becomes acc + a * b."""
    fused = name.startswith("vf")
    needs = reading(Port.FP_MUL, a, b) + reading(Port.FP_FUSED if fused else Port.FP_CHAINED, acc)
    gives = giving(FP_FUSED if fused else FP_CHAINED, acc) + giving(FP_SHADOW, _SHADOW)
    return MachineInstr(_text(name, acc, a, b), OpClass.FPU, needs, gives, unit=Unit.FP | Kind.FP_MAC)


def fp_divide(out: Reg, *operands: Reg, name: str = "vdiv.f32") -> MachineInstr:
    """VDIV and VSQRT, after which everything waits [J]."""
    cycles = FP_ROOT_CYCLES if name.startswith("vsqrt") else FP_DIVIDE_CYCLES
    needs = reading(Port.FP_MUL, *operands)
    return MachineInstr(
        _text(name, out, *operands), OpClass.FPU, needs, giving(FP_SUM, out), unit=Unit.FP, cycles=cycles
    )


def fp_compare(*operands: Reg, name: str = "vcmp.f32") -> MachineInstr:
    """VCMP: for VMRS, which moves the flags of the FPU [L]."""
    needs = reading(Port.FP_ADD, *operands, _SHADOW)
    return MachineInstr(_text(name, *operands), OpClass.FPU, needs, unit=Unit.FP)


def fp_flags(name: str = "vmrs") -> MachineInstr:
    """VMRS APSR_nzcv, FPSCR: alone [L]."""
    gives = giving(FLAGS_SET, FLAGS)
    return MachineInstr(_text(name, FLAGS), OpClass.FPU, gives=gives, unit=Unit.FP, slots=Slots.ALONE)


def fp_select(out: Reg, a: Reg, b: Reg, name: str = "vselgt.f32") -> MachineInstr:
    """VSEL: older of a pair, and it needs the flags early [L]."""
    needs = reading(Port.FP_ADD, a, b) + reading(Port.SHIFTER, FLAGS)
    return MachineInstr(
        _text(name, out, a, b), OpClass.FPU, needs, giving(FP_SUM, out), unit=Unit.FP, slots=Slots.OLDER
    )


def fp_load(out: Reg, base: Reg, *, offset: int | None = 0, name: str = "vldr") -> MachineInstr:
    """VLDR of a single: pairs, but not with a multiply-accumulate [J]."""
    needs = reading(Port.ADDRESS, base)
    access = Access(base, offset, 4)
    text = f"{name} {out}, [{base}, #{offset}]"
    return MachineInstr(text, OpClass.LOAD, needs, giving(FP_WORD, out), unit=Kind.FP_TRANSFER, access=access)


def fp_store(data: Reg, base: Reg, *, offset: int | None = 0, name: str = "vstr") -> MachineInstr:
    """VSTR of a single: pairs, but not with a multiply-accumulate [J]."""
    needs = reading(Port.FP_DATA, data) + reading(Port.ADDRESS, base)
    access = Access(base, offset, 4, writes=True)
    unit, room = Unit.MAC_OR_STORE | Kind.FP_TRANSFER, WRITE_FIFTHS[4]
    return MachineInstr(
        f"{name} {data}, [{base}, #{offset}]", OpClass.STORE, needs, unit=unit, access=access, buffered=room
    )


def fp_move(out: Reg, source: Reg | None, name: str = "vmov.f32") -> MachineInstr:
    """VMOV between FP registers, or of a constant."""
    needs = reading(Port.FP_MOVE, source) if source else ()
    text = _text(name, out, *([source] if source else []))
    unit = Kind.FP_TRANSFER if source else Kind.FP_TRANSFER | Unit.FP_CONSTANT
    return MachineInstr(text, OpClass.FPU, needs, giving(FP_MOVED, out), unit=unit)


def fp_to_core(outs: tuple[Reg, ...], sources: tuple[Reg, ...], name: str = "vmov") -> MachineInstr:
    """VMOV to core registers; two of them alone [J]."""
    needs = reading(Port.FP_TO_CORE, *sources)
    slots = Slots.ALONE if len(outs) > 1 else Slots.ANY
    text = _text(name, *outs, *sources)
    return MachineInstr(text, OpClass.FPU, needs, giving(MOVED_TO_CORE, *outs), unit=Kind.FP_TRANSFER, slots=slots)


def fp_from_core(outs: tuple[Reg, ...], sources: tuple[Reg, ...], name: str = "vmov") -> MachineInstr:
    """VMOV from core registers; two of them alone [J]."""
    needs = reading(Port.CORE_TO_FP, *sources)
    slots = Slots.ALONE if len(sources) > 1 else Slots.ANY
    text = _text(name, *outs, *sources)
    return MachineInstr(text, OpClass.FPU, needs, giving(FP_MOVED, *outs), unit=Kind.FP_TRANSFER, slots=slots)


def _text(name: str, *regs: Reg) -> str:
    return f"{name} {', '.join(reg for reg in regs if reg != _SHADOW)}"
