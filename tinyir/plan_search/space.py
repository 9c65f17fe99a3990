"""Choices of parts of plans: what each is worth, and the RAM below which its program cannot fall."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyir.plan_search.profile import Bytes, Ledger, Profile

MAX_WINDOWS = 6
"""Windows whose room bounds what else can be taken: those that would be fullest with everything."""

ALL_LAYERS = sys.maxsize
"""Behind all layers: where a choice of nothing begins."""

NONE = -1
"""In place of the index of an option: nothing of the group is taken."""


Choice = tuple[int, ...]
"""For each group, or each of the first groups, the index of the option taken, or NONE."""


@dataclass(frozen=True)
class Option:
    """One part of a group: what it is worth; its parameters, and bytes of them that it shares with all other options,
    each beyond a program without any part; the profile of a program with it alone; the first layer that it trains;
    and what else is needed where a layer up to `beyond` is trained as well."""

    gain: float
    params: int
    shared: int
    profile: Profile
    layer: int
    beyond: int = -1
    beside: Profile = field(default=Profile((), ()))


@dataclass(frozen=True, eq=False)
class Taken:
    """What a choice adds up to, the first layer that it trains, the table of its profiles (see `Ledger`), and which
    options it is made of, as (group, index)."""

    gain: float
    params: int
    shared: int
    layer: int
    table: Bytes
    options: tuple[tuple[int, int], ...] = ()


class Space:
    """Groups of options, of each of which one may be taken, under a `budget` of bytes, of which a program without any
    of them takes `params` and what its profile says."""

    def __init__(self, groups: Sequence[Sequence[Option]], budget: int, params: int, profile: Profile) -> None:
        self.groups = [list(group) for group in groups]
        self.budget = budget
        options = [option for group in self.groups for option in group]
        profiles = [each for option in options for each in (option.profile, option.beside)]
        self.ledger = Ledger([profile, *profiles])
        self.empty = Taken(0.0, params, 0, ALL_LAYERS, self.ledger.entry(profile))
        self._tables = [[self.ledger.entry(option.profile) for option in group] for group in self.groups]
        self._beside = [[self.ledger.entry_beside(option.beside) for option in group] for group in self.groups]
        tables = [self.empty.table, *(table for group in self._tables for table in group)]
        fullest = self.ledger.needs(np.maximum.reduce(tables))
        self._windows = np.argsort(-fullest, kind="stable")[:MAX_WINDOWS]
        own = self._own_bytes()
        self._upper = [self._hulls(own, first) for first in range(len(self.groups) + 1)]

    def add(self, taken: Taken, group: int, index: int) -> Taken:
        """`taken` and an option of another group."""
        if index == NONE:
            return taken
        option = self.groups[group][index]
        first = min(taken.layer, option.layer)
        options = (*taken.options, (group, index))
        tables = [taken.table, self._tables[group][index]]
        if first < taken.layer:
            tables += [self._beside[g][i] for g, i in options if first <= self.groups[g][i].beyond < taken.layer]
        elif first <= option.beyond:
            tables.append(self._beside[group][index])
        return Taken(
            taken.gain + option.gain,
            taken.params + option.params,
            max(taken.shared, option.shared),
            first,
            np.maximum.reduce(tables),
            options,
        )

    def sum(self, choice: Choice) -> Taken:
        """What `choice` adds up to."""
        taken = self.empty
        for group, index in enumerate(choice):
            taken = self.add(taken, group, index)
        return taken

    def ram(self, taken: Taken) -> int:
        """The bytes that a program of it needs at least."""
        return taken.params + taken.shared + int(self.ledger.needs(taken.table).max())

    def at_most(self, taken: Taken, first: int) -> float:
        """What no choice that takes of the groups from `first` on beside `taken` is worth more than; minus infinity
        where `taken` needs more than the budget."""
        needs = self.ledger.needs(taken.table)
        room = self.budget - taken.params - taken.shared - needs
        if room.min() < 0:
            return -np.inf
        return taken.gain + min(
            float(np.interp(room[w], *hull)) for w, hull in zip(self._windows, self._upper[first], strict=True)
        )

    def covers(self, taken: Choice, other: Choice) -> bool:
        """Whether `taken` has an option as large in each group that `other` takes one of."""
        for group, index in enumerate(other):
            if index == NONE:
                continue
            mine = taken[group] if group < len(taken) else NONE
            if mine == NONE or self.groups[group][mine].params < self.groups[group][index].params:
                return False
        return True

    # -- bounds of what can be added --------------------------------------------------------------------------------

    def _hulls(self, own: list[list[Bytes]], first: int) -> list[tuple[list[float], list[float]]]:
        """For each window, bytes and what the groups from `first` on are worth at most in so many, options being
        divisible (the relaxation of the knapsack with multiple choice, by the upper hull of each group)."""
        found = []
        for k in range(len(self._windows)):
            points = [
                [(option.gain, float(own[g][i][k])) for i, option in enumerate(self.groups[g])]
                for g in range(first, len(self.groups))
            ]
            steps = sorted((step for group in points for step in _hull(group)), key=lambda s: -s[0] / max(s[1], 1e-9))
            bytes, gains = [0.0], [0.0]
            for gain, size in steps:
                bytes.append(bytes[-1] + max(size, 1e-9))
                gains.append(gains[-1] + gain)
            found.append((bytes, gains))
        return found

    def _own_bytes(self) -> list[list[Bytes]]:
        """For each option and window the bytes that it adds to any choice without its group: its parameters, and what
        is saved for no other group, as far as the other parts of that tensor leave something to save."""
        tables, ledger = self._tables, self.ledger
        most = [np.maximum.reduce(group)[:-1, self._windows] for group in tables]
        base = self.empty.table[:-1, self._windows]
        total = np.maximum.reduce([base, *most])
        by_tensor = np.zeros((len(ledger.starts), len(self._windows)), np.int64)
        np.add.at(by_tensor, ledger.tensor_of, total)
        left = ledger.whole[ledger.tensor_of] - (by_tensor[ledger.tensor_of] - total) if len(ledger.row) else total
        users = np.sum([(group > 0).any(axis=1) for group in most], axis=0) + (base > 0).any(axis=1)
        alone = (users == 1)[:, None]
        return [
            [
                option.params + (np.clip(table[:-1, self._windows], 0, np.maximum(left, 0)) * alone).sum(axis=0)
                for option, table in zip(group, tables[g], strict=True)
            ]
            for g, group in enumerate(self.groups)
        ]


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The steps of the upper hull of (gain, bytes) from (0, 0) on."""
    steps: list[tuple[float, float]] = []
    at = (0.0, 0.0)
    while True:
        ahead = [point for point in points if point[0] > at[0] and point[1] >= at[1]]
        if not ahead:
            return steps
        best = max(ahead, key=lambda p: ((p[0] - at[0]) / max(p[1] - at[1], 1e-9), p[0]))
        steps.append((best[0] - at[0], best[1] - at[1]))
        at = best
