"""Good placements quickly: first fit in many orders, then again with the buffers that stuck out placed earlier."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx

from tinyir.passes.arena_problem import Problem, align_up


@dataclass
class Work:
    """Counts clashes looked at, so that a search ends at the same place on every machine."""

    left: int

    def part(self, amount: int) -> Work:
        """Take at most `amount` out, to be spent on one thing."""
        taken = max(0, min(amount, self.left))
        self.left -= taken
        return Work(taken)


@dataclass(frozen=True)
class Placement:
    """Offsets by position, their peak, and how they were found; first fit also has the order it went by."""

    offsets: tuple[int, ...]
    peak: int
    method: str
    order: tuple[int, ...] = ()


class FirstFit:
    """Places buffers one after the other, each at the lowest offset that clashes with none placed before."""

    def __init__(self, problem: Problem, work: Work) -> None:
        self.problem = problem
        self.work = work
        self.around = problem.neighbours

    def offsets(self, order: Sequence[int], placed: Sequence[int] = ()) -> list[int]:
        """The offsets when the buffers of `order` are placed in turn; `placed` has -1 for those not placed yet."""
        offsets = list(placed) or [-1] * len(self.around)
        self.work.left -= len(order) + 2 * len(self.problem.clashes)
        for k in order:
            blocked = [(offsets[j] + low, offsets[j] + high) for j, low, high in self.around[k] if offsets[j] >= 0]
            offsets[k] = _lowest(sorted(blocked), self.problem.aligns[k])
        return offsets


def _lowest(blocked: Sequence[tuple[int, int]], align: int) -> int:
    position = 0
    for low, high in blocked:
        if low > position:
            break
        if high >= position:
            position = align_up(high + 1, align)
    return position


def first_fits(problem: Problem, bound: int, work: Work) -> list[Placement]:
    """First-fit placements, best first: one by each order, until one reaches `bound` or `work` is used up."""
    fit = FirstFit(problem, work)
    found: list[Placement] = []
    for name, order in orders(problem):
        offsets = fit.offsets(order)
        found.append(Placement(tuple(offsets), problem.peak(offsets), f"first fit, {name}", tuple(order)))
        if found[-1].peak <= bound or work.left <= 0:
            break
    return sorted(found, key=lambda placement: placement.peak)


def orders(problem: Problem) -> Iterator[tuple[str, list[int]]]:
    """Orders in which first fit is worth trying, each with its name.

    Each plain order is followed by two others, in which a buffer pulls those that may overlap it behind itself, or
    a whole chain of them: other buffers would fill the place in which the two fit over each other.
    """
    partners: nx.Graph[int] = nx.Graph()
    partners.add_nodes_from(range(len(problem.sizes)))
    partners.add_edges_from((c.a, c.b) for c in problem.clashes if not problem.is_disjoint(c))
    for name, order in _plain_orders(problem):
        yield name, order
        if partners.size():
            yield name + ", pairs together", list(dict.fromkeys(k for j in order for k in (j, *partners[j])))
            yield name + ", chains together", _chains_together(partners, order)


def _chains_together(partners: nx.Graph[int], order: Sequence[int]) -> list[int]:
    done: dict[int, None] = {}
    for k in order:
        if k not in done:
            done |= dict.fromkeys(nx.dfs_preorder_nodes(partners, k))
    return list(done)


def _plain_orders(problem: Problem) -> Iterator[tuple[str, list[int]]]:
    sizes, lives = problem.sizes, problem.lives
    everything = range(len(sizes))
    length = [last - first for first, last in lives]
    sets = problem.live_sets
    load = {step: sum(sizes[k] for k in alive) for step, alive in sets.items()}
    crowd = [0] * len(sizes)
    for step, alive in sets.items():
        for k in alive:
            crowd[k] = max(crowd[k], load[step])
    fullest = max(load, key=lambda step: (load[step], -step), default=0)
    away = [max(first - fullest, fullest - last, 0) for first, last in lives]
    yield "largest first", sorted(everything, key=lambda k: (-sizes[k], -length[k]))
    yield "fullest step first, by lifetime", sorted(everything, key=lambda k: (-crowd[k], -length[k], -sizes[k]))
    yield "fullest step first, by size", sorted(everything, key=lambda k: (-crowd[k], -sizes[k]))
    yield "longest life first", sorted(everything, key=lambda k: (-length[k], -sizes[k]))
    yield "against time", sorted(everything, key=lambda k: (-lives[k][1], lives[k][0]))
    yield "largest area first", sorted(everything, key=lambda k: -sizes[k] * (length[k] + 1))
    yield "outwards from the fullest step", sorted(everything, key=lambda k: (away[k], -sizes[k]))
    yield "in order of time", sorted(everything, key=lambda k: (lives[k][0], -lives[k][1]))
    yield "most crowded first", _smallest_last(problem)


def _smallest_last(problem: Problem) -> list[int]:
    """Last the buffer that its neighbours crowd least, before it the one that the rest crowd least, and so on."""
    around = problem.neighbours
    crowding = [
        size + sum(high - low + 1 for _, low, high in near) for size, near in zip(problem.sizes, around, strict=True)
    ]
    heap = [(value, k) for k, value in enumerate(crowding)]
    heapq.heapify(heap)
    order: dict[int, None] = {}
    while heap:
        value, least = heapq.heappop(heap)
        if least in order or value > crowding[least]:
            continue
        order[least] = None
        for j, low, high in around[least]:
            crowding[j] -= high - low + 1
            heapq.heappush(heap, (crowding[j], j))
    return list(order)[::-1]


def improve(problem: Problem, start: Placement, bound: int, work: Work, seed: int) -> Placement:
    """First fit again and again, each time with one buffer that ended above `bound` moved forward in the order.

    Another buffer moves too, and now and then a worse order is kept, so that the walk does not get stuck.
    """
    fit, chance = FirstFit(problem, work), random.Random(seed)
    best, order, offsets = start, list(start.order), list(start.offsets)
    cost = _cost(problem, offsets, bound)
    while best.peak > bound and work.left > 0:
        above = [i for i, k in enumerate(order) if offsets[k] + problem.sizes[k] > bound]
        trial, source = order[:], chance.choice(above)
        trial.insert(chance.randint(0, source), trial.pop(source))
        trial.insert(chance.randrange(len(trial)), trial.pop(chance.randrange(len(trial))))
        placed = fit.offsets(trial)
        new_cost = _cost(problem, placed, bound)
        if new_cost <= cost or chance.random() < 0.05:
            order, offsets, cost = trial, placed, new_cost
        if new_cost[0] < best.peak:
            best = Placement(tuple(placed), new_cost[0], "first fit, reordered", tuple(trial))
    return best


def _cost(problem: Problem, offsets: Sequence[int], bound: int) -> tuple[int, int]:
    """The peak, and between equal peaks the bytes above `bound`."""
    ends = [offset + size for offset, size in zip(offsets, problem.sizes, strict=True)]
    return max(ends), sum(end - bound for end in ends if end > bound)
