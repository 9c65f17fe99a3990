"""A text picture of the arena: addresses upwards, steps to the right, a letter for each buffer."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinyir.passes.arena import Plan
from tinyir.passes.arena_problem import Buffer, live_pairs

LETTERS = string.ascii_lowercase + string.ascii_uppercase
SMALLER, SHARED, FREE = "*", "#", "."
WIDEST_STEP = 6


@dataclass(frozen=True)
class Column:
    """One step, or a few from `first` on that are drawn as what lies in the arena at `shown`, the fullest of them."""

    first: int
    shown: int


def picture(buffers: Sequence[Buffer], plan: Plan, width: int = 72, rows: int = 24) -> str:
    """Draw `plan`: at most `width` characters of steps and `rows` of addresses, then the legend and the bound.

    A character stands for the buffer that fills most of its addresses, and `#` for bytes that two buffers share at
    that step. Every buffer alive gets a character if there is room. The largest buffers have letters, the rest is `*`.
    """
    if not plan.peak:
        return "the arena is empty\n"
    letters = _letters(buffers)
    columns = _columns(buffers, plan, width)
    wide = max(1, min(WIDEST_STEP, width // len(columns)))
    rows = min(rows, plan.peak)
    edges = [plan.peak * row // rows for row in range(rows + 1)]
    drawn = [_draw_column(buffers, plan.offsets, letters, column.shown, edges) for column in columns]
    margin = len(f"{plan.peak:,}")
    lines = [f"{plan.peak:>{margin},} +{'-' * (wide * len(columns))}"]
    for row in reversed(range(rows)):
        lines.append(f"{edges[row]:>{margin},} |{''.join(cells[row] * wide for cells in drawn)}")
    lines.append(f"{'':{margin}} +{'-' * (wide * len(columns))}")
    lines += [f"{'':{margin}}  {line}" for line in _axis(columns, wide, plan)]
    signs = "".join(cell for cells in drawn for cell in cells)
    return "\n".join([*lines, "", *_legend(buffers, plan, letters, signs), "", describe(plan)]) + "\n"


def describe(plan: Plan) -> str:
    """The peak beside its bound, in one line."""
    if plan.proven:
        return f"peak {plan.peak:,} B = lower bound, proven"
    return f"peak {plan.peak:,} B, lower bound {plan.lower_bound:,} B, gap {100 * plan.gap:.1f} %"


def _letters(buffers: Sequence[Buffer]) -> dict[str, str]:
    """A letter for each of the largest buffers, in order of time."""
    drawn = [b for b in buffers if b.bytes]
    largest = sorted(drawn, key=lambda b: -b.bytes)[: len(LETTERS)]
    in_time = sorted(largest, key=lambda b: (b.first, b.last))
    return {b.name: letter for b, letter in zip(in_time, LETTERS, strict=False)}


def _columns(buffers: Sequence[Buffer], plan: Plan, width: int) -> list[Column]:
    """One column a step, or a few steps a column where they are more than `width`."""
    load = dict.fromkeys(range(min(b.first for b in buffers), max(b.last for b in buffers) + 1), 0)
    for b in buffers:
        for step in range(b.first, b.last + 1):
            load[step] += b.bytes
    steps = list(load)
    each = -(-len(steps) // width)
    groups = [steps[i : i + each] for i in range(0, len(steps), each)]
    return [Column(group[0], max(group, key=lambda s: (s == plan.peak_step, load[s]))) for group in groups]


def _draw_column(
    buffers: Sequence[Buffer], offsets: Mapping[str, int], letters: Mapping[str, str], step: int, edges: Sequence[int]
) -> list[str]:
    """What to draw for each address range, lowest first."""
    alive = [(offsets[b.name], b) for b in buffers if b.bytes and b.first <= step <= b.last]
    owners: list[str | None] = []
    shared: list[bool] = []
    for low, high in pairwise(edges):
        covers = {b.name: min(high, start + b.bytes) - max(low, start) for start, b in alive}
        covers = {name: cover for name, cover in covers.items() if cover > 0}
        owners.append(max(covers, key=lambda name: covers[name], default=None))
        shared.append(2 * (sum(covers.values()) - _union(alive, low, high)) > high - low)
    for start, b in alive:
        row = next(i for i, edge in enumerate(edges[1:]) if 2 * start + b.bytes <= 2 * edge)
        if b.name not in owners and (owners.count(owners[row]) > 1 or owners[row] is None):
            owners[row], shared[row] = b.name, False
    return [
        SHARED if both else FREE if name is None else letters.get(name, SMALLER)
        for name, both in zip(owners, shared, strict=True)
    ]


def _union(alive: Sequence[tuple[int, Buffer]], low: int, high: int) -> int:
    """How many of the bytes low..high are in use."""
    used, reach = 0, low
    for start, b in sorted(alive, key=lambda pair: pair[0]):
        used += max(0, min(high, start + b.bytes) - max(reach, start))
        reach = max(reach, start + b.bytes)
    return used


def _axis(columns: Sequence[Column], wide: int, plan: Plan) -> list[str]:
    """The numbers of the steps, and the mark of the step that needs most."""
    numbers = mark = ""
    for place, column in zip(range(0, wide * len(columns), wide), columns, strict=True):
        if not numbers or len(numbers) < place:
            numbers = numbers.ljust(place) + str(column.first)
        if column.shown == plan.peak_step:
            mark = " " * place + f"^ step {plan.peak_step} needs most"
    return [numbers, mark]


def _legend(buffers: Sequence[Buffer], plan: Plan, letters: Mapping[str, str], signs: str) -> list[str]:
    """Name, size, place and life of each buffer that has a letter, and what the `signs` used stand for."""
    over: dict[str, str] = dict.fromkeys(plan.offsets, "")
    for i, j in live_pairs(buffers):
        one, two = buffers[i], buffers[j]
        delta = plan.offsets[two.name] - plan.offsets[one.name]
        if -two.bytes < delta < one.bytes:
            over[two.name] += letters.get(one.name, SMALLER)
    listed = sorted((b for b in buffers if b.name in letters), key=lambda b: LETTERS.index(letters[b.name]))
    table = [
        (letters[b.name], b.name, f"{b.bytes:,} B", f"at {plan.offsets[b.name]:,}", f"steps {b.first} to {b.last}")
        for b in listed
    ]
    name, size, place, life = (max(len(row[column]) for row in table) for column in range(1, 5))
    lines = [
        f"{row[0]}  {row[1]:<{name}}  {row[2]:>{size}} {row[3]:<{place}}  {row[4]:<{life}}"
        + (f"  over {over[row[1]]}" if over[row[1]] else "")
        for row in table
    ]
    rest = [b.bytes for b in buffers if b.name not in letters]
    if rest:
        lines.append(f"{SMALLER}  {len(rest)} smaller buffers, of at most {max(rest):,} B")
    if SHARED in signs:
        lines.append(f"{SHARED}  bytes of two buffers at once: read by a step that writes its result over them")
    return [line.rstrip() for line in lines]
