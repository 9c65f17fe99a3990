"""Arena allocation: an offset for every buffer, so that few bytes hold them all, and a proof of how few are possible.

`plan` tries, until its peak meets the bound: first fit in many orders (`arena_fit`), exact search (`arena_search`),
a random walk through orders, and a longer exact search. The bound is what one step needs by itself (`arena_bound`),
raised by what the search proves. The rules are in `arena_problem`; `arena_picture` draws the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tinyir.passes.arena_bound import step_bound
from tinyir.passes.arena_fit import Placement, Work, first_fits, improve
from tinyir.passes.arena_problem import ArenaError, Buffer, Overlap, Problem, make_problem, validate
from tinyir.passes.arena_search import close_gap

__all__ = ["ArenaError", "Buffer", "Overlap", "Plan", "plan", "validate"]

DEFAULT_BUDGET = 3_000_000
"""About a second of search where nothing meets the bound earlier."""
WALKS = 4
"""How many of the best first-fit orders are walked on from."""


@dataclass(frozen=True)
class Plan:
    """Where every buffer lies, in the order the buffers were given, and how good that is."""

    offsets: Mapping[str, int]
    peak: int
    lower_bound: int  # no placement has a smaller peak than this
    peak_step: int | None  # the step that needs most by itself; None without buffers
    method: str  # what found the placement

    @property
    def proven(self) -> bool:
        """Whether no placement has a smaller peak than this one."""
        return self.peak == self.lower_bound

    @property
    def gap(self) -> float:
        """How far the peak might be from the best one, as a share of the bound."""
        return self.peak / self.lower_bound - 1 if self.lower_bound else 0.0


def plan(buffers: Sequence[Buffer], overlaps: Iterable[Overlap] = (), *, budget: int = DEFAULT_BUDGET) -> Plan:
    """A placement of `buffers` with the smallest peak that the search finds within `budget`, and a lower bound.

    The same arguments give the same plan on every machine: `budget` counts steps of work, not time. ArenaError where
    the problem makes no sense (see `Buffer` and `Overlap`).
    """
    buffers = list(buffers)
    problem = make_problem(buffers, overlaps)
    bound, peak_step = step_bound(problem, Work(budget // 4))
    best, bound = _solve(problem, bound, budget)
    offsets = {buffer.name: offset for buffer, offset in zip(buffers, best.offsets, strict=True)}
    return Plan(offsets, best.peak, bound, peak_step, best.method)


def _solve(problem: Problem, bound: int, budget: int) -> tuple[Placement, int]:
    starts = first_fits(problem, bound, Work(budget // 4))
    best, bound = close_gap(problem, starts[0], bound, Work(budget // 8))
    for seed, start in enumerate(starts[:WALKS]):
        walked = improve(problem, start, bound, Work(budget // 4 // WALKS), seed) if best.peak > bound else best
        best = min(best, walked, key=lambda placement: placement.peak)
    return close_gap(problem, best, bound, Work(budget // 2))
