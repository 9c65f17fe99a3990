"""What the executed blocks of a program cost on a Cortex-M7, from how often each ran after which."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from tinyir.machine import MachineInstr, Pipeline, steady_state, straight_line
from tinyir.machine.timing import UNALIGNED_CYCLES
from tinyir.runtime.decode import decode
from tinyir.runtime.trace import Block, Edge, Trace

FIXED_BRANCHES = frozenset({"b", "b.w", "bl"})

LEAD_IN_BLOCKS = 4
"""Blocks that are issued before the one that is priced, along the most frequent way to it."""


class PricedBlock(NamedTuple):
    """A block, its instructions, and the cycles that all executions of each took together.

    The second of two instructions issued together takes none; a misprediction is charged to the first instruction
    that should have been fetched.
    """

    block: Block
    code: tuple[MachineInstr, ...]
    cycles: tuple[float, ...]


def price(trace: Trace, read: Callable[[int, int], bytes]) -> list[PricedBlock]:
    """The blocks of `trace` with their cost. `read(address, bytes)` gives the program's code.

    A transition from one block to another is priced by issuing the second in the state that the first leaves behind;
    one from a block to itself by the steady state of that loop.
    """
    graph = _Graph(trace, read)
    return [PricedBlock(block, graph.code[n], tuple(graph.cycles(n))) for n, block in enumerate(trace.blocks)]


class _Graph:
    """The blocks of a trace, by number, with the transitions that lead to each."""

    def __init__(self, trace: Trace, read: Callable[[int, int], bytes]) -> None:
        self.blocks = trace.blocks
        self.code = [
            _observed(block, decode(read(block.address, block.bytes), block.address), trace) for block in trace.blocks
        ]
        self._after: dict[int, Pipeline] = {}
        self._edges, self._loads = trace.edges, trace.loads

    @cached_property
    def arrivals(self) -> list[list[Edge]]:
        """The transitions to each block."""
        found: list[list[Edge]] = [[] for _ in self.blocks]
        for edge in self._edges:
            found[edge.to].append(edge)
        return found

    def cycles(self, number: int) -> list[float]:
        """Cycles of each instruction of a block in all its executions."""
        totals = [0.0] * len(self.code[number])
        for edge in self.arrivals[number]:
            wrong = edge.mispredicted if self._is_predicted(edge.came) else 0
            for times, mispredicted in ((edge.times - wrong, False), (wrong, True)):
                if times:
                    for i, spent in enumerate(self._passage(edge, mispredicted)):
                        totals[i] += times * spent
        for i, pc in enumerate(_addresses(self.blocks[number], self.code[number])):
            if pc in self._loads:
                loads = self._loads[pc]
                totals[i] += UNALIGNED_CYCLES * loads.unaligned / loads.total * self.blocks[number].count
        return totals

    def _is_predicted(self, number: int) -> bool:
        """Whether a block ends with a branch that can be mispredicted: not with a jump or call to a fixed place."""
        return number >= 0 and self.code[number][-1].mnemonic not in FIXED_BRANCHES

    def _passage(self, edge: Edge, mispredicted: bool) -> Sequence[float]:
        """Cycles of each instruction of block `edge.to` in one execution after `edge.came`."""
        code, address = self.code[edge.to], self.blocks[edge.to].address
        if edge.came == edge.to and not mispredicted:
            steady = steady_state(code, address, self._before(edge.to))
            spent = _spent(code, steady.state)
            return [float(steady.cycles) * part / max(sum(spent), 1) for part in spent]
        state = self._state_after(edge.came).copy()
        end = state.cycle
        self._go_on(state, edge.came, edge.to, mispredicted)
        penalty = state.cycle - end
        spent = _spent(code, state)
        spent[0] += penalty
        return spent

    def _state_after(self, number: int) -> Pipeline:
        """The state at the end of a block; -1 is the start of the program."""
        if number not in self._after:
            self._after[number] = self._computed_after(number)
        return self._after[number]

    def _computed_after(self, number: int) -> Pipeline:
        if number < 0:
            return Pipeline()
        state = self._before(number)
        if self._is_loop(number):
            state = steady_state(self.code[number], self.blocks[number].address, state).state
        straight_line(self.code[number], state)
        return state

    def _before(self, number: int) -> Pipeline:
        """The state at the start of a block that was reached in the most frequent way, not from itself."""
        way = [number]
        while len(way) <= LEAD_IN_BLOCKS:
            others = [edge for edge in self.arrivals[way[0]] if edge.came not in (way[0], -1)]
            if not others:
                break
            way.insert(0, max(others, key=lambda edge: edge.times).came)
        state = Pipeline(self.blocks[way[0]].address)
        for came, to in itertools.pairwise(way):
            straight_line(self.code[came], state)
            self._go_on(state, came, to, False)
        return state

    def _is_loop(self, number: int) -> bool:
        """Whether a block is followed by itself more often than not."""
        own = sum(edge.times for edge in self.arrivals[number] if edge.came == number)
        return 2 * own > self.blocks[number].count

    def _go_on(self, state: Pipeline, came: int, to: int, mispredicted: bool) -> None:
        target = self.blocks[to].address
        if mispredicted:
            state.mispredict(target)
        elif came < 0 or target != self.blocks[came].address + self.blocks[came].bytes:
            state.take_branch(target)


def _addresses(block: Block, code: Sequence[MachineInstr]) -> Iterable[int]:
    return itertools.accumulate((instr.size for instr in code[:-1]), initial=block.address)


def _observed(block: Block, code: tuple[MachineInstr, ...], trace: Trace) -> tuple[MachineInstr, ...]:
    """The instructions with what was seen of the banks of memory that their loads read, most of the time."""
    found = list(code)
    for i, pc in enumerate(_addresses(block, code)):
        loads, access = trace.loads.get(pc), found[i].access
        if loads is not None and access is not None:
            found[i] = replace(found[i], access=replace(access, clashes=2 * loads.clashes > loads.total))
    return tuple(found)


def _spent(code: Sequence[MachineInstr], state: Pipeline) -> list[float]:
    """Cycles that each instruction adds when `code` is issued in `state`, which is changed."""
    spent = []
    before = state.cycle
    for instr in code:
        now = state.issue(instr)
        spent.append(float(now - before))
        before = now
    return spent
