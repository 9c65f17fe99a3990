"""What a run on the emulator executed: blocks, the transitions between them, and why it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

StopKind = Literal["limit", "read", "write", "fetch", "unaligned", "memory"]
OpObserver = Callable[[int], None]

Checks = Literal["pages", "bounds", "full"]
"""How closely accesses to memory are checked.

pages: what lies outside the pages of 1 KB that the program may touch faults; canaries in those pages show writes.
bounds: as well, every load and store is checked to the byte. 0.4 of the speed of `pages`.
full: as well, unaligned accesses that a Cortex-M7 refuses (LDM, LDRD, VLDR, ...); every load is recorded. A tenth of
the speed.
What the program computes and how many instructions it takes is the same with each.
"""


class Span(NamedTuple):
    """Addresses `[begin, end)`."""

    begin: int
    end: int


EVERYWHERE, NOWHERE = Span(1, 0), Span(0xFFFF_FFFF, 0xFFFF_FFFF)
"""Bounds of a Unicorn hook, whose end is inclusive, for all addresses and for none that is ever mapped."""


def reaching(gap: Span) -> Span:
    """The bounds of a Unicorn hook that sees every access with a byte in `gap`: it goes by the first byte, of 8."""
    return Span(gap.begin - 7, gap.end - 1)


class Kernel(NamedTuple):
    """The code of an op's kernel, and the op's name in messages."""

    span: Span
    op: str


class Range(NamedTuple):
    """Addresses that the program may touch, and the name they have in messages."""

    begin: int
    end: int
    writable: bool
    name: str


@dataclass(frozen=True)
class Stop:
    """Why a run was ended: too many instructions, or an access that is not allowed."""

    kind: StopKind
    address: int = 0
    bytes: int = 0
    pc: int = 0


@dataclass(frozen=True)
class Block:
    """A straight line of code, entered `count` times at its first instruction while op `op` ran.

    The emulator ends blocks at branches, and sometimes between (its pages have 1 KB): sums do not depend on that.
    An instruction whose IT condition fails counts as executed.
    """

    address: int
    bytes: int
    instructions: int
    op: int
    count: int


class Edge(NamedTuple):
    """A transition: block number `to` ran `times` times right after block `came`, -1 at the start.

    `mispredicted` of these times, a simple predictor expected another block: a counter of two bits says whether the
    branch is taken, its last target where to.
    """

    came: int
    to: int
    times: int
    mispredicted: int


class Loads(NamedTuple):
    """What the instruction at an address loaded, in `total` accesses; several for one that loads several registers.

    `unaligned` of them from an address that is no multiple of their size (at most 4), `clashes` from the bank of memory
    that the load before it read: bit 2 of the address.
    """

    total: int
    unaligned: int
    clashes: int


@dataclass(frozen=True)
class Trace:
    """Every executed block, and how often each came after which.

    The `count` of a block is the sum of `times` over the edges that lead to it. `loads`, by the address of the
    instruction, are known of a run with checks `full` only.
    """

    blocks: list[Block]
    edges: list[Edge]
    loads: dict[int, Loads]

    @property
    def instructions(self) -> int:
        """All instructions executed."""
        return sum(block.count * block.instructions for block in self.blocks)

    def per_op(self, n_ops: int) -> list[int]:
        """Instructions executed in each op."""
        totals = [0] * max(n_ops, 1)
        for block in self.blocks:
            totals[block.op] += block.count * block.instructions
        return totals[:n_ops]


class Tracer(Protocol):
    """Counts what an emulator executes and guards what it touches. Attached to one emulator for good."""

    def guard(self, ranges: Sequence[Range], gaps: Sequence[Span]) -> None:
        """Allow `ranges` and nothing else; `gaps` is what is mapped nevertheless. Not called while a run goes on."""

    def start(self, limit: int, observer: OpObserver | None) -> None:
        """Begin a run of at most `limit` instructions; `observer` is told each op that is over but the last."""

    def finish(self) -> None:
        """End the run: what executes from here on is neither counted nor guarded."""

    @property
    def instructions(self) -> int:
        """Instructions executed in this run."""

    @property
    def op(self) -> int:
        """The op that runs."""

    @property
    def entered(self) -> int:
        """How many kernels have been entered in this run."""

    @property
    def lowest_sp(self) -> int:
        """The lowest stack pointer seen at the start of a block, in this run or an earlier one."""

    @property
    def stop(self) -> Stop | None:
        """Why the tracer ended the run, if it did."""

    def trace(self) -> Trace:
        """Everything counted in this run."""


def count_instructions(code: bytes) -> int:
    """Thumb instructions in `code`: those whose first halfword begins with 0b11101 or more have 32 bits."""
    at = n = 0
    while at + 1 < len(code):
        at += 4 if code[at + 1] >= 0xE8 else 2
        n += 1
    return n
