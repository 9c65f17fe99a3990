"""Choices in falling order of what they are worth: best first, by branch and bound."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from tinyir.plan_search.space import NONE, Choice, Space

MAX_NODES = 20_000
"""Partial choices that are looked at."""


class BestFirst:
    """The choices of a space that its bounds let fit, the one worth most first. Those that turn out not to fit are told
    by `exclude`, and what trains the same and more goes with them."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.nodes = 0
        self._excluded: list[Choice] = []
        self._number = itertools.count()
        self._open: list[tuple[float, int, Choice]] = []
        self._push(space.at_most(space.empty, 0), ())

    @property
    def at_most(self) -> float:
        """No choice that was not given yet is worth more."""
        return -self._open[0][0] if self._open else 0.0

    def exclude(self, choice: Choice) -> None:
        """Never give a choice that has an option as large in each group that `choice` takes one of."""
        self._excluded.append(choice)

    def __iter__(self) -> Iterator[Choice]:
        """Ends when there are none left, or after MAX_NODES."""
        while self._open and self.nodes < MAX_NODES:
            _, _, choice = heapq.heappop(self._open)
            if any(self.space.covers(choice, excluded) for excluded in self._excluded):
                continue
            if len(choice) == len(self.space.groups):
                yield choice
            else:
                self._expand(choice)

    def _expand(self, choice: Choice) -> None:
        self.nodes += 1
        space, group = self.space, len(choice)
        taken = space.sum(choice)
        for index in range(NONE, len(space.groups[group])):
            self._push(space.at_most(space.add(taken, group, index), group + 1), (*choice, index))

    def _push(self, bound: float, choice: Choice) -> None:
        if bound >= 0:
            heapq.heappush(self._open, (-bound, -next(self._number), choice))
