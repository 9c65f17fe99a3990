"""The choice of parts with the largest gain that fits, where gains and parameters add up and arenas do not shrink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_NODES = 200_000
"""Nodes that a search looks at before it settles for the best so far."""


@dataclass(frozen=True)
class Option:
    """One part of a group: what it is worth, its parameters, and the arena of a program with it alone; each beyond a
    program without any part."""

    gain: float
    params: int
    arena: int


Choice = tuple[int, ...]
"""For each group the index of the option taken, or -1."""


@dataclass
class Knapsack:
    """Groups of options, of each of which one may be taken, under a `budget` of bytes beyond those of no part at all.

    A choice needs its parameters, and an arena at least that of each of its options. What has turned out to need more
    is told by `exclude`, and with it goes all that trains the same and more.
    """

    groups: Sequence[Sequence[Option]]
    budget: int
    excluded: list[Choice] = field(default_factory=list)
    proven: bool = True

    def exclude(self, choice: Choice) -> None:
        """Never give this choice again, nor one that has an option as large in each group that it takes one of."""
        self.excluded.append(choice)

    def best(self) -> Choice:
        """The choice with the largest gain that is not known not to fit; among equals the first in order of the
        options. Depth first with the bound of the fractional problem; `proven` says whether every branch was seen."""
        self._best, self._gain, self._nodes = (-1,) * len(self.groups), 0.0, 0
        self._steps = [self._steps_from(i) for i in range(len(self.groups) + 1)]
        self._descend((), 0.0, 0, 0)
        self.proven = self._nodes < MAX_NODES
        return self._best

    def _steps_from(self, first: int) -> list[tuple[float, int]]:
        """What the groups from `first` on can add, as (gain, bytes) in falling order of gain by byte: the upper hull of
        each group, cut into steps."""
        steps = [step for group in self.groups[first:] for step in _hull(group)]
        return sorted(steps, key=lambda step: -step[0] / max(step[1], 1e-9))

    def _descend(self, taken: Choice, gain: float, params: int, arena: int) -> None:
        self._nodes += 1
        if self._nodes >= MAX_NODES or self._hopeless(taken):
            return
        if len(taken) == len(self.groups):
            if gain > self._gain:
                self._best, self._gain = taken, gain
            return
        if gain + self._bound(len(taken), self.budget - params - arena) <= self._gain:
            return
        group = self.groups[len(taken)]
        for index in sorted(range(len(group)), key=lambda i: -group[i].gain):
            option = group[index]
            most = max(arena, option.arena)
            if params + option.params + most <= self.budget:
                self._descend((*taken, index), gain + option.gain, params + option.params, most)
        self._descend((*taken, -1), gain, params, arena)

    def _bound(self, first: int, room: int) -> float:
        """The most that the groups from `first` on can add in `room` bytes of parameters, options being divisible."""
        total = 0.0
        for gain, size in self._steps[first]:
            if size > room:
                return total + gain * room / size
            total, room = total + gain, room - size
        return total

    def _hopeless(self, taken: Choice) -> bool:
        """Whether the choices that begin with `taken` train all of an excluded one."""
        return any(self._covers(taken, excluded) for excluded in self.excluded)

    def _covers(self, taken: Choice, excluded: Choice) -> bool:
        for i, wanted in enumerate(excluded):
            if wanted == -1:
                continue
            if i >= len(taken) or taken[i] == -1 or self.groups[i][taken[i]].params < self.groups[i][wanted].params:
                return False
        return True


def _hull(group: Sequence[Option]) -> list[tuple[float, int]]:
    """The steps of the upper hull of (params, gain) from (0, 0) on."""
    steps: list[tuple[float, int]] = []
    at = (0.0, 0)
    while True:
        ahead = [option for option in group if option.gain > at[0] and option.params >= at[1]]
        if not ahead:
            return steps
        best = max(ahead, key=lambda o: ((o.gain - at[0]) / max(o.params - at[1], 1e-9), o.gain))
        steps.append((best.gain - at[0], best.params - at[1]))
        at = (best.gain, best.params)
