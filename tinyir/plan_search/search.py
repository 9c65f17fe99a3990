"""The plan with the largest gain whose program fits in a budget of RAM."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from tinyir.diagnostics import LimitError, UsageError
from tinyir.ir.core import Func
from tinyir.ir.views import view_root
from tinyir.pipeline import compile_file
from tinyir.plan_search.contribution import Lesson, gradients, loss_after
from tinyir.plan_search.evolve import evolve
from tinyir.plan_search.exact import BestFirst
from tinyir.plan_search.parts import (
    Needs,
    Task,
    check_task,
    compiled,
    groups,
    model_of,
    needs,
    planned,
    profiled,
    together,
)
from tinyir.plan_search.profile import Places, Profile, bypassed
from tinyir.plan_search.space import NONE, Choice, Option, Space
from tinyir.target import get_target
from tinyir.train_plan import Layer, TrainPlan, choose, layers

MAX_PLANS = 40
"""Choices that are compiled, the best by the bounds first, to see whether they fit; then one is bred (`evolve`)."""

MAX_ATTEMPTS = 8
"""Bred choices that are compiled, each with as much more to spare as bounds were seen to miss."""

BRANCHED_FIRST = 2
"""Groups that are branched on first, those worth most: divisible, they would spoil the bounds. The others follow in the
order of the model, as the first layer that is trained decides what is saved behind it."""

AT_A_TIME = 4
"""Choices that are compiled at a time where there are processes for it."""

Progress = Callable[[int, int, str], None]
"""Told how many of how many things are done, and what is being done."""

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A part of plans: what it is worth, in loss or squared gradient; what a program with it alone needs; the first
    layer that it trains; and what is needed beside that where a layer up to `beyond` is trained as well."""

    plan: TrainPlan
    gain: float
    needs: Needs
    layer: int
    beyond: int = -1
    beside: Profile = field(default=Profile((), ()), repr=False)

    def option(self, base: Needs) -> Option:
        """The part as the search sees it, beyond the program of the classifier."""
        once = self.needs.shared - base.shared
        params = self.needs.params - base.params - once
        return Option(self.gain, params, once, self.needs.profile, self.layer, self.beyond, self.beside)


@dataclass(frozen=True)
class Found:
    """The plan, what it needs and is estimated to be worth, and the parts it was chosen from. `proven`: no choice of
    parts that fits has a larger sum of gains, provided that no program falls below the bound of its parts (see
    `profile`; none that was compiled did). No choice is worth more than `bound`."""

    plan: TrainPlan
    needs: Needs
    gain: float
    proven: bool
    bound: float
    parts: tuple[Part, ...]
    compiled: int


@dataclass(frozen=True)
class Measured:
    """What plans of a model are put together of: the program that trains the classifier alone, and groups of parts."""

    base: Needs
    groups: tuple[tuple[Part, ...], ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts."""
        return tuple(part for group in self.groups for part in group)


def search(
    task: Task,
    budget: int,
    lesson: Lesson | None = None,
    *,
    seed: int = 0,
    pool: Executor | None = None,
    progress: Progress = lambda done, total, what: None,
) -> Found:
    """The plan for `budget` bytes of RAM: arena, parameters and, where there are tools to measure it, stack. Gains are
    losses saved after training on `lesson`, or without one squared gradients on random examples, drawn from `seed`. The
    same arguments give the same plan, whatever the `pool`.

    Raises LimitError where not even the classifier alone can be trained, and what compilation raises.
    """
    check_task(task)
    progress(0, 1, "the classifier alone")
    base = _classifier(task)
    _require(base, budget)
    parts = _measure(task, base, lesson, seed, pool, progress)
    return best_plan(task, budget, parts, seed=seed, pool=pool, progress=progress)


def measure(
    task: Task,
    lesson: Lesson | None = None,
    *,
    seed: int = 0,
    pool: Executor | None = None,
    progress: Progress = lambda done, total, what: None,
) -> Measured:
    """What `best_plan` chooses from, for any budget. Arguments and errors as of `search`."""
    check_task(task)
    return _measure(task, _classifier(task), lesson, seed, pool, progress)


def valued_anew(task: Task, measured: Measured, lesson: Lesson | None, *, seed: int = 0) -> Measured:
    """The same parts for a task that differs in seeds alone, or for another lesson."""
    gains = iter(_gains(task, TrainPlan(), [part.plan for part in measured.parts], lesson, seed, None, lambda *_: None))
    groups = [[(part, next(gains)) for part in group] for group in measured.groups]
    kept = (tuple(replace(part, gain=gain) for part, gain in group if gain is not None) for group in groups)
    return replace(measured, groups=tuple(group for group in kept if group))


def _measure(
    task: Task, base: Needs, lesson: Lesson | None, seed: int, pool: Executor | None, progress: Progress
) -> Measured:
    model = model_of(task).main
    all_layers = layers(model)
    offered = groups(all_layers)
    plans = [plan for group in offered for plan in group]
    every = _every_layer(offered)
    sizes = _mapped(partial(profiled, task), [TrainPlan(), *every, *plans], pool, progress, "planning memory")
    alone, together_with, sizes = sizes[0], sizes[1 : 1 + len(every)], sizes[1 + len(every) :]
    assert alone is not None
    gains = _gains(task, TrainPlan(), plans, lesson, seed, pool, progress)
    parts: dict[TrainPlan, Part] = {}
    for plan, gain, size in zip(plans, gains, sizes, strict=True):
        if gain is not None and size is not None:
            first, *_ = choose(replace(plan, classifier=False), all_layers)
            parts[plan] = Part(plan, gain, size, first.index)
    for plan, size in zip(every, together_with, strict=True):
        for share in plan.weights if size is not None else ():
            part = parts.get(TrainPlan(0, True, (share,)))
            if part is not None and size is not None:
                parts[part.plan] = _beside(part, size.profile, model, all_layers)
    found = [tuple(parts[plan] for plan in group if plan in parts) for group in offered]
    return Measured(replace(alone, stack=base.stack), tuple(group for group in found if group))


def _beside(part: Part, every: Profile, model: Func, all_layers: Sequence[Layer]) -> Part:
    """The part with what it needs beside others, from the profile of a program that trains some of every layer."""
    layer = all_layers[part.layer]
    before = all_layers[part.layer - 1].op if part.layer else None
    windows = Places(model).back_to(layer.op, before)
    beside = every.beside(windows, view_root(layer.op.operands[0]).name)
    return replace(part, beyond=bypassed(model, all_layers, layer), beside=beside)


def _every_layer(offered: Sequence[Sequence[TrainPlan]]) -> list[TrainPlan]:
    """Plans that train some of every layer, so that each part of weights is in one of them: what their programs need
    where gradients come to a layer, they need in any plan that trains as much of it and something before."""
    shares = [group for group in offered if group[0].weights]
    count = max(map(len, shares), default=0)
    return [together([group[min(i, len(group) - 1)] for group in shares]) for i in range(count)]


def best_plan(
    task: Task,
    budget: int,
    measured: Measured,
    *,
    seed: int = 0,
    pool: Executor | None = None,
    progress: Progress = lambda done, total, what: None,
) -> Found:
    """The plan for `budget` bytes of RAM, put together of `measured` parts; arguments and errors as of `search`."""
    target = get_target(task.options.target)
    budget = budget if target.is_host else min(budget, target.ram.length)
    base = measured.base
    _require(base, budget)
    useful = [group for parts in measured.groups if (group := [part for part in parts if part.gain > 0])]
    first = sorted(useful, key=lambda group: -max(part.gain for part in group))[:BRANCHED_FIRST]
    useful = [*first, *(group for group in useful if group not in first)]
    options = [[part.option(base) for part in group] for group in useful]
    space = Space(options, budget - (base.stack or 0), base.params, base.profile)
    trials = _Trials(task, space, useful, budget, base.stack, pool, progress)
    choice, size, proven, bound = _choose(trials, seed)
    gain = space.sum(choice).gain
    return Found(trials.plan(choice), size, gain, proven, bound, measured.parts, trials.compiled)


def _classifier(task: Task) -> Needs:
    """What the compiled program needs that trains the classifier alone. Raises what compilation raises."""
    options, folder = planned(task, TrainPlan(), replace(task.options, max_ram=None))
    with folder:
        return Needs.of(compile_file(task.model, options).report)


def _require(base: Needs, budget: int) -> None:
    if base.ram > budget:
        stack = "" if base.stack is None else f", stack {base.stack:,} bytes"
        raise LimitError(
            f"training the classifier alone needs {base.ram:,} bytes of RAM, {budget:,} are granted",
            notes=[f"arena {base.arena:,} bytes, parameters {base.params:,} bytes{stack}"],
            help="a smaller model, or --max-ram with more",
        )


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


@dataclass
class _Trials:
    """Compiles choices to see whether they fit, and keeps what came of it."""

    task: Task
    space: Space
    groups: list[list[Part]]
    budget: int
    stack: int | None
    pool: Executor | None
    progress: Progress
    compiled: int = 0
    sound: bool = True
    missed: int = 0
    _found: dict[Choice, Needs | None] = field(default_factory=dict)

    def plan(self, choice: Choice) -> TrainPlan:
        """The plan of a choice."""
        parts = [group[i] for group, i in zip(self.groups, choice, strict=True) if i != NONE]
        return together([part.plan for part in sorted(parts, key=lambda part: part.layer)])

    def first_that_fits(self, choices: Sequence[Choice]) -> tuple[Choice, Needs] | None:
        """The first of `choices` whose program fits, with what that needs. Several are compiled at a time if there is a
        pool; the answer is the same without."""
        new = [choice for choice in choices if choice not in self._found]
        plans = [self.plan(choice) for choice in new]
        mapped = map if self.pool is None else self.pool.map
        sizes = zip(new, mapped(partial(needs, self.task), plans), strict=True)
        for choice in choices:
            if choice not in self._found:
                self._found[choice] = self._checked(*next(sizes))
            fitting = self._found[choice]
            if fitting is not None:
                return choice, fitting
        return None

    def _checked(self, choice: Choice, size: Needs | None) -> Needs | None:
        """What the program of `choice` needs, stack included, if that fits."""
        self.compiled += 1
        self.progress(min(self.compiled, MAX_PLANS), MAX_PLANS, "choosing")
        if size is None:
            return None
        least = self.space.ram(self.space.sum(choice))
        self.sound = self.sound and least <= size.ram
        self.missed = max(self.missed, size.ram - least)
        if size.ram + (self.stack or 0) > self.budget:
            return None
        if self.stack is None:
            return size
        whole = compiled(self.task, self.plan(choice))
        if whole is None or whole.ram > self.budget:
            self.missed = max(self.missed, (whole.ram if whole else self.budget + 1) - self.stack - least)
            return None
        return whole


def _choose(trials: _Trials, seed: int) -> tuple[Choice, Needs, bool, float]:
    """The choice, what its program needs, whether it is proven to be the best, and what none is worth more than."""
    order = BestFirst(trials.space)
    turn = iter(order)
    while trials.compiled < MAX_PLANS:
        choices = list(itertools.islice(turn, AT_A_TIME))
        found = trials.first_that_fits(choices)
        if found is not None:
            gain = trials.space.sum(found[0]).gain
            return *found, trials.sound, gain
        if len(choices) < AT_A_TIME:
            break
        for choice in choices:
            order.exclude(choice)
    best: tuple[Choice, Needs] | None = None
    for attempt in range(MAX_ATTEMPTS):
        best = trials.first_that_fits([evolve(trials.space, trials.missed, seed + attempt)])
        if best is not None:
            break
    nothing = (NONE,) * len(trials.groups)
    best = best or trials.first_that_fits([nothing])
    assert best is not None
    return *best, False, max(order.at_most, trials.space.sum(best[0]).gain)
