"""An instruction as the pipeline sees it: what it reads where, what it gives when, what it cannot be issued beside.

Independent of any disassembler, and of registers being allocated: a register is any name. `make.py` and `make_fp.py`
make them; the numbers are in `timing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tinyir.machine.timing import Latency, Slots

Reg = str

FLAGS: Reg = "flags"
"""The condition flags."""


class OpClass(Enum):
    """What an instruction counts as in a histogram."""

    MAC = "mac"
    PACK = "pack"
    LOAD = "load"
    STORE = "store"
    ALU = "alu"
    BRANCH = "branch"
    FPU = "fpu"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Access:
    """The memory that a load or store touches: `bytes` at `base` + `offset`.

    `offset` is None where it is not known, as with an index in a register. `writes` is True for a store. `clashes`
    says of a load that it touches the same bank as the load before it, or that it does not, where that is known.
    """

    base: Reg
    offset: int | None
    bytes: int
    writes: bool = False
    clashes: bool | None = None

    def clashes_with(self, before: Access) -> bool:
        """Whether both touch the same bank: words whose addresses are equal in bit 2 [J].

        Where it is not known, addresses from one base register are compared, and others taken to differ.
        """
        if self.clashes is not None:
            return self.clashes
        if self.base != before.base or self.offset is None or before.offset is None:
            return False
        return (self.offset ^ before.offset) & 4 == 0


@dataclass(frozen=True, slots=True)
class MachineInstr:
    """One instruction. `needs` are operands and the ports that read them, `gives` results and their latencies.

    `unit` are bits of Unit, `slots` one of Slots, `early` one of Early: an instruction that executes early gives its
    results at once. It occupies the issue for `cycles`. `buffered` is the room it takes up in the store buffer, in
    fifths of a cycle. `size` is 2 or 4 bytes.
    """

    text: str
    opclass: OpClass
    needs: tuple[tuple[Reg, int], ...] = ()
    gives: tuple[tuple[Reg, Latency], ...] = ()
    unit: int = 0
    slots: int = Slots.ANY
    early: int = 0
    cycles: int = 1
    size: int = 4
    access: Access | None = None
    buffered: int = 0

    def __str__(self) -> str:
        return self.text

    @property
    def mnemonic(self) -> str:
        """`smlad` of `smlad r0, r1, r2, r0`."""
        return self.text.partition(" ")[0]

    @property
    def reads(self) -> frozenset[Reg]:
        """Registers read, the flags among them."""
        return frozenset(reg for reg, _ in self.needs)

    @property
    def writes(self) -> frozenset[Reg]:
        """Registers written, the flags among them."""
        return frozenset(reg for reg, _ in self.gives)

    @property
    def sets_flags(self) -> bool:
        """Whether it writes the condition flags."""
        return any(reg == FLAGS for reg, _ in self.gives)


def reading(port: int, *regs: Reg) -> tuple[tuple[Reg, int], ...]:
    """Operands that are read through one port."""
    return tuple((reg, port) for reg in regs)


def giving(latency: Latency, *regs: Reg) -> tuple[tuple[Reg, Latency], ...]:
    """Results that are there at the same time."""
    return tuple((reg, latency) for reg in regs)
