"""Thumb code as machine instructions: classes, operands by role, sizes."""

from __future__ import annotations

import pytest

from tinyir.machine import OpClass
from tinyir.machine.timing import Early, Port, Slots, Unit
from tinyir.runtime.decode import decode

pytest.importorskip("capstone")


@pytest.mark.parametrize(
    ("code", "text", "opclass", "reads", "writes"),
    [
        ("22fb0312", "smlad r2, r2, r3, r1", OpClass.MAC, "r2 r3 r1", "r2"),
        ("c0fb8534", "smlalbb r3, r4, r0, r5", OpClass.MAC, "r0 r5 r3 r4", "r3 r4"),
        ("2ffa80f1", "sxtb16 r1, r0", OpClass.PACK, "r0", "r1"),
        ("0868", "ldr r0, [r1]", OpClass.LOAD, "r1", "r0"),
        ("51f8043b", "ldr r3, [r1], #4", OpClass.LOAD, "r1", "r3 r1"),
        ("70b5", "push {r4, r5, r6, lr}", OpClass.STORE, "r4 r5 r6 lr sp", "sp"),
        ("0870", "strb r0, [r1]", OpClass.STORE, "r0 r1", ""),
        ("4032", "adds r2, #0x40", OpClass.ALU, "r2", "r2 flags"),
        ("fed1", "bne #0x1000", OpClass.BRANCH, "", ""),
        ("7047", "bx lr", OpClass.BRANCH, "", ""),
        ("00bf", "nop", OpClass.OTHER, "", ""),
        ("67ee277a", "vmul.f32 s15, s14, s15", OpClass.FPU, "s14 s15", "s15"),
        ("b7ee007a", "vmov.f32 s14, #1.0", OpClass.FPU, "", "s14"),
        ("f1ee10fa", "vmrs apsr_nzcv, fpscr", OpClass.FPU, "", "flags"),
        ("bdec028b", "vpop {d8}", OpClass.LOAD, "sp", "s16 s17 sp"),
    ],
)
def test_one(code: str, text: str, opclass: OpClass, reads: str, writes: str) -> None:
    (instr,) = decode(bytes.fromhex(code), 0x1000)
    assert instr.opclass is opclass and instr.mnemonic == text.split()[0]
    assert instr.reads == set(reads.split()) and instr.writes == set(writes.split())
    assert instr.size == len(code) // 2


def test_roles() -> None:
    (instr,) = decode(bytes.fromhex("22fb0312"), 0)
    assert instr.needs == (("r2", Port.MULTIPLIER), ("r3", Port.MULTIPLIER), ("r1", Port.ACCUMULATOR))


def test_a_shifted_operand_is_read_early() -> None:
    (instr,) = decode(bytes.fromhex("00eb8100"), 0)  # add.w r0, r0, r1, lsl #2
    assert instr.needs == (("r0", Port.MIXED), ("r1", Port.SHIFTER)) and instr.unit == Unit.SHIFTER


def test_shifted_constants_and_others() -> None:
    plain, shifted = (decode(bytes.fromhex(code), 0)[0] for code in ("00f10100", "00f58050"))
    assert str(plain) == "add.w r0, r0, #1" and plain.early == Early.ADDER and not plain.unit
    assert str(shifted) == "add.w r0, r0, #0x1000" and shifted.early == Early.NO and shifted.unit == Unit.SHIFTER


def test_an_instruction_of_an_it_block_needs_the_flags_and_what_it_may_keep() -> None:
    it, moved = decode(bytes.fromhex("08bf1146"), 0)  # it eq; moveq r1, r2
    assert it.opclass is OpClass.OTHER
    assert moved.reads == {"r2", "r1", "flags"}


def test_what_is_unknown_is_an_instruction_all_the_same() -> None:
    nop, unknown, after = decode(bytes.fromhex("00bfffffffff00bf"), 0)
    assert str(nop) == str(after) == "nop"
    assert unknown.slots == Slots.ALONE and unknown.size == 4
