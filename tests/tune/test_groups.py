"""Kernels of equal text are tuned together, and try different candidates in one trial."""

from __future__ import annotations

from dataclasses import replace

from tests.loops.test_recipes import conv, dense
from tinyir.loops.recipes import POLICIES
from tinyir.tune.groups import Groups, logged
from tinyir.tune.log import Entry
from tinyir.tune.measure import Trial

TWIN = conv((5, 7), (8, 6), (1, 1)).kernel
KERNELS = {
    "a": replace(TWIN, name="a"),
    "d": replace(dense(1, 40, 8).kernel, name="d"),
    "b": replace(TWIN, name="b", doc=("another",)),
}


def groups() -> Groups:
    return Groups(KERNELS, POLICIES["speed"], 0)


def trial(**cycles: float) -> Trial:
    return Trial(cycles, dict.fromkeys(cycles, 100), 0, "", "")


def test_equal_kernels_are_one_group() -> None:
    found = groups()
    assert [group.names for group in found.groups.values()] == [["a", "b"], ["d"]]
    assert found.of["a"] == found.of["b"] != found.of["d"]


def test_they_try_different_candidates() -> None:
    found = groups()
    found.learn([Entry(0, logged(found.builtin()), trial(a=10, b=10, d=5))])
    trials = found.next_trials(3, 1)
    tried = [one[name].digest for one in trials for name in "ab"]
    assert len(set(tried)) == len(tried) == 6
    assert found.groups[found.of["a"]].space.builtin.digest not in tried


def test_they_share_what_is_measured() -> None:
    found = groups()
    found.learn([Entry(0, logged(found.builtin()), trial(a=10, b=12, d=5))])
    group = found.groups[found.of["a"]]
    assert group.cycles(group.space.builtin.digest) == 11
    (option,) = group.options()
    assert option.cycles == 22 and option.flash_bytes == 2 * (100 + group.space.builtin.constant_bytes)


def test_where_nothing_is_left_the_best_is_taken() -> None:
    found = groups()
    entries = [Entry(0, logged(found.builtin()), trial(a=10, b=10, d=5))]
    for round in range(1, 200):
        found.learn(entries)
        trials = found.next_trials(8, round)
        if not trials:
            break
        entries += [Entry(round, logged(chosen), trial(a=20, b=20, d=5)) for chosen in trials]
    assert round < 199
    small, large = found.groups[found.of["d"]], found.groups[found.of["a"]]
    assert len(large.measured) > len(small.measured) > 1
    assert large.best() is large.space.builtin


def test_entries_that_mean_nothing_here_are_passed_over() -> None:
    found = groups()
    chosen = logged(found.builtin())
    digest, policy = chosen["a"]
    for other in ({"z": (digest, policy)}, {"a": ("0" * 16, policy)}, {"a": (digest, {"pixels": 3})}):
        found.learn([Entry(0, other, trial(a=1, z=1))])
    assert found.groups[found.of["a"]].measured == {}
