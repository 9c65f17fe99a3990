"""The instructions of kernels, made from the registers they use; those of the FPU are in `make_fp.py`.

mac("acc", "w", "x")                       SMLAD acc, w, x, acc
pack("w", "packed")                        SXTB16 w, packed
load("packed", "weights", offset=8)        LDR packed, [weights, #8]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinyir.machine.instr import FLAGS, Access, MachineInstr, OpClass, Reg, giving, reading
from tinyir.machine.timing import (
    BYTE,
    DIVIDE_CYCLES,
    FLAGS_SET,
    LATE,
    PRODUCT,
    REVERSED,
    SATURATED,
    UPDATED,
    WORD,
    WRITE_FIFTHS,
    Early,
    Latency,
    Port,
    Slots,
    Unit,
    sooner,
)

SHIFTED_CONSTANT = Unit.SHIFTER
"""What an operation needs whose constant is a byte shifted to its place [J]."""


# ---- multiplication ----


def mac(acc: Reg, a: Reg, b: Reg, name: str = "smlad", *, out: Reg | None = None) -> MachineInstr:
    """A multiply-accumulate, in whatever lanes: `out`, or the accumulator itself, becomes acc + a * b."""
    needs = reading(Port.MULTIPLIER, a, b) + reading(Port.ACCUMULATOR, acc)
    text = f"{name} {out or acc}, {a}, {b}, {acc}"
    return MachineInstr(text, OpClass.MAC, needs, giving(PRODUCT, out or acc), unit=Unit.MAC_OR_STORE)


def mac_long(low: Reg, high: Reg, a: Reg, b: Reg, name: str = "smlal") -> MachineInstr:
    """A multiply-accumulate into a pair of registers."""
    needs = reading(Port.MULTIPLIER, a, b) + reading(Port.ACCUMULATOR, low, high)
    text = f"{name} {low}, {high}, {a}, {b}"
    return MachineInstr(text, OpClass.MAC, needs, giving(PRODUCT, low, high), unit=Unit.MAC_OR_STORE)


def multiply(outs: Sequence[Reg], a: Reg, b: Reg, name: str = "mul") -> MachineInstr:
    """A multiplication without accumulation, into one register or two."""
    needs = reading(Port.MULTIPLIER, a, b)
    text = f"{name} {', '.join(outs)}, {a}, {b}"
    return MachineInstr(text, OpClass.MAC, needs, giving(PRODUCT, *outs), unit=Unit.MAC_OR_STORE)


def divide(out: Reg, a: Reg, b: Reg, name: str = "sdiv") -> MachineInstr:
    """SDIV, UDIV."""
    text = f"{name} {out}, {a}, {b}"
    needs = reading(Port.ALU, a, b)
    return MachineInstr(text, OpClass.ALU, needs, giving(LATE, out), slots=Slots.ALONE, cycles=DIVIDE_CYCLES)


# ---- bit fields and DSP: older of a pair, one of them in it [J] ----


def pack(out: Reg, a: Reg, name: str = "sxtb16") -> MachineInstr:
    """An extension of bytes or halfwords, rotated or not: SXTB16, UXTB, SXTH."""
    return _dsp(f"{name} {out}, {a}", out, reading(Port.ALU, a), opclass=OpClass.PACK)


def pack_two(out: Reg, a: Reg, shifted: Reg, name: str = "pkhbt") -> MachineInstr:
    """A combination of a register with one that is shifted or extracted first: PKHBT, PKHTB, SXTAB16.

    PKHTB needs both early [J].
    """
    port = Port.SHIFTER if name == "pkhtb" else Port.MIXED
    needs = reading(port, a) + reading(Port.SHIFTER, shifted)
    return _dsp(f"{name} {out}, {a}, {shifted}", out, needs, unit=Unit.SHIFTER, opclass=OpClass.PACK)


def insert_field(out: Reg, field: Reg, name: str = "bfi") -> MachineInstr:
    """BFI: the field is shifted into `out`, which keeps the rest [J]."""
    needs = reading(Port.MIXED, out) + reading(Port.SHIFTER, field)
    return _dsp(f"{name} {out}, {field}", out, needs, unit=Unit.SHIFTER)


def extract_field(out: Reg, a: Reg, name: str = "ubfx") -> MachineInstr:
    """UBFX, SBFX: the source must be there early [J]."""
    return _dsp(f"{name} {out}, {a}", out, reading(Port.SHIFTER, a), unit=Unit.SHIFTER)


def reverse(out: Reg, a: Reg, name: str = "rev") -> MachineInstr:
    """REV, RBIT and their kin, which execute early [J]."""
    return _dsp(f"{name} {out}, {a}", out, reading(Port.SHIFTER, a), REVERSED, Unit.SHIFTER)


def saturate(out: Reg, a: Reg, name: str = "ssat") -> MachineInstr:
    """SSAT or USAT, with a shift or without: the source must be there early [L]."""
    return _dsp(f"{name} {out}, {a}", out, reading(Port.SHIFTER, a), SATURATED, Unit.SHIFTER)


def simd(out: Reg, *operands: Reg, name: str = "sadd16", saturating: bool = False) -> MachineInstr:
    """Parallel or saturating additions and the like: SADD16, SEL, CLZ; QADD, USAD8 with a longer latency [L]."""
    text = f"{name} {', '.join((out, *operands))}"
    return _dsp(text, out, reading(Port.ALU, *operands), SATURATED if saturating else LATE)


def _dsp(
    text: str,
    out: Reg,
    needs: tuple[tuple[Reg, int], ...],
    latency: Latency = LATE,
    unit: int = 0,
    opclass: OpClass = OpClass.ALU,
) -> MachineInstr:
    return MachineInstr(text, opclass, needs, giving(latency, out), unit=Unit.DSP | unit, slots=Slots.OLDER)


# ---- arithmetic and logic ----


def alu(out: Reg, *operands: Reg, name: str = "orr", shifted: Reg | None = None) -> MachineInstr:
    """An operation of the late ALU: logic, ADC, RSB; with `shifted`, another operand that is shifted inline."""
    if shifted is None:
        text = f"{name} {', '.join((out, *operands))}"
        return MachineInstr(text, OpClass.ALU, reading(Port.ALU, *operands), giving(LATE, out))
    needs = reading(Port.MIXED, *operands) + reading(Port.SHIFTER, shifted)
    text = f"{name} {', '.join((out, *operands, shifted))}, lsl"
    return MachineInstr(text, OpClass.ALU, needs, giving(LATE, out), unit=Unit.SHIFTER)


def add(out: Reg, *operands: Reg, name: str = "add") -> MachineInstr:
    """ADD, SUB or MOV of registers and simple constants."""
    text = f"{name} {', '.join((out, *operands))}"
    return MachineInstr(text, OpClass.ALU, reading(Port.ALU, *operands), giving(LATE, out), early=Early.ADDER)


def shift(out: Reg, *operands: Reg, name: str = "asr") -> MachineInstr:
    """A shift or rotation by a constant or a register."""
    text = f"{name} {', '.join((out, *operands))}"
    return MachineInstr(text, OpClass.ALU, reading(Port.ALU, *operands), giving(LATE, out), early=Early.SHIFT)


def compare(*operands: Reg, name: str = "cmp", shifted: Reg | None = None) -> MachineInstr:
    """A comparison, for a branch or a conditional instruction."""
    made = alu(FLAGS, *operands, name=name, shifted=shifted)
    return replace(made, text=made.text.replace(f"{FLAGS}, ", "", 1), gives=giving(FLAGS_SET, FLAGS))


# ---- memory ----


def load(
    out: Reg,
    base: Reg,
    *,
    offset: int | None = 0,
    index: Reg | None = None,
    bytes: int = 4,
    update: bool = False,
    name: str = "",
) -> MachineInstr:
    """A load of 1, 2 or 4 bytes at base + offset, or base + index; with `update` the base moves by the offset."""
    needs = reading(Port.ADDRESS, base, *([index] if index else []))
    gives = giving(WORD if bytes == 4 else BYTE, out) + (giving(UPDATED, base) if update else ())
    access = Access(base, None if index or update else offset, bytes)
    text = _addressed(name or {1: "ldrsb", 2: "ldrsh", 4: "ldr"}[bytes], out, base, index or f"#{offset}", update)
    return MachineInstr(text, OpClass.LOAD, needs, gives, access=access)


def store(
    data: Reg,
    base: Reg,
    *,
    offset: int | None = 0,
    index: Reg | None = None,
    bytes: int = 4,
    update: bool = False,
    name: str = "",
) -> MachineInstr:
    """A store of 1, 2 or 4 bytes at base + offset, or base + index; with `update` the base moves by the offset."""
    needs = reading(Port.DATA, data) + reading(Port.ADDRESS, base, *([index] if index else []))
    gives = giving(UPDATED, base) if update else ()
    access = Access(base, None if index or update else offset, bytes, writes=True)
    text = _addressed(name or {1: "strb", 2: "strh", 4: "str"}[bytes], data, base, index or f"#{offset}", update)
    room = WRITE_FIFTHS[bytes]
    return MachineInstr(text, OpClass.STORE, needs, gives, unit=Unit.MAC_OR_STORE, access=access, buffered=room)


def load_several(
    outs: Sequence[Reg], base: Reg, *, latency: Latency = WORD, update: bool = False, name: str = "ldm"
) -> MachineInstr:
    """LDM, LDRD, POP: alone, two registers a cycle [J]."""
    cycles = max(1, -(-len(outs) // 2))
    gives = tuple((out, sooner(latency, cycles - 1 - i // 2)) for i, out in enumerate(outs))
    gives += giving(UPDATED, base) if update else ()
    text = f"{name} {base}, {{{', '.join(outs)}}}"
    access = Access(base, None, 4 * len(outs))
    needs = reading(Port.ADDRESS, base)
    return MachineInstr(text, OpClass.LOAD, needs, gives, slots=Slots.ALONE, cycles=cycles, access=access)


def store_several(
    data: Sequence[Reg], base: Reg, *, port: int = Port.DATA, update: bool = False, name: str = "stm"
) -> MachineInstr:
    """STM, STRD, PUSH: alone, two registers a cycle [J]."""
    needs = reading(port, *data) + reading(Port.ADDRESS, base)
    text = f"{name} {base}, {{{', '.join(data)}}}"
    access = Access(base, None, 4 * len(data), writes=True)
    gives = giving(UPDATED, base) if update else ()
    cycles = max(1, -(-len(data) // 2))
    return MachineInstr(text, OpClass.STORE, needs, gives, slots=Slots.ALONE, cycles=cycles, access=access)


# ---- the rest ----


def branch(name: str = "bne", *operands: Reg) -> MachineInstr:
    """A branch, which is predicted and waits for nothing: not even for the flags, or for an address in a register."""
    text = f"{name} {', '.join(operands)}".rstrip()
    return MachineInstr(text, OpClass.BRANCH, unit=Unit.BRANCH)


def no_operation(name: str = "nop") -> MachineInstr:
    """NOP, IT: an issue slot and nothing else [J]."""
    return MachineInstr(name, OpClass.OTHER)


def system(name: str, *outs: Reg) -> MachineInstr:
    """What is issued alone and has no timing of its own here: MRS, DSB, SVC [L]."""
    text = f"{name} {', '.join(outs)}".rstrip()
    return MachineInstr(text, OpClass.OTHER, gives=giving(LATE, *outs), slots=Slots.ALONE)


def setting_flags(instr: MachineInstr) -> MachineInstr:
    """The same instruction with an S: it writes the flags as well."""
    return replace(instr, gives=instr.gives + giving(FLAGS_SET, FLAGS))


def reading_flags(instr: MachineInstr) -> MachineInstr:
    """The same instruction with the flags as an operand: ADC, SBC, SEL."""
    return replace(instr, needs=instr.needs + reading(Port.ALU, FLAGS))


def conditional(instr: MachineInstr) -> MachineInstr:
    """The same instruction in an IT block: it takes its slot whatever the flags are, and needs what it may keep [J]."""
    kept = tuple(reg for reg, _ in instr.gives if reg != FLAGS and reg not in instr.reads)
    return replace(instr, needs=instr.needs + reading(Port.ALU, FLAGS, *kept), early=Early.NO)


def narrow(instr: MachineInstr) -> MachineInstr:
    """The same instruction in 16 bits."""
    return replace(instr, size=2)


def _addressed(name: str, reg: Reg, base: Reg, offset: str, update: bool) -> str:
    return f"{name} {reg}, [{base}], {offset}" if update else f"{name} {reg}, [{base}, {offset}]"
