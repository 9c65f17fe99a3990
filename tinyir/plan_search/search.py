"""The plan with the largest gain whose program fits in a budget of RAM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from tinyir.diagnostics import LimitError, UsageError
from tinyir.plan_search.contribution import Lesson, gradients, loss_after
from tinyir.plan_search.knapsack import Choice, Knapsack, Option
from tinyir.plan_search.parts import Needs, Task, check_task, groups, model_of, needs, together
from tinyir.train_plan import TrainPlan, layers

MAX_PLANS = 40
"""Choices that are compiled to see whether they fit; then parts are left out of the last until it does."""

Progress = Callable[[int, int, str], None]
"""Told how many of how many things are done, and what is being done."""

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A part of plans: what it is worth, in loss or squared gradient, and what a program with it alone needs."""

    plan: TrainPlan
    gain: float
    needs: Needs


@dataclass(frozen=True)
class Found:
    """The plan, what it needs and is estimated to be worth, and the parts it was chosen from. `exact`: no choice of
    parts that fits has a larger sum of gains, provided that training more never makes the arena smaller."""

    plan: TrainPlan
    needs: Needs
    gain: float
    exact: bool
    parts: tuple[Part, ...]
    compiled: int


def search(
    task: Task,
    budget: int,
    lesson: Lesson | None = None,
    *,
    seed: int = 0,
    pool: Executor | None = None,
    progress: Progress = lambda done, total, what: None,
) -> Found:
    """The plan for `budget` bytes of RAM. Gains are losses saved after training on `lesson`, or without one squared
    gradients on random examples, drawn from `seed`. The same arguments give the same plan, whatever the `pool`.

    Raises LimitError where not even the classifier alone can be trained, and what compilation raises.
    """
    check_task(task)
    classifier = TrainPlan()
    offered = groups(layers(model_of(task).main))
    plans = [plan for group in offered for plan in group]
    sizes = _mapped(partial(needs, task), [classifier, *plans], pool, progress, "planning memory")
    base = sizes[0]
    assert base is not None
    if base.ram > budget:
        raise LimitError(
            f"training the classifier alone needs {base.ram:,} bytes of RAM, {budget:,} are granted",
            notes=[f"arena {base.arena:,} bytes, parameters {base.params:,} bytes"],
            help="a smaller model, or --max-ram with more",
        )
    gains = _gains(task, classifier, plans, lesson, seed, pool, progress)
    parts = {
        plan: Part(plan, gain, size)
        for plan, gain, size in zip(plans, gains, sizes[1:], strict=True)
        if gain is not None and size is not None
    }
    useful = [[parts[p] for p in group if p in parts and parts[p].gain > 0] for group in offered]
    return _choose(task, budget, base, [group for group in useful if group], tuple(parts.values()), progress)


def _gains(
    task: Task,
    classifier: TrainPlan,
    plans: Sequence[TrainPlan],
    lesson: Lesson | None,
    seed: int,
    pool: Executor | None,
    progress: Progress,
) -> list[float | None]:
    if lesson is None:
        progress(0, 1, "measuring gradients")
        return [*gradients(task, plans, seed)]
    function = partial(loss_after, task, lesson=lesson)
    base, *losses = _mapped(function, [classifier, *plans], pool, progress, "training parts")
    if base is None or not np.isfinite(base):
        raise UsageError("training the classifier alone gives no finite loss", help="a smaller learning rate")
    return [None if loss is None else base - loss for loss in losses]


def _mapped(
    function: Callable[[TrainPlan], T], plans: Sequence[TrainPlan], pool: Executor | None, progress: Progress, what: str
) -> list[T]:
    """`function` of each plan, in processes if there is a pool."""
    results: Iterable[T] = map(function, plans) if pool is None else pool.map(function, plans)
    found: list[T] = []
    progress(0, len(plans), what)
    for result in results:
        found.append(result)
        progress(len(found), len(plans), what)
    return found


def _choose(
    task: Task, budget: int, base: Needs, useful: list[list[Part]], parts: tuple[Part, ...], progress: Progress
) -> Found:
    """The best choice by the sums of gains; each that turns out not to fit is excluded, and the next one tried."""
    options = [
        [Option(p.gain, p.needs.params - base.params, max(p.needs.arena - base.arena, 0)) for p in group]
        for group in useful
    ]
    knapsack = Knapsack(options, budget - base.ram)
    compiled, exact = 0, True
    choice = knapsack.best()
    while True:
        exact = exact and knapsack.proven
        chosen = [group[i] for group, i in zip(useful, choice, strict=True) if i >= 0]
        plan = together([part.plan for part in chosen])
        size = needs(task, plan)
        compiled += 1
        progress(min(compiled, MAX_PLANS), MAX_PLANS, "choosing")
        if size is not None and size.ram <= budget:
            return Found(plan, size, sum(part.gain for part in chosen), exact, parts, compiled)
        if compiled < MAX_PLANS:
            knapsack.exclude(choice)
            choice = knapsack.best()
        else:
            exact, choice = False, _without_worst(options, choice)


def _without_worst(options: Sequence[Sequence[Option]], choice: Choice) -> Choice:
    """The choice less the option that is worth least for its bytes."""
    taken = [i for i, index in enumerate(choice) if index >= 0]

    def worth(i: int) -> float:
        option = options[i][choice[i]]
        return option.gain / max(option.params + option.arena, 1)

    worst = min(taken, key=worth)
    return tuple(-1 if i == worst else index for i, index in enumerate(choice))
