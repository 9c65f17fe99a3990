"""The choice within limits, on made-up candidates."""

from __future__ import annotations

import itertools
import random

import pytest

from tinyir.diagnostics import LimitError
from tinyir.tune.choose import Choice, Demand, Measured, choose

FAST, LEAN, TINY = Measured(10, 100, 50, "fast"), Measured(12, 60, 50, "lean"), Measured(40, 40, 10, "tiny")
SLOW = Measured(15, 20, 45, "slow")


def demand(choice: Choice) -> Demand:
    """Kernels one after the other, with nothing alive but their own tensors."""
    live = {name: one.ram_bytes for name, one in choice.items()}
    return Demand(max(live.values()), live, sum(one.flash_bytes for one in choice.values()))


def names(chosen: Choice) -> dict[str, str]:
    return {name: one.digest for name, one in chosen.items()}


def test_without_limits_the_fastest() -> None:
    groups = {"a": [TINY, FAST, LEAN], "b": [LEAN, TINY]}
    assert names(choose(groups, demand, None, None)) == {"a": "fast", "b": "lean"}


def test_equal_cycles_take_the_smaller() -> None:
    assert names(choose({"a": [FAST, Measured(10, 99, 50, "z")]}, demand, None, None)) == {"a": "z"}


def test_flash_goes_where_a_byte_costs_the_fewest_cycles() -> None:
    groups = {"a": [FAST, LEAN, TINY], "b": [FAST, SLOW]}
    assert names(choose(groups, demand, None, 199)) == {"a": "lean", "b": "fast"}
    assert names(choose(groups, demand, None, 159)) == {"a": "lean", "b": "slow"}
    assert names(choose(groups, demand, None, 60)) == {"a": "tiny", "b": "slow"}


def test_ram_is_saved_by_the_kernel_that_needs_too_much() -> None:
    small = Measured(1, 1, 5, "small"), Measured(2, 1, 4, "smaller")
    groups = {"a": [FAST, TINY], "b": small}
    assert names(choose(groups, demand, 49, None)) == {"a": "tiny", "b": "small"}


def test_ram_where_no_kernel_alone_needs_too_much() -> None:
    """Holes in the plan: then the kernels with the most alive give way."""

    def with_holes(choice: Choice) -> Demand:
        needed = demand(choice)
        return Demand(needed.arena_bytes + 8, needed.live_bytes, needed.flash_bytes)

    groups = {"a": [FAST, TINY], "b": [Measured(1, 1, 5, "small"), Measured(2, 1, 4, "smaller")]}
    assert names(choose(groups, with_holes, 55, None)) == {"a": "tiny", "b": "small"}


@pytest.mark.parametrize(("arena", "flash", "what"), [(9, None, "9 bytes of arena"), (None, 39, "39 bytes of flash")])
def test_limits_that_nothing_keeps(arena: int | None, flash: int | None, what: str) -> None:
    with pytest.raises(LimitError, match=f"within {what}"):
        choose({"a": [FAST, LEAN, TINY]}, demand, arena, flash)


@pytest.mark.parametrize("seed", range(40))
def test_random_groups(seed: int) -> None:
    """Limits hold, or none of all choices keeps them when each is at its smallest; without limits nothing is faster."""
    rng = random.Random(seed)
    groups = {
        name: [
            Measured(rng.randrange(1, 50), rng.randrange(1, 50), rng.randrange(1, 50), f"{name}{i}")
            for i in range(rng.randrange(1, 4))
        ]
        for name in "abc"
    }
    every = [dict(zip(groups, combo, strict=True)) for combo in itertools.product(*groups.values())]
    fastest = choose(groups, demand, None, None)
    assert sum(one.cycles for one in fastest.values()) == min(sum(one.cycles for one in c.values()) for c in every)
    flash = rng.randrange(10, 120)
    fitting = [c for c in every if demand(c).flash_bytes <= flash]
    if fitting:
        assert demand(choose(groups, demand, None, flash)).flash_bytes <= flash
    else:
        with pytest.raises(LimitError):
            choose(groups, demand, None, flash)
