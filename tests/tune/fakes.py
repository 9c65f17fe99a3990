"""A small model to search for, an executor that does not wait, and a measurer that makes costs up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from tinyir.loops.schedule_file import parse_schedules
from tinyir.tune.measure import Job, Trial

TEXT = """
func @main(%x: tensor<1x4x6x8xi8, NHWC>) {{
  %w = nn.const() {{value = dense<4x1x1x8xi8, {point}>}} : tensor<4x1x1x8xi8, OHWI>
  %point = int.conv2d(%x, %w) : tensor<1x4x6x4xi32, NHWC>
  %v = nn.const() {{value = dense<2x3x3x8xi8, {window}>}} : tensor<2x3x3x8xi8, OHWI>
  %window = int.conv2d(%x, %v) : tensor<1x2x4x2xi32, NHWC>
  func.return(%point, %window)
}}
"""


def write_model(folder: Path) -> Path:
    """A program of two convolutions, as IR text."""
    path = folder / "two.tir"
    weights = {"point": [i * 37 % 256 - 128 for i in range(32)], "window": [i * 91 % 256 - 128 for i in range(144)]}
    path.write_text(TEXT.format(**weights))
    return path


class Now(Executor):
    """Does what is submitted at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Made:
    """A measurer whose costs follow from the steps alone; fails with `error` at the call `at`, counted from 0."""

    def __init__(self, compiler: str, at: int = -1, error: BaseException | None = None) -> None:
        self.compiler, self.at, self.error, self.calls = compiler, at, error, 0

    def __call__(self, job: Job) -> Trial:
        self.calls += 1
        if self.error is not None and self.calls == self.at + 1:
            raise self.error
        stored = parse_schedules(job.schedules, "job")
        costs = {name: cost(one.steps) for name, one in stored.items()}
        return Trial(costs, {name: len(one.steps) for name, one in stored.items()}, 64, "same", self.compiler)


def cost(steps: tuple[str, ...]) -> float:
    return 1000.0 + int.from_bytes(hashlib.sha256("".join(steps).encode()).digest()[:2], "big")


def ignore(done: int, text: str) -> None:
    """No progress is shown."""
