"""Exact search: is there a placement below a given top? Intervals of offsets, propagation, branching on clashes.

Each clash is a choice between two sides: b below a's forbidden zone, or above it. The search keeps the interval of
every offset, draws the conclusions of the sides taken so far, and puts every buffer at the lower end of its interval;
where that breaks a clash, it branches on the clash with the least room. The lower ends satisfy all sides taken, so a
state without a broken clash is a solution, and a search that runs out of branches is a proof that there is none.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import networkx as nx

from tinyir.passes.arena_fit import FirstFit, Placement, Work
from tinyir.passes.arena_problem import Problem, align_up

UNDECIDED, ABOVE, BELOW = 0, 1, 2
Edge = tuple[int, int, int]  # (under, over, step): offset(over) >= offset(under) + step


class Verdict(Enum):
    """What a search that found no placement knows."""

    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"


@dataclass
class State:
    """Lowest and highest offset of every buffer, and the side taken of every clash."""

    low: list[int]
    high: list[int]
    side: bytearray

    def copy(self) -> State:
        """A state that can be changed apart from this one."""
        return State(self.low[:], self.high[:], self.side[:])


def close_gap(problem: Problem, best: Placement, bound: int, work: Work) -> tuple[Placement, int]:
    """A better placement, a higher bound, or both: bisection between the two until they meet or `work` is used up.

    A top that a share of the work does not decide is passed over, and tried again with a larger share.
    """
    share = work.left // 16
    unit = math.gcd(*problem.sizes, *problem.aligns) or 1
    floor = top = bound = -(-bound // unit) * unit
    while bound < best.peak and work.left > 0:
        mine = work.part(share)
        found = probe(problem, top, mine)
        work.left += mine.left
        if isinstance(found, Verdict):
            floor = top + unit
            bound = floor if found is Verdict.IMPOSSIBLE else bound
        else:
            best = Placement(tuple(found), problem.peak(found), "exact search")
        if floor >= best.peak:
            floor, share = bound, 2 * share
        top = (floor + best.peak - unit) // 2 // unit * unit
    return best, bound


def probe(problem: Problem, top: int, work: Work) -> list[int] | Verdict:
    """A placement that ends at or below `top`, or why there is none.

    A buffer whose neighbours cannot block every offset it might take is set aside: it finds a place whatever the
    others do. What is left after setting aside all one can falls into parts that are searched one by one.
    """
    if top < max(problem.sizes, default=0):
        return Verdict.IMPOSSIBLE
    work.left -= 1 + 16 * len(problem.clashes)
    fit = FirstFit(problem, work)
    easy = _set_aside(problem, fit, top)
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(sorted(set(range(len(problem.sizes))) - set(easy)))
    graph.add_edges_from((c.a, c.b) for c in problem.clashes if c.a in graph and c.b in graph)
    offsets = [-1] * len(problem.sizes)
    for part in sorted((sorted(part) for part in nx.connected_components(graph)), key=len):
        found = _search_with_restarts(problem.restricted(part), top, work)
        if isinstance(found, Verdict):
            return found
        for k, offset in zip(part, found, strict=True):
            offsets[k] = offset
    return fit.offsets(easy[::-1], offsets)


def _set_aside(problem: Problem, fit: FirstFit, top: int) -> list[int]:
    """The buffers that can be placed last, first one set aside first."""
    sizes, aligns = problem.sizes, problem.aligns
    room = [(top - size) // align + 1 for size, align in zip(sizes, aligns, strict=True)]
    for k, near in enumerate(fit.around):
        room[k] -= sum((high - low) // aligns[k] + 1 for _, low, high in near)
    easy = [k for k in range(len(sizes)) if room[k] > 0]
    for k in easy:
        for j, low, high in fit.around[k]:
            blocked = (high - low) // aligns[j] + 1
            room[j] += blocked
            if room[j] - blocked <= 0 < room[j]:
                easy.append(j)
    return easy


def _search_with_restarts(problem: Problem, top: int, work: Work) -> list[int] | Verdict:
    """Restarts keep what was learnt about which clashes are hard; each may run longer than the one before."""
    search = Search(problem, work)
    limit = 64
    while True:
        found = search.run(top, limit)
        if found is not Verdict.UNKNOWN or work.left <= 0:
            return found
        limit *= 2


class Search:
    """Depth-first search for a placement of one small problem with every byte below a given top."""

    def __init__(self, problem: Problem, work: Work) -> None:
        self.problem = problem
        self.work = work
        self.links: list[list[int]] = [[] for _ in problem.sizes]
        for index, clash in enumerate(problem.clashes):
            self.links[clash.a].append(index)
            self.links[clash.b].append(index)
        self.edges: list[tuple[Edge, Edge]] = [
            ((a, b, high + 1), (b, a, 1 - low)) for a, b, low, high in problem.clashes
        ]
        self.failures = [0] * len(problem.clashes)

    def run(self, top: int, limit: int) -> list[int] | Verdict:
        """A placement that ends at or below `top`, or why there is none; gives up after `limit` branches."""
        sizes, aligns = self.problem.sizes, self.problem.aligns
        high = [(top - size) & -align for size, align in zip(sizes, aligns, strict=True)]
        root = State([0] * len(sizes), high, bytearray(len(self.edges)))
        stack = [root] if min(high) >= 0 and self._propagate(root, range(len(sizes))) else []
        while stack and self.work.left > 0 and limit > 0:
            state = stack.pop()
            index = self._tightest_broken(state)
            if index is None:
                return state.low
            stack += self._children(state, index)
            limit -= 1
        return Verdict.UNKNOWN if stack or self.work.left <= 0 else Verdict.IMPOSSIBLE

    def _children(self, state: State, index: int) -> list[State]:
        """The states with either side of a clash taken, the roomier last; those without a solution left out."""
        room = [self._room(state, edge) for edge in self.edges[index]]
        children = []
        for side in (BELOW, ABOVE) if room[0] >= room[1] else (ABOVE, BELOW):
            child = state.copy()
            child.side[index] = side
            if self._propagate(child, self.edges[index][0][:2]):
                children.append(child)
        return children

    @staticmethod
    def _room(state: State, edge: Edge) -> int:
        under, over, step = edge
        return state.high[over] - state.low[under] - step

    def _tightest_broken(self, state: State) -> int | None:
        """The clash that the lower ends break and that leaves the least room, weighed by how often it failed."""
        lows = state.low
        self.work.left -= len(self.edges)
        broken = [i for i, (a, b, low, high) in enumerate(self.problem.clashes) if low <= lows[b] - lows[a] <= high]
        return min(broken, key=lambda i: self._urgency(state, i), default=None)

    def _urgency(self, state: State, index: int) -> float:
        above, below = self.edges[index]
        return (self._room(state, above) + self._room(state, below)) / (1 + self.failures[index])

    def _propagate(self, state: State, start: Iterable[int]) -> bool:
        """Tighten the intervals until nothing more follows; False where one becomes empty, or out of work."""
        lows, highs, side, aligns = state.low, state.high, state.side, self.problem.aligns
        queue = deque(start)
        waiting = set(queue)
        while queue and self.work.left > 0:
            waiting.discard(v := queue.popleft())
            self.work.left -= len(self.links[v])
            for index in self.links[v]:
                taken = side[index] or self._forced_side(state, index)
                if not taken:
                    continue
                side[index] = taken
                under, over, step = self.edges[index][taken - 1]
                moved = []
                if lows[over] < lows[under] + step:
                    lows[over] = align_up(lows[under] + step, aligns[over])
                    moved.append(over)
                if highs[under] > highs[over] - step:
                    highs[under] = (highs[over] - step) & -aligns[under]
                    moved.append(under)
                for k in moved:
                    if lows[k] > highs[k]:
                        self.failures[index] += 1
                        return False
                    if k not in waiting:
                        waiting.add(k)
                        queue.append(k)
        return self.work.left > 0

    def _forced_side(self, state: State, index: int) -> int:
        """The only side that is still possible, or UNDECIDED."""
        above, below = self.edges[index]
        if state.low[below[0]] + below[2] > state.high[below[1]]:
            return ABOVE
        return BELOW if state.low[above[0]] + above[2] > state.high[above[1]] else UNDECIDED
