"""The kernels of a program, those of equal text as one, and which candidates are measured next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import Policy
from tinyir.loops.schedule_file import StoredSchedule, fingerprint
from tinyir.tune.choose import Measured
from tinyir.tune.log import Entry
from tinyir.tune.space import Candidate, Space, policy_from

CENTERS = 4
"""Around so many of the best candidates others are looked for."""


@dataclass
class Group:
    """Kernels of equal text: their names, and the candidates measured so far, by digest, with cycles and code bytes of
    each measurement."""

    names: list[str]
    space: Space
    measured: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def cycles(self, digest: str) -> float:
        """Of one kernel, on average: what lies around a kernel shifts it a little."""
        return fmean(cycles for cycles, _ in self.measured[digest])

    def ranking(self) -> list[str]:
        """The digests of the measured candidates, fastest first."""
        return sorted(self.measured, key=lambda digest: (self.cycles(digest), digest))

    def untried(self, round: int) -> Iterator[Candidate]:
        """Candidates to be measured: those around the best ones, then random ones."""
        seen = self.measured.keys() | self.failed
        for candidate in self._around(round):
            if candidate.digest not in seen:
                seen = seen | {candidate.digest}
                yield candidate

    def _around(self, round: int) -> Iterator[Candidate]:
        for digest in self.ranking()[:CENTERS]:
            yield from self.space.neighbours(self.space.candidates[digest])
        yield from self.space.random(round)

    def best(self) -> Candidate:
        ranking = self.ranking()
        return self.space.candidates[ranking[0]] if ranking else self.space.builtin

    def options(self) -> list[Measured]:
        """The measured candidates, with what all kernels of the group cost; one that is no faster than the built-in one
        and no smaller is left out."""
        found = []
        for digest in self.ranking():
            candidate, code = self.space.candidates[digest], max(code for _, code in self.measured[digest])
            flash = len(self.names) * (code + candidate.constant_bytes)
            found.append(Measured(len(self.names) * self.cycles(digest), flash, candidate.ram_bytes, digest))
        builtin = next((one for one in found if one.digest == self.space.builtin.digest), None)
        worse = {one.digest for one in found if builtin and one is not builtin and _is_no_better(one, builtin)}
        return [one for one in found if one.digest not in worse]


def _is_no_better(one: Measured, other: Measured) -> bool:
    return all(a >= b for a, b in zip(_sizes(one), _sizes(other), strict=True))


def _sizes(one: Measured) -> tuple[float, ...]:
    return one.cycles, one.flash_bytes, one.ram_bytes


class Groups:
    """The groups of a program, by fingerprint, in the order of the program."""

    def __init__(self, kernels: Mapping[str, Kernel], policy: Policy, seed: int) -> None:
        self.of: dict[str, str] = {name: fingerprint(kernel) for name, kernel in kernels.items()}
        self.groups: dict[str, Group] = {}
        for name, mark in self.of.items():
            if mark in self.groups:
                self.groups[mark].names.append(name)
            else:
                self.groups[mark] = Group([name], Space(kernels[name], policy, f"{seed}/{mark}"))

    def builtin(self) -> dict[str, Candidate]:
        """The built-in schedule for every kernel."""
        return {name: self.groups[mark].space.builtin for name, mark in self.of.items()}

    def next_trials(self, count: int, round: int) -> list[dict[str, Candidate]]:
        """Up to `count` trials, each with a candidate for every kernel: one that is not measured yet, else the best.
        Kernels of one group try different ones. What is tried follows from what is measured and the seed."""
        queues = {mark: group.untried(round) for mark, group in self.groups.items()}
        trials = []
        for _ in range(count):
            fresh = {name: next(queues[mark], None) for name, mark in self.of.items()}
            if not any(fresh.values()):
                break
            trials.append({name: found or self.groups[self.of[name]].best() for name, found in fresh.items()})
        return trials

    def learn(self, entries: Iterable[Entry]) -> None:
        """Know these finished trials and no others. No candidate of a failed one is tried again."""
        for group in self.groups.values():
            group.measured, group.failed = {}, set()
        for entry in entries:
            self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        for name, (digest, policy) in entry.chosen.items():
            group = self.groups.get(self.of.get(name, ""))
            known = policy_from(policy)
            if group is None or known is None or group.space.candidate(known).digest != digest:
                continue
            if entry.trial is not None:
                found = entry.trial.cycles[name], entry.trial.code[name]
                group.measured.setdefault(digest, []).append(found)
            else:
                group.failed.add(digest)

    def stored(self, chosen: Mapping[str, Candidate]) -> dict[str, StoredSchedule]:
        """The schedules of a trial, as they are written to a file."""
        return {name: StoredSchedule(self.of[name], one.kernel.schedule) for name, one in chosen.items()}

    def by_kernel(self, chosen: Mapping[str, Measured]) -> dict[str, Candidate]:
        """The candidate of each kernel, of the choice for each group."""
        return {name: self.groups[mark].space.candidates[chosen[mark].digest] for name, mark in self.of.items()}


def logged(chosen: Mapping[str, Candidate]) -> dict[str, tuple[str, dict[str, Any]]]:
    """A trial's candidates as the log has them."""
    return {name: (one.digest, asdict(one.policy)) for name, one in chosen.items()}
