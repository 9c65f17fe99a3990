"""Random steps on random kernels: a step refuses, or the kernel stays sound and computes the same bits.

`TINYIR_EXAMPLES=5000` tries more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.loops.cases import case
from tests.loops.kernels import Arrays, data_for, same_results
from tests.loops.random_kernels import random_kernel
from tests.loops.schedule.random_steps import Steps
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import schedule
from tinyir.loops.schedule import ScheduleError, apply
from tinyir.loops.walk import walk

SEEDS = int(os.environ.get("TINYIR_EXAMPLES", "300"))
BATCH = 25
MAX_STATEMENTS = 250
"""Kernels that unrolling has made larger are left alone."""

WITH_RECIPE = ("conv", "depthwise", "dense", "word_conv", "word_conv", "sum_int", "pad", "concat", "float_conv")


def play(kernel: Kernel, arrays: Arrays, steps: Iterable[str], draw: Steps, done: Counter[str]) -> None:
    """Do what can be done of `steps`, "" being any step; fail where one changes the results."""
    now, taken = kernel, list[str]()
    for given in steps:
        if sum(1 for _ in walk(now.body)) > MAX_STATEMENTS:
            break
        step = given or draw.step(now)
        try:
            new = apply(now, (step,))
        except ScheduleError:
            continue
        taken.append(step)
        if new.body != now.body or new.params != now.params:
            done[step.partition("(")[0]] += 1
            try:
                same_results(kernel, new, arrays)
            except Exception as error:
                raise AssertionError(f"after {taken}\n{kernel.text()}") from error
        now = new


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_any_steps_on_any_kernel(first: int) -> None:
    for seed in range(first, first + BATCH):
        kernel, draw = random_kernel(seed), Steps(seed)
        play(kernel, data_for(kernel, seed), [""] * 8, draw, Counter())


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_recipes_with_steps_left_out_and_put_in(first: int) -> None:
    for seed in range(first, first + BATCH):
        plain, draw = case(WITH_RECIPE[seed % len(WITH_RECIPE)], seed), Steps(seed)
        recipe = schedule(plain.kernel).schedule or [""] * 8
        play(plain.kernel, plain.arrays, draw.disturbed(recipe), draw, Counter())
