"""The search for plans: the choice against brute force, the budget against the compiled program."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyir
from tests.train.networks import dense_network
from tinyir.cli import main
from tinyir.diagnostics import LimitError, UsageError
from tinyir.ir.ops.nn_activation import Relu
from tinyir.pipeline import Options, Training
from tinyir.plan_search.contribution import Lesson, gradients, trainer
from tinyir.plan_search.knapsack import Choice, Knapsack, Option
from tinyir.plan_search.parts import Task, groups, model_of, needs, together
from tinyir.plan_search.search import search
from tinyir.train_plan import Share, TrainPlan, layers
from tinyir.tune.executors import executor

OPTIONS = st.builds(Option, st.integers(1, 50).map(float), st.integers(0, 40), st.integers(0, 30))
GROUPS = st.lists(st.lists(OPTIONS, min_size=1, max_size=3), max_size=4)


def taken(all_groups: list[list[Option]], choice: Choice) -> list[Option]:
    return [group[i] for group, i in zip(all_groups, choice, strict=True) if i >= 0]


def gain_if_fits(all_groups: list[list[Option]], choice: Choice, budget: int) -> float:
    options = taken(all_groups, choice)
    needed = sum(o.params for o in options) + max((o.arena for o in options), default=0)
    return sum(o.gain for o in options) if needed <= budget else -1.0


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.integers(0, 120))
def test_the_choice_is_as_good_as_any(all_groups: list[list[Option]], budget: int) -> None:
    knapsack = Knapsack(all_groups, budget)
    choices = list(itertools.product(*(range(-1, len(group)) for group in all_groups)))
    wanted = max(gain_if_fits(all_groups, choice, budget) for choice in choices)
    assert gain_if_fits(all_groups, knapsack.best(), budget) == wanted
    assert knapsack.proven


def test_what_is_excluded_is_not_given_again_nor_more_of_it() -> None:
    knapsack = Knapsack([[Option(3, 1, 0), Option(5, 2, 0)], [Option(4, 1, 0)]], 10)
    assert knapsack.best() == (1, 0)
    knapsack.exclude((0, 0))
    assert knapsack.best() == (1, -1)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    path = tmp_path_factory.mktemp("model") / "net.tir"
    path.write_text(str(dense_network((16, 12, 8, 4), Relu)))
    return Task(path, Options(), Training())


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 40)
    x = (rng.normal(size=(4, 16))[y] + 0.5 * rng.normal(size=(40, 16))).astype(np.float32)
    return Lesson(x[:, None], y, steps=20, lr=0.1)


def test_parts_of_a_model(task: Task) -> None:
    found = groups(layers(model_of(task).main))
    assert found[0] == [TrainPlan(2), TrainPlan(3)]
    assert [[share.ratio for part in group for share in part.weights] for group in found[1:]] == [
        [0.125, 0.25, 0.5, 1.0],
        [0.125, 0.25, 0.5, 1.0],
    ]
    assert together([found[0][1], found[2][0]]) == TrainPlan(3, True, (Share("fc1", 0.125),))


def test_the_plan_fits_and_is_the_same_again(task: Task, lesson: Lesson, tmp_path: Path) -> None:
    """RAM is what the compiled program says; the pool and a second run change nothing."""
    budget = 1400
    found = search(task, budget, lesson)
    with executor(2, None) as pool:
        assert search(task, budget, lesson, pool=pool) == found
    path = tmp_path / "plan.toml"
    path.write_text(found.plan.text())
    report = tinyir.compile(task.model, train=Training(plan=path), measure=False).report
    assert found.needs.ram == report["arena_bytes"] + report["training"]["params_bytes"] <= budget
    assert found.exact and found.gain > 0 and found.plan != TrainPlan()


def test_no_other_choice_of_two_parts_that_fits_is_worth_more(task: Task, lesson: Lesson) -> None:
    budget = 1400
    found = search(task, budget, lesson)
    gains = {part.plan: part.gain for part in found.parts}
    for pair in itertools.product(*(group for group in groups(layers(model_of(task).main))[1:])):
        size = needs(task, together(pair))
        assert size is not None
        assert size.ram > budget or sum(gains[part] for part in pair) <= found.gain + 1e-12


def test_more_room_is_worth_no_less(task: Task) -> None:
    found = [search(task, budget) for budget in (600, 1000, 4000)]
    assert sorted(f.gain for f in found) == [f.gain for f in found]
    assert found[-1].plan == TrainPlan(3, True, (Share("fc0", 1.0), Share("fc1", 1.0)))


def test_gradients_are_those_of_a_step(task: Task) -> None:
    """The squared gradient of a part does not depend on what else is trained."""
    parts = [TrainPlan(3), TrainPlan(0, True, (Share("fc1", 0.25),)), TrainPlan(0, True, (Share("fc1", 1.0),))]
    found = gradients(task, parts, seed=3)
    assert found[1] < found[2]
    alone = trainer(task, parts[1])
    start = alone.params
    rng = np.random.default_rng(3)
    total = 0.0
    for _ in range(8):
        alone.set_params(start)
        alone.step(rng.normal(size=(1, 16)).astype(np.float32), int(rng.integers(4)), 1.0)
        total += float(((alone.params["w1"].astype(float) - start["w1"]) ** 2).sum()) / 8
    assert found[1] == pytest.approx(total, rel=1e-4)


def test_a_budget_too_small_for_the_classifier_is_refused(task: Task) -> None:
    with pytest.raises(LimitError, match=r"the classifier alone needs [\d,]+ bytes of RAM, 100 are granted"):
        search(task, 100)


def test_a_rate_that_diverges_is_refused(task: Task, lesson: Lesson) -> None:
    with pytest.raises(UsageError, match="gives no finite loss"):
        search(task, 4000, replace(lesson, lr=np.inf))


def test_the_command_line(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the reproducer of the last line goes
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    assert main(["train-plan", str(task.model), "--max-ram", "1K", "-o", str(plan)]) == 0
    assert "of 1,024 bytes" in capsys.readouterr().err
    assert TrainPlan.read(plan).classifier
    assert main(["compile", str(task.model), "--train", str(plan), "--max-ram", "2K", "-o", str(out)]) == 0
    assert main(["train-plan", str(task.model)]) == 2
    assert "--max-ram 128K" in capsys.readouterr().err
    plan.write_text('version = 1\n[[weights]]\nlayer = "fc7"\n')
    assert main(["compile", str(task.model), "--train", str(plan), "-o", str(out)]) == 2
    assert "the plan trains `fc7`, which is no layer" in capsys.readouterr().err
