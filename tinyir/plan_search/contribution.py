"""What each part of a plan is worth: the loss it saves on data, or without data the gradient it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import UsageError
from tinyir.ir.core import Module
from tinyir.pipeline import compile_file
from tinyir.plan_search.parts import Task, model_of, planned, tensors
from tinyir.runtime.program import TensorInfo
from tinyir.runtime.train_program import NumpyTrainer, Trainer
from tinyir.train_plan import PlanError, TrainPlan, choose, layers

Array = npt.NDArray[Any]

PROBES = 8
"""Random examples that gradients are measured on."""


@dataclass(frozen=True)
class Lesson:
    """Examples that a part is tried on: `x[i]` as the program takes it, with a label or a tensor `y[i]`. It is trained
    for `steps` on the first three quarters, in order and again from the start; the rest measures the loss."""

    x: Array
    y: Array
    steps: int
    lr: float

    def __post_init__(self) -> None:
        if len(self.x) < 4:
            raise UsageError(f"{len(self.x)} examples are too few to train on some and measure on others")

    @property
    def trained(self) -> int:
        """How many examples are trained on."""
        return len(self.x) * 3 // 4

    def target(self, i: int) -> int | Array:
        """What a step is given for example i."""
        return int(self.y[i]) if self.y.ndim == 1 else self.y[i]


def trainer(task: Task, plan: TrainPlan | None) -> Trainer:
    """A trainer on NumPy of what `plan` trains; None stands for all."""
    options, folder = planned(task, plan, replace(task.options, backend="numpy", max_ram=None, max_flash=None))
    with folder:
        return NumpyTrainer(compile_file(task.model, options).files)


def loss_after(task: Task, plan: TrainPlan, lesson: Lesson) -> float | None:
    """The mean loss on the examples held out, after training by `plan`. A loss that is infinite or no number on the way
    counts as infinite; None stands for a plan that the model cannot be trained by."""
    try:
        program = trainer(task, plan)
    except PlanError:
        return None
    for step in range(lesson.steps):
        i = step % lesson.trained
        if program.step(lesson.x[i], lesson.target(i), lesson.lr).status:
            return float("inf")
    held_out = range(lesson.trained, len(lesson.x))
    losses = [program.step(lesson.x[i], lesson.target(i), 0.0) for i in held_out]
    return float(np.mean([step.loss if step.status == 0 else np.inf for step in losses]))


def gradients(task: Task, parts: Sequence[TrainPlan], seed: int) -> list[float]:
    """For each part the squared norm of its gradient (less the classifier's), which to first order is what a step of
    SGD takes off the loss. The mean over random inputs and targets; all of it from one program that trains everything.

    Gradients are by real values, those of stored integers divided by their scales (quantisation-aware scaling), so that
    layers compare. They are read from the velocities of an optimiser with momentum, which start at 0.
    """
    module = model_of(task)
    plain = replace(
        task.training, optimizer="sgd", momentum=0.5, nesterov=False, weight_decay=0.0, accumulate=1, qas=True
    )
    program = trainer(replace(task, training=plain), None)
    start = program.params
    velocities = {name: f"{name}_momentum" for name in start if f"{name}_momentum" in start}
    x, classes, target = tensors(task)
    rng = np.random.default_rng(seed)
    squares = {name: np.zeros(start[name].shape) for name in velocities}
    for _ in range(PROBES):
        program.set_params(start)
        example = _random(x, rng)
        wanted = int(rng.integers(classes)) if classes is not None else _random(target, rng)
        program.step(example, wanted, 0.0)
        after = program.params
        for name, velocity in velocities.items():
            squares[name] += after[velocity].astype(np.float64) ** 2 / PROBES
    named = _parameters(module, list(squares))
    return [_norm(module, part, named, squares) for part in parts]


def _random(tensor: TensorInfo, rng: np.random.Generator) -> Array:
    """Integers over the whole range of the type; normal numbers where it is real."""
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return rng.normal(size=tensor.shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, tensor.shape, dtype, endpoint=True)


def _parameters(module: Module, names: Sequence[str]) -> list[list[str]]:
    """The names of weights and perhaps bias of each layer: parameters are in the order of the layers."""
    rest = iter(names)
    return [[next(rest) for _ in layer.op.operands[1:]] for layer in layers(module.main)]


def _norm(module: Module, part: TrainPlan, named: list[list[str]], squares: dict[str, Array]) -> float:
    """The sum of squares over what `part` trains beyond the classifier."""
    all_layers = layers(module.main)
    total = 0.0
    for layer, what in choose(part, all_layers).items():
        if layer is all_layers[-1]:
            continue
        weights, *bias = named[layer.index]
        if what.channels:
            weight = layer.op.operands[1].type
            axis = weight.layout.index("I") if "I" in weight.layout else -1
            share = squares[weights] if "I" not in weight.layout and weight.layout else None
            total += float((squares[weights].take(range(what.channels), axis) if share is None else share).sum())
        total += sum(float(squares[name].sum()) for name in bias if what.bias)
    return total
