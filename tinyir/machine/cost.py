"""What straight-line code and loop bodies cost, in cycles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from tinyir.machine.instr import MachineInstr
from tinyir.machine.pipeline import Key, Pipeline

MAX_ROUNDS = 32
"""Rounds of a loop that are tried before its cost is taken as the average of the second half."""


class Steady(NamedTuple):
    """A loop that goes on for ever: cycles per round, and the state at the end of a round."""

    cycles: Fraction
    state: Pipeline


def cost(code: Sequence[MachineInstr], *, loop: bool = False, address: int = 0) -> float:
    """Cycles of `code` placed at `address`; with `loop`, of one round in the long run, where it goes back to its start.

    Straight-line code is charged up to the cycle in which its last instruction issues; nothing is pending before it.
    """
    if loop:
        return float(steady_state(code, address).cycles)
    return straight_line(code, Pipeline(address))


def straight_line(code: Iterable[MachineInstr], state: Pipeline) -> int:
    """Cycles from the end of `state`, which is changed, to the end of `code`."""
    before = state.cycle
    for instr in code:
        state.issue(instr)
    return state.cycle - before


def steady_state(body: Sequence[MachineInstr], address: int = 0, state: Pipeline | None = None) -> Steady:
    """What a round of a loop costs in the long run: `body` ends with a branch to its own start at `address`.

    `state` is that before the first round, if it is to be known.
    """
    state = state.copy() if state is not None else Pipeline(address)
    seen: dict[Key, tuple[int, int]] = {}
    ends: list[int] = []
    for rounds in range(MAX_ROUNDS):
        straight_line(body, state)
        state.take_branch(address)
        ends.append(state.cycle)
        key = state.key()
        if key in seen:
            first, cycle = seen[key]
            return Steady(Fraction(state.cycle - cycle, rounds - first), state)
        seen[key] = (rounds, state.cycle)
    half = MAX_ROUNDS // 2
    return Steady(Fraction(ends[-1] - ends[half - 1], MAX_ROUNDS - half), state)
