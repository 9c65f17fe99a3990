"""The `check_pass` fixture: IR before and after, as text and by what it computes."""

from __future__ import annotations

import difflib
import textwrap

import numpy as np
import pytest

from tinyir.frontends.text import parse
from tinyir.ir.core import Func, Module
from tinyir.ir.interp import Array, evaluate
from tinyir.ir.printer import print_module
from tinyir.ir.types import DType, TensorType
from tinyir.passes.manager import PassManager, parse_pipeline


class PassChecker:
    """Runs a pipeline on a text and compares what comes out."""

    def __call__(self, before: str, passes: str, after: str, *, same_results: bool = True) -> dict[str, int]:
        """Fail with a diff unless `passes` make `after` of `before`, and both compute the same.

        Returns the sum of the statistics of all passes. `same_results` is False for passes that change the signature
        or the meaning on purpose.
        """
        module = parse(textwrap.dedent(before), "<before>")
        wanted = parse(textwrap.dedent(after), "<after>")
        runs = PassManager(parse_pipeline(passes)).run(module)
        _compare_texts(print_module(wanted), print_module(module))
        if same_results:
            original = parse(textwrap.dedent(before), "<before>")
            _compare_results(original.main, module.main)
        return _total([run.statistics for run in runs])

    def unchanged(self, text: str, passes: str) -> None:
        """Fail with a diff if `passes` change `text`: the "must not fire" twin."""
        self(text, passes, text)


def _compare_texts(wanted: str, found: str) -> None:
    if wanted != found:
        lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "wanted", "found", lineterm="", n=100)
        pytest.fail("\n".join(lines), pytrace=False)


def _compare_results(before: Func, after: Func) -> None:
    inputs = random_inputs(before)
    for i, (one, two) in enumerate(zip(evaluate(before, inputs), evaluate(after, inputs), strict=True)):
        assert one.dtype == two.dtype and np.array_equal(one, two), f"output {i} differs"


def random_inputs(func: Func, seed: int = 0) -> list[Array]:
    """Random arrays of the types that `func` takes: all integers of the type, or floats of a normal distribution."""
    rng = np.random.default_rng(seed)
    return [_random(rng, arg.type) for arg in func.args]


def _random(rng: np.random.Generator, type: TensorType) -> Array:
    if type.storage is DType.F32:
        return rng.normal(size=type.shape).astype(np.float32)
    if type.storage is DType.BOOL:
        return rng.integers(0, 2, type.shape).astype(np.bool_)
    low, high = type.storage.limits
    return rng.integers(low, high, type.shape, dtype=type.storage.numpy, endpoint=True)


def run_passes(text: str, passes: str) -> Module:
    """The module that `passes` make of `text`."""
    module = parse(textwrap.dedent(text), "<text>")
    PassManager(parse_pipeline(passes)).run(module)
    return module


def _total(statistics: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in statistics:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return {name: count for name, count in total.items() if count}
