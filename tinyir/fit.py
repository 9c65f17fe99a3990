"""A run of training: examples in a shuffled order, a learning rate by schedule, scores every so many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tinyir.diagnostics import UsageError
from tinyir.metrics import Scores, confusion, scores
from tinyir.runtime.train_program import LOSS_STATUS, Trainer
from tinyir.training_data import Data, Examples

Schedule = Literal["constant", "linear", "cosine", "step"]


@dataclass(frozen=True)
class Plan:
    """What a run is told: how many steps, the learning rate and what becomes of it, the seed of the order of examples,
    and how often to measure (0: at the end only), on how many examples at most."""

    steps: int
    lr: float
    schedule: Schedule = "constant"
    seed: int = 0
    eval_every: int = 50
    eval_count: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 0 or self.eval_every < 0 or (self.eval_count is not None and self.eval_count < 1):
            raise UsageError("numbers of steps and examples must not be negative")
        if self.seed < 0:
            raise UsageError(f"a seed counts from 0, it is not {self.seed}")
        if not abs(self.lr) <= float(np.finfo(np.float32).max):
            raise UsageError(f"a learning rate of {self.lr} is not finite", help="try 0.01")

    def rate(self, step: int) -> float:
        """The learning rate of a step: constant; down to 0 linearly or along half a cosine; or a tenth of it from half
        of the steps on and a hundredth from three quarters on."""
        done = step / max(self.steps, 1)
        factors = {
            "constant": 1.0,
            "linear": 1 - done,
            "cosine": (1 + math.cos(math.pi * done)) / 2,
            "step": 0.1 ** ((done >= 0.5) + (done >= 0.75)),
        }
        return self.lr * factors[self.schedule]

    def measures_at(self, step: int) -> bool:
        """Whether to measure when so many steps are done."""
        return step == self.steps or (self.eval_every > 0 and step % self.eval_every == 0)


@dataclass(frozen=True)
class Measurement:
    """After `step` steps: the mean loss of the steps since the measurement before (None at the start), and scores."""

    step: int
    loss: float | None
    scores: Scores


@dataclass
class History:
    """What a run gave. `stopped` is the status of the step that was refused and ended it, None where none was."""

    losses: list[float] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    stopped: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures as data."""
        measured = [{"step": m.step, "loss": m.loss, **asdict(m.scores)} for m in self.measurements]
        return {"steps": len(self.losses), "stopped": self.stopped, "losses": self.losses, "measurements": measured}


def fit(
    trainer: Trainer,
    data: Data,
    plan: Plan,
    progress: Callable[[int, str], None] = lambda step, text: None,
    measured: Callable[[Measurement], None] = lambda measurement: None,
) -> History:
    """Train for `plan.steps` steps. `progress` is told each step, `measured` each measurement.

    A step that the program refuses ends the run: the parameters are those before it, and the last measurement is made.
    """
    history = History()
    since: list[float] = []

    def measure(step: int) -> None:
        progress(step, "measuring")
        loss = sum(since) / len(since) if since else None
        found = Measurement(step, loss, evaluate(trainer, data.test, plan.eval_count))
        history.measurements.append(found)
        measured(found)
        since.clear()

    order = _order(len(data.train), plan.seed)
    if plan.measures_at(0):
        measure(0)
    for step in range(plan.steps):
        i = next(order)
        outcome = trainer.step(data.train.x[i], data.train.target(i), plan.rate(step))
        if outcome.status:
            history.stopped = outcome.status
            if not history.measurements or history.measurements[-1].step != step:
                measure(step)
            break
        history.losses.append(outcome.loss)
        since.append(outcome.loss)
        progress(step + 1, f"loss {outcome.loss:.5g}")
        if plan.measures_at(step + 1):
            measure(step + 1)
    return history


def evaluate(trainer: Trainer, examples: Examples, count: int | None = None) -> Scores:
    """The scores on the first `count` examples, or on all: the class is that of the largest output."""
    labels = examples.labels[:count]
    outputs = [np.asarray(trainer.run(x)).reshape(-1) for x in examples.x[:count]]
    predicted = [int(output.argmax()) for output in outputs]
    present, places = np.unique(np.concatenate([labels, predicted]), return_inverse=True)
    return scores(confusion(places[: len(labels)], places[len(labels) :], len(present)))


def stop_reason(status: int) -> str:
    """Why a run ended early, for people."""
    if status == LOSS_STATUS:
        return "the loss is not finite; the parameters are those of the step before. Try a lower --lr"
    return f"the program returned {status}"


def _order(count: int, seed: int) -> Iterator[int]:
    """Every example once in a random order, again and again."""
    rng = np.random.default_rng(seed)
    while True:
        yield from map(int, rng.permutation(count))
