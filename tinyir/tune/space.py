"""The candidates for a kernel: what its recipe makes of it within other limits than those of the built-in levels."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, cast

from tinyir.loops.ir import Kernel
from tinyir.loops.overlap import clearance
from tinyir.loops.recipes import Policy, schedule_within
from tinyir.passes.arena import Buffer, Overlap, plan

KNOBS: dict[str, tuple[Any, ...]] = {
    "tile_bytes": (512, 1024, 2048, 4096, 8192, 16384),
    "plane_bytes": (1024, 2048, 4096, 8192, 16384),
    "pixels": (1, 2, 3, 4),
    "written_words": (1, 2, 4, 8, 16, 32, 64),
    "written_depth": (1, 4, 8, 16, 32, 64),
    "written_sums": (0, 64, 128, 256),
    "widen_rows": (False, True),
    "wide_taps": (False, True),
    "written_taps": (0, 9, 25, 49),
    "outputs": (2, 4, 6, 8),
    "wide_weights": (False, True),
}
"""The values that are tried for the fields of a policy."""

RANDOM_TRIES = 12


@dataclass(frozen=True)
class Candidate:
    """A schedule for a kernel, and the policy that it comes from."""

    policy: Policy
    kernel: Kernel

    @cached_property
    def digest(self) -> str:
        """What the steps are known by."""
        return hashlib.sha256("\n".join(self.kernel.schedule).encode()).hexdigest()[:16]

    @property
    def constant_bytes(self) -> int:
        return sum(p.bytes for p in self.kernel.by_role("const"))

    @cached_property
    def ram_bytes(self) -> int:
        """The least arena of a program of this kernel alone: inputs, outputs, which may overlap, and scratch."""
        kernel = self.kernel
        sources, results = kernel.by_role("in"), kernel.by_role("out")
        buffers = [Buffer(p.name, p.bytes, 4, 0, 1) for p in sources]
        buffers += [Buffer(p.name, p.bytes, 4, 1, 2) for p in results]
        buffers += [Buffer(p.name, p.bytes, 4, 1, 1) for p in kernel.by_role("scratch")]
        gaps = [(s.name, r.name, clearance(kernel, s.name, r.name)) for s in sources for r in results]
        return plan(buffers, [Overlap(s, r, gap.first, gap.last, gap.in_place) for s, r, gap in gaps]).peak


class Space:
    """The candidates for one kernel. Those of equal steps are one; policies are tried when they are asked for."""

    def __init__(self, kernel: Kernel, policy: Policy, seed: str) -> None:
        self.kernel, self.seed = kernel, seed
        self._by_policy: dict[Policy, Candidate] = {}
        self._knobs: dict[str, set[str]] = {}
        self.candidates: dict[str, Candidate] = {}
        self.builtin = self.candidate(policy)

    def candidate(self, policy: Policy) -> Candidate:
        """What the recipe makes of the kernel within `policy`."""
        if policy not in self._by_policy:
            watched = _Watched(policy)
            made = Candidate(policy, schedule_within(self.kernel, cast(Policy, watched)))
            found = self.candidates.setdefault(made.digest, made)
            self._by_policy[policy] = found
            self._knobs.setdefault(found.digest, watched.asked & KNOBS.keys())
        return self._by_policy[policy]

    def knobs(self, candidate: Candidate) -> list[str]:
        """The fields of a policy that had a say in this candidate."""
        return sorted(self._knobs[candidate.digest])

    def neighbours(self, center: Candidate) -> Iterator[Candidate]:
        """The candidates that differ from `center` in one knob, in an order by the seed."""
        changes = [(name, value) for name in self.knobs(center) for value in KNOBS[name]]
        random.Random(f"{self.seed}/{center.digest}").shuffle(changes)
        for name, value in changes:
            if getattr(center.policy, name) != value:
                yield self.candidate(replace(center.policy, **{name: value}))

    def random(self, round: int) -> Iterator[Candidate]:
        """Some candidates with every knob at random, by the seed and the number of the round."""
        rng = random.Random(f"{self.seed}/random {round}")
        knobs = self.knobs(self.builtin)
        for _ in range(RANDOM_TRIES if len(knobs) > 1 else 0):
            yield self.candidate(replace(self.builtin.policy, **{name: rng.choice(KNOBS[name]) for name in knobs}))


class _Watched:
    """A policy that remembers what it was asked for, so that no list says which recipe heeds what."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self.policy, name)


def policy_from(values: Any) -> Policy | None:
    """The policy that `dataclasses.asdict` made `values` of; None if it is one of another version."""
    if not isinstance(values, dict) or set(values) != {f.name for f in fields(Policy)}:
        return None
    return Policy(**values)
