"""A good choice where the space is too large to prove one the best: mutation, repair, selection."""

from __future__ import annotations

import random

from tinyir.plan_search.space import NONE, Choice, Space, Taken

ROUNDS = 300
"""Mutants that are tried."""


def evolve(space: Space, margin: int, seed: int) -> Choice:
    """A choice that its bound lets fit with `margin` bytes to spare; the same one for the same `seed`.

    Starts from the options worth most for their bytes. Each round changes up to three groups of the best choice so far,
    drops what is worth least for its bytes until the rest fits, fills up, and is kept if it is worth as much.
    """
    rng = random.Random(seed)
    order = [(g, i) for g, group in enumerate(space.groups) for i in range(len(group))]
    order.sort(key=lambda at: -_worth(space, *at))
    best = _filled(space, margin, (NONE,) * len(space.groups), order)
    for _ in range(ROUNDS if order else 0):
        mutant = list(best)
        for g in rng.sample(range(len(mutant)), min(len(mutant), rng.randint(1, 3))):
            mutant[g] = rng.randrange(NONE, len(space.groups[g]))
        repaired = _repaired(space, margin, tuple(mutant))
        grown = _filled(space, margin, repaired, rng.sample(order, min(len(order), 24)))
        if space.sum(grown).gain >= space.sum(best).gain:
            best = grown
    return best


def _worth(space: Space, group: int, index: int) -> float:
    """Gain by byte of an option alone."""
    option = space.groups[group][index]
    needs = space.ram(space.add(space.empty, group, index)) - space.ram(space.empty)
    return option.gain / max(needs, 1)


def _fits(space: Space, margin: int, taken: Taken) -> bool:
    return space.ram(taken) + margin <= space.budget


def _repaired(space: Space, margin: int, choice: Choice) -> Choice:
    while not _fits(space, margin, space.sum(choice)):
        chosen = [g for g, i in enumerate(choice) if i != NONE]
        if not chosen:
            return choice
        worst = min(chosen, key=lambda g: _worth(space, g, choice[g]))
        choice = tuple(NONE if g == worst else i for g, i in enumerate(choice))
    return choice


def _filled(space: Space, margin: int, choice: Choice, order: list[tuple[int, int]]) -> Choice:
    """`choice` with each option of `order` in turn that is worth more than what it replaces, and fits."""
    for group, index in order:
        now = choice[group]
        if now != NONE and space.groups[group][now].gain >= space.groups[group][index].gain:
            continue
        other = (*choice[:group], index, *choice[group + 1 :])
        if _fits(space, margin, space.sum(other)):
            choice = other
    return choice
