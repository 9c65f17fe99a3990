"""Candidates: they differ, the seed says in which order they come, and each computes what the plain kernel does."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from itertools import islice

import pytest

from tests.loops.cases import Case
from tests.loops.kernels import same_results
from tests.loops.test_recipes import conv, dense, depthwise
from tinyir.loops.check import check_kernel
from tinyir.loops.recipes import POLICIES, Policy, schedule
from tinyir.loops.schedule import apply
from tinyir.tune.space import KNOBS, Candidate, Space, policy_from

SAME = ((1, 1), (1, 1))

CASES = {
    "pointwise": lambda: conv((5, 7), (8, 6), (1, 1)),
    "convolution": lambda: conv((5, 6), (4, 4), (3, 3), pad=SAME),
    "three channels": lambda: conv((6, 6), (3, 4), (3, 3), (2, 2), SAME),
    "depthwise": lambda: depthwise((9, 11), 8, (3, 3), pad=SAME, layout="OHW"),
    "dense": lambda: dense(1, 40, 8),
}


def space_of(case: Case, seed: str = "0") -> Space:
    return Space(case.kernel, POLICIES["speed"], seed)


def some_of(space: Space) -> list[Candidate]:
    return [space.builtin, *islice(space.neighbours(space.builtin), 12), *space.random(0)]


@pytest.mark.parametrize("name", CASES)
def test_candidates_compute_the_same(name: str) -> None:
    case = CASES[name]()
    space = space_of(case)
    some_of(space)
    assert len(space.candidates) > 1
    for candidate in space.candidates.values():
        assert check_kernel(candidate.kernel) == ""
        assert apply(case.kernel, candidate.kernel.schedule) == candidate.kernel
        same_results(case.kernel, candidate.kernel, case.arrays)


def test_the_built_in_candidate_is_that_of_the_level() -> None:
    case = CASES["pointwise"]()
    assert space_of(case).builtin.kernel == schedule(case.kernel, "speed")


def test_neighbours_differ_in_one_knob_that_the_recipe_asks_for() -> None:
    space = space_of(CASES["depthwise"]())
    base = asdict(space.builtin.policy)
    changed = [
        {name for name, value in asdict(one.policy).items() if value != base[name]}
        for one in space.neighbours(space.builtin)
    ]
    assert all(len(names) <= 1 for names in changed)
    assert (
        set().union(*changed)
        <= {"plane_bytes", "outputs", "wide_taps", "written_taps"}
        == set(space.knobs(space.builtin))
    )


def test_policies_of_equal_steps_are_one_candidate() -> None:
    space = space_of(CASES["dense"]())
    policies = [replace(POLICIES["speed"], tile_bytes=n, plane_bytes=n) for n in (64, 128)]
    assert space.candidate(policies[0]) is space.candidate(policies[1]) is space.builtin


def test_the_seed_says_the_order() -> None:
    orders = [[one.digest for one in some_of(space_of(CASES["pointwise"](), seed))] for seed in ("0", "0", "1")]
    assert orders[0] == orders[1] != orders[2]


def test_a_kernel_without_a_recipe_has_one_candidate() -> None:
    case = dense(1, 3, 1)
    space = Space(case.kernel.__class__("copy", case.kernel.params, case.kernel.body), POLICIES["speed"], "0")
    assert some_of(space) == [space.builtin] and space.knobs(space.builtin) == []


def test_ram_counts_tensors_that_overlap_once() -> None:
    candidate = space_of(CASES["pointwise"]()).builtin
    sizes = {role: sum(p.bytes for p in candidate.kernel.by_role(role)) for role in ("in", "out", "scratch")}
    assert max(sizes["in"], sizes["out"]) + sizes["scratch"] <= candidate.ram_bytes <= sum(sizes.values()) + 12


def test_every_field_of_a_policy_has_values() -> None:
    assert KNOBS.keys() == {f.name for f in fields(Policy)}
    for policy in POLICIES.values():
        assert all(value in KNOBS[name] for name, value in asdict(policy).items())
        assert policy_from(asdict(policy)) == policy


@pytest.mark.parametrize("values", [None, {}, {"pixels": 3}, asdict(POLICIES["speed"]) | {"more": 1}])
def test_policies_of_other_versions(values: object) -> None:
    assert policy_from(values) is None
