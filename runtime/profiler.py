"""What a program costs on a Cortex-M7, op by op: instructions counted on the emulator, priced by `tinyir.machine`.

Code and data are taken to be in memory without wait states: caches that always hit, or tightly coupled memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tinyir.diagnostics import ToolError
from tinyir.machine import OpClass
from tinyir.runtime.elf import Elf
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.pricing import PricedBlock, price
from tinyir.runtime.program import Array, Inputs, OpInfo, RunResult
from tinyir.runtime.trace import Checks, Span
from tinyir.runtime.train_program import M7Trainer


@dataclass(frozen=True)
class Tally:
    """Executed instructions, in total and by class, and the cycles they take."""

    instructions: int
    cycles: float
    classes: dict[OpClass, int]


class Flash(NamedTuple):
    """Bytes of flash of an op: the instructions of its kernel, and its constants. What ops share is the first one's."""

    code: int
    constants: int


@dataclass(frozen=True)
class OpProfile:
    """One op of the program. What precedes the first kernel counts to op 0."""

    op: OpInfo
    tally: Tally
    flash: Flash
    blocks: tuple[PricedBlock, ...] = field(repr=False)

    def hot_blocks(self, share: float) -> list[PricedBlock]:
        """The blocks that together take `share` of the op's cycles, most expensive first."""
        found: list[PricedBlock] = []
        left = share * self.tally.cycles
        for block in sorted(self.blocks, key=lambda priced: -sum(priced.cycles)):
            if left <= 0:
                break
            found.append(block)
            left -= sum(block.cycles)
        return found


@dataclass(frozen=True)
class Profile:
    """What one run of a program cost. The tallies of the ops add up to the total, and so do those of the functions."""

    result: RunResult = field(repr=False)
    total: Tally
    ops: tuple[OpProfile, ...]
    functions: dict[str, Tally]


def profile(program: M7Program, inputs: Inputs, checks: Checks = "full") -> Profile:
    """Run the program once on `inputs` and price what it executed.

    With fewer `checks` it runs up to ten times as fast, but its loads are not recorded: none is charged for being
    unaligned, and two clash where their addresses in the text say so.

    Raises EmulatorError and UsageError as `M7Program.run` does, ToolError without capstone.
    """
    return _priced(program.run(inputs, count=True, checks=checks), program.elf, program.info.ops)


def profile_step(trainer: M7Trainer, x: Array, target: int | Array, lr: float = 0.01) -> Profile:
    """Make one step of training and price what it executed: loads are recorded as far as the checks of the trainer do.

    Raises as `M7Trainer.step` does, and ToolError for a step that is refused.
    """
    outcome = trainer.step(x, target, lr, count=True)
    if outcome.status:
        raise ToolError(f"the step was refused with status {outcome.status}")
    result = RunResult([], outcome.status, outcome.stack_bytes, trace=outcome.trace)
    return _priced(result, trainer.elf, trainer.training.ops)


def _priced(result: RunResult, elf: Elf, ops: Sequence[OpInfo]) -> Profile:
    assert result.trace is not None
    priced = price(result.trace, elf.loaded)
    by_function: dict[str, list[PricedBlock]] = {}
    for one in priced:
        by_function.setdefault(elf.describe(one.block.address).partition("+")[0], []).append(one)
    functions = {name: _tally(blocks) for name, blocks in by_function.items()}
    return Profile(result, _tally(priced), tuple(_profiles(elf, ops, priced)), functions)


def _profiles(elf: Elf, ops: Sequence[OpInfo], priced: list[PricedBlock]) -> Iterable[OpProfile]:
    counted: set[str] = set()
    for op in ops:
        blocks = tuple(one for one in priced if one.block.op == op.index)
        yield OpProfile(op, _tally(blocks), _flash(elf, op, counted), blocks)


def _tally(blocks: Iterable[PricedBlock]) -> Tally:
    instructions, cycles = 0, 0.0
    classes = dict.fromkeys(OpClass, 0)
    for block, code, spent in blocks:
        instructions += block.count * block.instructions
        cycles += sum(spent)
        for instr in code:
            classes[instr.opclass] += block.count
    return Tally(instructions, cycles, classes)


def _flash(elf: Elf, op: OpInfo, counted: set[str]) -> Flash:
    """The symbols of an op that are not `counted` yet."""

    def size(symbols: Iterable[str], spans: Mapping[str, Span]) -> int:
        new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in counted]
        counted.update(new)
        return sum(spans[symbol].end - spans[symbol].begin for symbol in new)

    numbers = f"{op.function}_numbers"
    tables = [numbers, *op.constants] if numbers in elf.objects else op.constants
    return Flash(size([op.function], elf.functions), size(tables, elf.objects))
