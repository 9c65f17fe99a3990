"""The search with made-up costs: it finds the best, goes on where it was, and gives the same for the same seed."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.samples import needs_m7
from tests.tune.fakes import Made, Now, cost, ignore, write_model
from tinyir.diagnostics import LimitError, TinyIRWarning, ToolError, UsageError
from tinyir.loops.recipes import POLICIES
from tinyir.pipeline import Options
from tinyir.tune.log import Entry
from tinyir.tune.search import Search

pytestmark = needs_m7

FAST = Options(level="speed")


def search_in(folder: Path, trials: int = 0, *, seed: int = 0, pool: Executor | None = None) -> Search:
    """A search on the small model after so many trials."""
    search = Search(write_model(folder), FAST, seed, folder / "log.jsonl")
    if trials:
        search.run(trials, pool or Now(), ignore, Made(search.compiler))
    return search


def test_the_best_candidates_are_chosen(tmp_path: Path) -> None:
    search = search_in(tmp_path, 6)
    search.groups.learn(search.entries)
    best: dict[str, float] = {}
    for group in search.groups.groups.values():
        wanted = min(cost(group.space.candidates[digest].kernel.schedule) for digest in group.measured)
        best |= dict.fromkeys(group.names, wanted)
    outcome = search.finish(False, ignore, Made(search.compiler))
    assert outcome.tuned.cycles == best
    assert {name: cost(stored.steps) for name, stored in outcome.schedules.items()} == best
    assert outcome.tuned.total < outcome.builtin.total and outcome.trials == 6


def test_no_trial_repeats_another(tmp_path: Path) -> None:
    search = search_in(tmp_path, 6)
    chosen = [tuple(digest for digest, _ in entry.chosen.values()) for entry in search.entries]
    assert len(set(chosen)) == 6
    assert chosen[0] == tuple(one.digest for one in search.groups.builtin().values())


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole = search_in(tmp_path / "one", 12).entries
    search_in(tmp_path, 5)
    again = search_in(tmp_path)
    measurer = Made(again.compiler)
    assert len(again.entries) == 5
    again.run(9, Now(), ignore, measurer)
    assert measurer.calls == 4 and again.entries == whole[:9]
    again.run(9, Now(), ignore, measurer)
    assert measurer.calls == 4


def test_trials_of_other_built_in_schedules_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update of tinyir."""
    search_in(tmp_path, 2)
    monkeypatch.setitem(POLICIES, "speed", POLICIES["size"])
    assert search_in(tmp_path).entries == []


def test_workers_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with ThreadPoolExecutor(4) as pool:
        assert search_in(tmp_path / "one", 11, pool=pool).entries == search_in(tmp_path, 11).entries


def test_the_seed_changes_the_order(tmp_path: Path) -> None:
    entries = [search_in(tmp_path, 4, seed=seed).entries for seed in (0, 1)]
    assert entries[0][0] == entries[1][0] and entries[0] != entries[1]


def test_an_interrupt_keeps_what_is_measured(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    assert search.run(9, Now(), ignore, Made(search.compiler, 4, KeyboardInterrupt())) is True
    assert len(search.entries) == len(search_in(tmp_path).entries) == 4


def test_an_interrupt_before_anything_is_measured(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        search.run(9, Now(), ignore, Made(search.compiler, 0, KeyboardInterrupt()))


def test_a_trial_that_fails_is_logged_and_not_tried_again(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    with pytest.warns(TinyIRWarning, match="trial 2 failed: gcc died"):
        search.run(8, Now(), ignore, Made(search.compiler, 2, ToolError("gcc died")))
    assert [entry.error for entry in search.entries] == ["", "", "gcc died", *[""] * 5]
    failed = search.entries[2].chosen["window"][0]
    assert all(entry.chosen["window"][0] != failed for entry in search.entries[3:])


def test_the_built_in_schedules_must_work(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    with pytest.raises(ToolError, match="gcc died"):
        search.run(8, Now(), ignore, Made(search.compiler, 0, ToolError("gcc died")))
    assert search_in(tmp_path).entries == []


def test_wrong_outputs_do_not_count(tmp_path: Path) -> None:
    search = search_in(tmp_path, 1)
    made = Made(search.compiler)

    def wrong(job: object) -> object:
        trial = made(job)  # type: ignore[arg-type]
        return type(trial)(trial.cycles, trial.code, trial.stack_bytes, "wrong", trial.compiler)

    with pytest.warns(TinyIRWarning, match="computes something else"):
        search.run(2, Now(), ignore, wrong)  # type: ignore[arg-type]
    assert search.entries[1] == Entry(1, search.entries[1].chosen, None, "wrong outputs")
    search.groups.learn(search.entries)
    assert all(len(group.measured) == 1 for group in search.groups.groups.values())


def test_workers_with_another_compiler(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="another compiler: gcc 1,"):
        search_in(tmp_path).run(3, Now(), ignore, Made("gcc 1"))


def test_limits_are_kept(tmp_path: Path) -> None:
    """What the built-in schedules need is enough for something that is not slower; next to nothing is not enough."""
    search = search_in(tmp_path, 10)
    free = search.finish(False, ignore, Made(search.compiler))
    needs = search._needs(search.groups.builtin())
    search.options = replace(search.options, max_ram=needs.ram, max_flash=needs.flash)
    bound = search.finish(False, ignore, Made(search.compiler))
    chosen = {name: search.groups.groups[mark].space for name, mark in search.groups.of.items()}
    found = {
        name: next(one for one in chosen[name].candidates.values() if one.kernel.schedule == stored.steps)
        for name, stored in bound.schedules.items()
    }
    kept = search._needs(found)
    assert kept.ram <= needs.ram and kept.flash <= needs.flash
    assert free.tuned.total <= bound.tuned.total <= free.builtin.total
    for ram, flash in ((None, 500), (400, None)):
        search.options = replace(search.options, max_ram=ram, max_flash=flash)
        with pytest.raises(LimitError, match="no schedules were found with"):
            search.finish(False, ignore, Made(search.compiler))


@pytest.mark.parametrize(
    "options",
    [Options(target="host"), Options(passes="canonicalize"), Options(schedule=Path("s.toml"))],
    ids=["host", "passes", "schedule"],
)
def test_options_that_leave_nothing_to_tune(options: Options, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Search(write_model(tmp_path), options, 0, tmp_path / "log.jsonl")
