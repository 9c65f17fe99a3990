"""What a plan is put together of, and what that needs."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyir.backends.cortex_m7.program import params_bytes
from tinyir.diagnostics import LimitError, UsageError
from tinyir.frontends.load import load
from tinyir.ir.core import Module
from tinyir.ir.training import STEP, entries, rng_index, state_args
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import Options, Training, compile_file
from tinyir.plan_search.profile import Places, Profile, profile_of
from tinyir.runtime.program import TensorInfo
from tinyir.train_plan import Layer, PlanError, Share, TrainPlan, find_layer

RATIOS = (1.0, 0.5, 0.25, 0.125)
"""The shares of input channels that are tried of each layer."""


@dataclass(frozen=True)
class Needs:
    """Bytes of RAM of a program: the planned arena, over forward, backward and updates, the parameters, and the stack
    where it was measured. `shared` of the parameters is state that there is once, whatever is trained: that of random
    numbers. `profile` is what the arena holds over time, where that was asked for."""

    arena: int
    params: int
    stack: int | None = None
    shared: int = field(default=0, repr=False)
    profile: Profile = field(default=Profile((), ()), repr=False)

    @staticmethod
    def of(report: Mapping[str, Any]) -> Needs:
        """What a compiled program needs."""
        return Needs(int(report["arena_bytes"]), int(report["training"]["params_bytes"]), report["stack_bytes"])

    @property
    def ram(self) -> int:
        """All of it."""
        return self.arena + self.params + (self.stack or 0)


@dataclass(frozen=True)
class Task:
    """A model, how it is compiled, and how it trains."""

    model: Path
    options: Options
    training: Training


def groups(all_layers: Sequence[Layer]) -> list[list[TrainPlan]]:
    """The parts of plans for a model with these layers, each with the classifier: first biases to some depth, then for
    each other layer shares of its input channels. A plan takes at most one part of each group."""
    biased = [len(all_layers) - layer.index for layer in all_layers[:-1] if len(layer.op.operands) > 2]
    found = [[TrainPlan(depth) for depth in reversed(biased)]]
    for layer in all_layers[:-1]:
        called = layer.name if layer.names and find_layer(all_layers, layer.name) is layer else layer.index
        by_count = {max(1, round(ratio * layer.channels)): ratio for ratio in reversed(RATIOS)}
        found.append([TrainPlan(0, True, (Share(called, ratio),)) for _, ratio in sorted(by_count.items())])
    return [group for group in found if group]


def together(parts: Sequence[TrainPlan]) -> TrainPlan:
    """One plan that trains what the parts train."""
    depth = max((part.biases or 0 for part in parts), default=0)
    return TrainPlan(depth, True, tuple(share for part in parts for share in part.weights))


def planned(task: Task, plan: TrainPlan | None, options: Options) -> tuple[Options, tempfile.TemporaryDirectory[str]]:
    """`options` with training by `plan`, None standing for all, in a file that lives as long as the folder."""
    folder = tempfile.TemporaryDirectory(prefix="tinyir-")
    path = Path(folder.name) / "plan.toml"
    path.write_text((plan or TrainPlan()).text(), encoding="utf-8")
    return replace(options, train=replace(task.training, plan=path if plan is not None else None)), folder


def needs(task: Task, plan: TrainPlan) -> Needs | None:
    """What the program of `plan` needs by its memory plan, without the stack; None for a plan that the model cannot be
    trained by."""
    module = _with_memory_plan(task, plan)
    return None if module is None else _needs(module)


def profiled(task: Task, plan: TrainPlan) -> Needs | None:
    """`needs`, with the profile."""
    module = _with_memory_plan(task, plan)
    return None if module is None else replace(_needs(module), profile=profile_of(module, _places(task)))


@functools.lru_cache(maxsize=1)
def _places(task: Task) -> Places:
    return Places(model_of(task).main)


def _with_memory_plan(task: Task, plan: TrainPlan) -> Module | None:
    options, folder = planned(task, plan, replace(task.options, backend="c", save_schedule=None))
    module = load(task.model)
    with folder:
        try:
            PassManager(options.pipeline(), verify_each=False).run(module)
        except PlanError:
            return None
    return module


def _needs(module: Module) -> Needs:
    arena = max(int(func.attrs["arena_bytes"]) for func in entries(module))
    step = module.funcs[STEP]
    rng = rng_index(step)
    shared = 0 if rng is None else state_args(step)[rng].type.bytes
    return Needs(arena, params_bytes(module), None, shared)


def compiled(task: Task, plan: TrainPlan) -> Needs | None:
    """What the program of `plan` needs once it is compiled, with the stack where there are tools to measure it; None
    where it cannot be trained so, or does not fit in the target."""
    options, folder = planned(task, plan, replace(task.options, backend="c", save_schedule=None, max_ram=None))
    with folder:
        try:
            return Needs.of(compile_file(task.model, options).report)
        except (PlanError, LimitError):
            return None


def model_of(task: Task) -> Module:
    """The model whose layers a plan names: with the new classifier, if it gets one."""
    module = load(task.model)
    PassManager(parse_pipeline(",".join(task.training.new_classifier()))).run(module)
    return module


def tensors(task: Task) -> tuple[TensorInfo, int | None, TensorInfo]:
    """The input of the program, the number of classes where it is trained on labels, and the target."""
    options, folder = planned(task, TrainPlan(), replace(task.options, backend="numpy", max_ram=None, max_flash=None))
    with folder:
        step = compile_file(task.model, options).module.funcs[STEP]
    x, target = (TensorInfo.of(value) for value in step.args[:2])
    return x, step.attrs.get("classes"), target


def check_task(task: Task) -> None:
    """Raise UsageError for options that leave no place for a plan."""
    if task.options.passes is not None:
        raise UsageError("a pipeline of your own leaves no place for a plan")
