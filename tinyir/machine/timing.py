"""The numbers of the Cortex-M7's pipeline: when results are there, when operands are needed, what there is one of.

An instruction reads each operand through a *port*, at the stage of the pipeline where it is used. What produces a
result says for every port how many cycles later, at the earliest, an instruction may issue that reads it there: 0 is
the same cycle, as the younger of a pair. The stages, after LLVM's ARMScheduleM7.td:

    EX1  addresses, inline shifts, early ALU
    EX2  words from memory, late ALU, multiplication
    EX3  bytes from memory, accumulation
    EX4  data of stores

Sources: [J] jnk0le/random, "pipeline cycle test/doc/cortex_m7.md", measured on an STM32H743; [L] ARMScheduleM7.td of
LLVM, written at Arm; [Q] quinapalus.com/cm7cycles.html, measured on an STM32H730, as the README of m7prof reports it;
[T] what that README says of instruction fetch. docs/cycle_model.md says where they part and which was followed.
"""

from __future__ import annotations

from typing import Final

Latency = tuple[int, ...]
"""Cycles until a result can be read, one for each port, from the last cycle in which the instruction was issued."""


class Port:
    """Where an instruction reads an operand: an index into a Latency."""

    ADDRESS: Final = 0  # base or index of a load or store
    SHIFTER: Final = 1  # an inline shifted operand, or the source of a bit field
    ADDER: Final = 2  # the early adder: ADD, SUB, MOV when they execute in EX1
    ALU: Final = 3  # the late ALU
    MIXED: Final = 4  # the late ALU, in an instruction that has another operand shifted
    MULTIPLIER: Final = 5
    ACCUMULATOR: Final = 6
    DATA: Final = 7  # what a store stores
    FP_ADD: Final = 8  # an FP sum, comparison, conversion
    FP_MUL: Final = 9  # a factor of an FP product, fused or not; dividend, divisor
    FP_FUSED: Final = 10  # the accumulator of VFMA
    FP_CHAINED: Final = 11  # the accumulator of VMLA
    FP_DATA: Final = 12  # what VSTR stores
    FP_TO_CORE: Final = 13  # VMOV to a core register
    FP_MOVE: Final = 14  # VMOV from one FP register to another
    CORE_TO_FP: Final = 15  # VMOV from a core register


class Unit:
    """What there is one of, as bits: two instructions that need the same cannot issue in one cycle."""

    MAC_OR_STORE: Final = 1  # one MAC, one store, and no store beside a MAC [J]
    DSP: Final = 2  # bit fields, SIMD, extensions [J]
    SHIFTER: Final = 4  # inline shifts, shifted constants, bit fields with an extracted or shifted operand [J]
    FP: Final = 8  # FP arithmetic [J]
    FP_CONSTANT: Final = 16  # VMOV of a constant [J]
    BRANCH: Final = 32  # one branch unit [L]


class Kind:
    """More bits of the same sets, of which there may be two. FP_MAC and FP_TRANSFER do not go together [J]."""

    FP_MAC: Final = 64  # VFMA, VMLA
    FP_TRANSFER: Final = 128  # VLDR, VSTR, VMOV


class Early:
    """Whether the early ALU, in EX1, can execute an instruction whose operands are there in time [J]."""

    NO: Final = 0
    ADDER: Final = 1  # ADD, SUB, MOV: as the older of a pair only [J]
    SHIFT: Final = 2  # shifts: in either place, unless the older one uses the shifter [J]


class Slots:
    """Where in a pair an instruction may stand."""

    ANY: Final = 0
    OLDER: Final = 1  # bit fields and DSP [J]
    ALONE: Final = 2  # several registers at once [J], divisions, system instructions [L]


def _core(address: int, shifter: int, adder: int, alu: int, mixed: int, mul: int, acc: int, data: int) -> Latency:
    to_fp = max(alu, 1)  # one cycle from any ALU [J]
    return (address, shifter, adder, alu, mixed, mul, acc, data, 0, 0, 0, 0, 0, 0, 0, to_fp)


def _fp(add: int, mul: int, fused: int, chained: int, data: int, to_core: int, move: int) -> Latency:
    return (0, 0, 0, 0, 0, 0, 0, 0, add, mul, fused, chained, data, to_core, move, 0)


# Arguments: address, shifter, adder, alu, mixed, mul, acc, data.

EARLY = _core(1, 1, 1, 0, 0, 0, 0, 0)
"""ADD, SUB, MOV and shifts in the early ALU: for the late ALU in the same cycle, for EX1 in the next [J]."""

REVERSED = _core(2, 2, 1, 0, 0, 0, 0, 0)
"""REV, RBIT: early, but neither addresses nor shifted operands have them in the next cycle [J]."""

UPDATED = _core(1, 1, 2, 0, 0, 0, 0, 0)
"""The base that a load or store updates: early, but not for the early adder of the next cycle [J]."""

LATE = _core(2, 2, 2, 1, 1, 1, 0, 0)
"""The late ALU: one cycle more to EX1; accumulators and stores take it in the same cycle [J]."""

SATURATED = _core(3, 3, 3, 2, 2, 2, 1, 0)
"""SSAT, USAT, QADD, USAD8 and their kin have one cycle more [L]; a store can take any result at once [J]."""

PRODUCT = _core(3, 3, 3, 2, 2, 2, 1, 1)
"""Multiplications: one cycle more than the late ALU; accumulators chain every cycle [J]."""

WORD = _core(3, 3, 3, 1, 2, 2, 1, 0)
"""A word from memory. The late ALU has it in the next cycle, unless another operand is shifted; a multiplier in the
second [J]; accumulators in the next, a stage later than a multiplier; addresses in the third [Q]. So has the rest of
EX1: without the forwarding to the late ALU a word is as late as a byte."""

BYTE = _core(3, 3, 3, 2, 2, 2, 1, 0)
"""A byte or halfword: the late ALU has it in the second cycle, an accumulator in the next, EX1 in the third [J]."""

FLAGS_SET = _core(2, 2, 2, 1, 1, 1, 1, 1)
"""Flags come from the late ALU, even those of an early instruction [J]."""

MOVED_TO_CORE = _core(2, 2, 2, 1, 1, 1, 0, 0)
"""VMOV to a core register: the late ALU in the next cycle, accumulators in the same [J]; EX1 one later."""

# Arguments: add, mul, fused, chained, data, to_core, move.

FP_SUM = _fp(3, 3, 3, 2, 1, 3, 3)
"""VADD, VMUL, VCVT and their kin [J]."""

FP_FUSED = _fp(5, 5, 3, 2, 3, 5, 5)
"""VFMA, VFMS [J]."""

FP_CHAINED = _fp(6, 6, 3, 3, 4, 6, 6)
"""VMLA, VMLS [J]."""

FP_WORD = _fp(1, 1, 3, 2, 0, 2, 1)
"""VLDR: the next cycle; accumulators later; VMOV to a core register in the second [J]."""

FP_MOVED = _fp(3, 3, 3, 3, 1, 3, 3)
"""VMOV between FP registers or from a core register [J]; two stages later into a store [L]."""

FP_SHADOW = _fp(4, 0, 0, 0, 0, 0, 0)
"""What VFMA and VMLA leave behind: no VADD in the next three cycles [J]."""

DIVIDE_CYCLES = 7
"""SDIV, UDIV: nothing else is issued meanwhile [L]. In fact it depends on the numbers."""

FP_DIVIDE_CYCLES, FP_ROOT_CYCLES = 16, 14
"""VDIV, VSQRT: one other instruction may pair, then everything waits [J]."""

UNALIGNED_CYCLES = 3
"""What a load costs more from an address that is no multiple of its size [J]."""

WRITE_FIFTHS = {1: 12, 2: 10, 4: 5}
"""Fifths of a cycle in which the store buffer writes a byte, a halfword, a word, one after the other [J]."""

STORE_BUFFER_FIFTHS = 5 * 12
"""Room for stores not yet written: five of bytes [J]."""

FETCH_SHIFT = 3
"""Instructions are fetched in aligned groups of 8 bytes, one a cycle [T]."""

FETCH_QUEUE = 4
"""Groups that are fetched ahead of execution, at most [T]."""

MISPREDICTED, RESOLVED_EARLY = 8, 6
"""Cycles that a wrong prediction costs; the second if the flags were set FLAGS_AHEAD cycles before, or more [J]."""

FLAGS_AHEAD = 3


def sooner(latency: Latency, cycles: int) -> Latency:
    """The latency of what was there so many cycles before the last one of its instruction."""
    return tuple(n - cycles for n in latency)
