"""What the arena solver solves: buffers with lifetimes, pairs that may overlap, and what a placement must obey.

Every rule about two buffers becomes *clashes*: a clash (a, b, low, high) forbids low <= offset(b) - offset(a) <= high.
Two buffers alive together give one clash, from "b ends where a starts" to "b starts where a ends", both ends excluded;
an `Overlap` makes it narrower, and one that permits displacement 0 splits it in two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class ArenaError(AssertionError):
    """A mistake of the compiler's: a planning problem that makes no sense, or a placement that breaks its rules."""


@dataclass(frozen=True)
class Buffer:
    """Bytes that must be kept from step `first`, where they are first written, to step `last`, where last read."""

    name: str
    bytes: int
    align: int
    first: int
    last: int


@dataclass(frozen=True)
class Overlap:
    """How far `result` may reach into `source` at the one step where the one is written while the other is read.

    With delta = offset(result) - offset(source), the displacements below <= delta <= above are forbidden, except 0
    where `same` is true. Displacements that leave the two disjoint are always permitted, whatever the three say;
    below > above therefore permits every displacement. Two entries for one pair must both hold.
    """

    source: str
    result: str
    below: int
    above: int
    same: bool


class Clash(NamedTuple):
    """Forbids low <= offset(b) - offset(a) <= high; a and b are positions in the list of buffers."""

    a: int
    b: int
    low: int
    high: int


@dataclass(frozen=True)
class Problem:
    """Buffers by position, with (first, last) step, and what their offsets must obey. Empty ones are in no clash."""

    sizes: tuple[int, ...]
    aligns: tuple[int, ...]
    lives: tuple[tuple[int, int], ...]
    clashes: tuple[Clash, ...]

    @cached_property
    def live_sets(self) -> dict[int, list[int]]:
        """The buffers alive at each step at which one is begun; every other step has no more than one of these."""
        sets: dict[int, list[int]] = {}
        alive: list[int] = []
        for index in sorted((i for i, size in enumerate(self.sizes) if size), key=lambda i: (self.lives[i][0], i)):
            step = self.lives[index][0]
            alive = [other for other in alive if self.lives[other][1] >= step] + [index]
            sets[step] = alive
        return sets

    def is_disjoint(self, clash: Clash) -> bool:
        """Whether `clash` keeps two buffers from sharing any byte."""
        return clash.low == 1 - self.sizes[clash.b] and clash.high == self.sizes[clash.a] - 1

    @cached_property
    def neighbours(self) -> list[list[tuple[int, int, int]]]:
        """For each buffer k its clashes as (j, low, high): offset(k) - offset(j) must not lie in low..high."""
        around: list[list[tuple[int, int, int]]] = [[] for _ in self.sizes]
        for a, b, low, high in self.clashes:
            around[b].append((a, low, high))
            around[a].append((b, -high, -low))
        return around

    def restricted(self, members: Sequence[int]) -> Problem:
        """The problem of `members` alone, renumbered in their order."""
        place = {member: index for index, member in enumerate(members)}
        kept = (c for c in self.clashes if c.a in place and c.b in place)
        return Problem(
            tuple(self.sizes[m] for m in members),
            tuple(self.aligns[m] for m in members),
            tuple(self.lives[m] for m in members),
            tuple(Clash(place[c.a], place[c.b], c.low, c.high) for c in kept),
        )

    def peak(self, offsets: Sequence[int]) -> int:
        """The first byte above all buffers."""
        return max((offset + size for offset, size in zip(offsets, self.sizes, strict=True)), default=0)


def align_up(value: int, align: int) -> int:
    """The smallest multiple of `align`, a power of two, that is not below `value`."""
    return (value + align - 1) & -align


def make_problem(buffers: Sequence[Buffer], overlaps: Iterable[Overlap]) -> Problem:
    """The clashes of `buffers` under `overlaps`; ArenaError where the two make no sense."""
    allowed = _overlaps_by_pair(buffers, overlaps)
    clashes: list[Clash] = []
    for a, b in live_pairs(buffers):
        disjoint = (1 - buffers[b].bytes, buffers[a].bytes - 1)
        forbidden = [disjoint]
        if (a, b) in allowed or (b, a) in allowed:
            forbidden = [part for o in allowed.get((a, b), ()) for part in _forbidden(o, disjoint)]
            back = (-disjoint[1], -disjoint[0])
            forbidden += [(-hi, -lo) for o in allowed.get((b, a), ()) for lo, hi in _forbidden(o, back)]
        clashes += [Clash(a, b, low, high) for low, high in _united(forbidden)]
    lives = tuple((b.first, b.last) for b in buffers)
    return Problem(tuple(b.bytes for b in buffers), tuple(b.align for b in buffers), lives, tuple(clashes))


def live_pairs(buffers: Sequence[Buffer]) -> Iterator[tuple[int, int]]:
    """Positions of every two non-empty buffers that are alive together, each pair once, in order of time."""
    alive: list[int] = []
    for index in sorted((i for i, b in enumerate(buffers) if b.bytes), key=lambda i: (buffers[i].first, i)):
        alive = [other for other in alive if buffers[other].last >= buffers[index].first]
        yield from ((other, index) for other in alive)
        alive.append(index)


def _overlaps_by_pair(buffers: Sequence[Buffer], overlaps: Iterable[Overlap]) -> dict[tuple[int, int], list[Overlap]]:
    index = {b.name: i for i, b in enumerate(buffers)}
    if len(index) < len(buffers):
        names = [b.name for b in buffers]
        raise ArenaError(f"two buffers are called {next(n for n in names if names.count(n) > 1)!r}")
    for b in buffers:
        if b.bytes < 0 or b.align < 1 or b.align & (b.align - 1) or b.first > b.last:
            raise ArenaError(f"{b} has a negative size, an alignment that is no power of two, or a life of no step")
    pairs: dict[tuple[int, int], list[Overlap]] = {}
    for overlap in overlaps:
        for name in (overlap.source, overlap.result):
            if name not in index:
                raise ArenaError(f"{overlap} names no buffer {name!r}")
        source, result = buffers[index[overlap.source]], buffers[index[overlap.result]]
        if source.last > result.first or source is result:
            raise ArenaError(f"{overlap}: {source.name!r} is still needed after {result.name!r} is begun")
        pairs.setdefault((index[source.name], index[result.name]), []).append(overlap)
    return pairs


def _forbidden(overlap: Overlap, disjoint: tuple[int, int]) -> list[tuple[int, int]]:
    """The displacements result - source that `overlap` forbids, as at most two intervals."""
    low, high = max(overlap.below, disjoint[0]), min(overlap.above, disjoint[1])
    parts = [(low, min(high, -1)), (max(low, 1), high)] if overlap.same else [(low, high)]
    return [(lo, hi) for lo, hi in parts if lo <= hi]


def _united(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same integers as disjoint intervals that do not touch, in order."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def validate(buffers: Sequence[Buffer], overlaps: Iterable[Overlap], offsets: Mapping[str, int]) -> None:
    """Check a placement from the definitions alone; ArenaError names the buffer or the pair that breaks a rule."""
    permits: dict[tuple[str, str], list[Overlap]] = {}
    for overlap in overlaps:
        permits.setdefault((overlap.source, overlap.result), []).append(overlap)
    for buffer in buffers:
        if buffer.name not in offsets:
            raise ArenaError(f"{buffer.name!r} has no offset")
        if offsets[buffer.name] < 0 or offsets[buffer.name] % buffer.align:
            raise ArenaError(f"{buffer.name!r} at {offsets[buffer.name]} is not at a multiple of {buffer.align}")
    for i, one in enumerate(buffers):
        for two in buffers[i + 1 :]:
            _validate_pair(one, two, permits, offsets)


def _validate_pair(
    one: Buffer, two: Buffer, permits: Mapping[tuple[str, str], list[Overlap]], offsets: Mapping[str, int]
) -> None:
    x, y = offsets[one.name], offsets[two.name]
    apart = one.last < two.first or two.last < one.first
    if apart or max(x, y) >= min(x + one.bytes, y + two.bytes):
        return
    entries = permits.get((one.name, two.name), []) + permits.get((two.name, one.name), [])
    text = f"{one.name!r} ({one.bytes} B at {x}) and {two.name!r} ({two.bytes} B at {y})"
    if not entries:
        raise ArenaError(f"{text} share bytes and are alive together")
    for entry in entries:
        source, result = (one, two) if entry.source == one.name else (two, one)
        if source.last > result.first:
            raise ArenaError(f"{text} share bytes for longer than the one step of {entry}")
        delta = offsets[entry.result] - offsets[entry.source]
        if entry.below <= delta <= entry.above and not (entry.same and delta == 0):
            raise ArenaError(f"{text} are displaced by {delta}, which {entry} forbids")
