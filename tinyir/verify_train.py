"""Does training go the same way on all executors? The loss and every parameter after each step, bit for bit.

Where they part, the step is made again from the state before it, and every tensor that the executors leave behind is
compared: the first one that differs is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinyir.backends.cortex_m7.names import unique
from tinyir.backends.numpy_statements import Shared, Statements
from tinyir.diagnostics import UsageError
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.training import STEP, TARGET, entries, updated_outputs
from tinyir.passes.manager import PassManager
from tinyir.pipeline import Options, emit, write_files
from tinyir.runtime.program import StoredTensor
from tinyir.runtime.train_program import HostTrainer, M7Trainer, NumpyTrainer, Trainer
from tinyir.target import get_target
from tinyir.training_data import Examples
from tinyir.verify import canonical, random_input

Array = npt.NDArray[Any]
Tensors = dict[str, Array]
"""What an executor left behind during a step, by the name of the value, in the order of execution."""


@dataclass(frozen=True)
class Divergence:
    """Where an executor first differs from the first one: the step, the op with its tensor, and an element of it."""

    executor: str
    reference: str
    step: int
    what: str
    index: tuple[int, ...]
    found: str
    wanted: str
    wrong: int
    elements: int

    def __str__(self) -> str:
        at = f"[{', '.join(map(str, self.index))}] " if self.index else ""
        return (
            f"{self.executor}: step {self.step} first differs from {self.reference} at {self.what}: "
            f"{at}is {self.found}, not {self.wanted}; {self.wrong:,} of {self.elements:,} elements differ"
        )


@dataclass
class Report:
    """What was compared, and what differed. `refused` counts the steps that the program refused, on all executors."""

    executors: tuple[str, ...]
    steps: int
    parameters: int
    refused: int = 0
    losses: list[float] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.divergences


class Executor(Protocol):
    """A trainer that can be looked at. `kinds` says of each tensor which op makes it."""

    @property
    def name(self) -> str: ...
    @property
    def trainer(self) -> Trainer: ...
    @property
    def kinds(self) -> dict[str, str]: ...

    def observe(self, x: Array, target: int | Array, lr: float) -> Tensors:
        """Make a step; the tensors that it leaves behind."""


def verify_training(
    module: Module,
    options: Options,
    steps: int = 20,
    lr: float = 0.05,
    examples: Examples | None = None,
    executors: Sequence[str] = ("numpy", "host", "m7"),
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Train for `steps` steps on all executors, on `examples` in their order or on random ones, and compare.

    Raises UsageError for options without training and for nothing to compare, ToolError where a compiler or the
    emulator is not installed.
    """
    if steps < 1 or len(executors) < 2:
        raise UsageError(
            f"{steps} steps on {', '.join(executors)}: nothing to compare", help="--steps 20 --on numpy,host"
        )
    if options.train is None:
        raise UsageError("the program was compiled without `train`", help="--train lets it train its parameters")
    every = [make_executor(name, module, options, progress) for name in executors]
    given = examples or random_examples(compile_named(module, replace(options, backend="numpy")).funcs[STEP])
    report = Report(tuple(executors), 0, sum(array.size for array in every[0].trainer.params.values()))
    for step in range(steps):
        progress(f"step {step + 1} of {steps}")
        i = step % len(given)
        before = every[0].trainer.params
        outcomes = [one.trainer.step(given.x[i], given.target(i), lr) for one in every]
        report.losses.append(outcomes[0].loss)
        report.refused += outcomes[0].status != 0
        results = [
            {"status": np.array(outcome.status), "loss": np.array(outcome.loss, np.float32), **one.trainer.params}
            for one, outcome in zip(every, outcomes, strict=True)
        ]
        for one, result in zip(every[1:], results[1:], strict=True):
            if any(_bits(result[name]) != _bits(wanted) for name, wanted in results[0].items()):
                pair = (every[0], one)
                for executor in pair:
                    executor.trainer.set_params(before)
                seen = [executor.observe(given.x[i], given.target(i), lr) for executor in pair]
                found = _first_difference(step + 1, pair, seen)
                found = found or _difference(step + 1, pair, results[0], result, _what)
                assert found is not None
                report.divergences.append(found)
        if report.divergences:
            break
        report.steps = step + 1
    return report


def _what(name: str) -> str:
    return f"the {name}" if name in ("status", "loss") else f"the new value of parameter `{name}`"


def _first_difference(step: int, pair: tuple[Executor, Executor], seen: Sequence[Tensors]) -> Divergence | None:
    """The first tensor, in the order of the second executor, that both left behind and that differs."""
    kinds = pair[1].kinds
    both = {name: seen[1][name] for name in seen[1] if name in seen[0] and seen[0][name].size == seen[1][name].size}
    return _difference(step, pair, seen[0], both, lambda name: f"{kinds[name]}, tensor `{name}`")


def _difference(
    step: int, pair: tuple[Executor, Executor], wanted: Tensors, found: Tensors, describe: Callable[[str], str]
) -> Divergence | None:
    for name, array in found.items():
        one, two = wanted[name].reshape(-1), array.reshape(-1)
        wrong = np.flatnonzero([_bits(a) != _bits(b) for a, b in zip(one, two, strict=True)])
        if len(wrong):
            index = tuple(int(i) for i in np.unravel_index(wrong[0], array.shape))
            texts = (str(two[wrong[0]]), str(one[wrong[0]]))
            names = (pair[1].name, pair[0].name)
            return Divergence(*names, step, describe(name), index, *texts, len(wrong), array.size)
    return None


def _bits(array: Any) -> bytes:
    """The bytes to compare; NaN is NaN, whatever its payload."""
    array = np.asarray(array)
    return (
        np.where(np.isnan(array), np.float32(np.nan), array).tobytes() if array.dtype.kind == "f" else array.tobytes()
    )


def random_examples(func: Func, count: int = 16) -> Examples:
    """Examples for @train_step with a fixed seed."""
    rng = np.random.default_rng(1)
    x, target = func.args[0], func.args[TARGET]
    xs = np.stack([random_input(x.type, rng) for _ in range(count)])
    classes = func.attrs.get("classes")
    ys = rng.integers(0, classes, count) if classes else rng.random((count, *target.type.shape), np.float32)
    return Examples(xs, ys)


# -- executors --------------------------------------------------------------------------------------------------------


def compile_named(module: Module, options: Options) -> Module:
    """`module` after all passes, with the same names for the values of a step whatever the backend."""
    twin = clone_module(module)
    if options.passes is not None:
        raise UsageError("executors can be compared for the default pipeline only", help="leave --passes out")
    passes = options.pipeline()
    named = len(replace(options, backend="numpy").pipeline())
    PassManager(passes[:named]).run(twin)
    for func in entries(twin):
        _name_values(func)
    PassManager(passes[named:]).run(twin)
    return twin


def _name_values(func: Func) -> None:
    """Give every value a name of its own."""
    taken = {arg.name for arg in func.args}
    for op in func.ops:
        for value in op.results:
            if not isinstance(op, Const):
                value.name = unique(value.name or op.opname.rpartition(".")[2], taken)


def make_executor(name: str, module: Module, options: Options, progress: Callable[[str], None]) -> Executor:
    """The executor called `name`: numpy, host or m7."""
    progress(f"building for {name}")
    chosen = replace(options, backend="numpy" if name == "numpy" else "c", measure=False)
    compiled = compile_named(module, chosen)
    files = emit(compiled, chosen)
    if name == "numpy":
        return _NumpyExecutor(compiled, NumpyTrainer(files))
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(files, Path(folder))
        if name == "host":
            return _CExecutor(name, compiled, HostTrainer.build(folder))
        from tinyir.runtime.toolchain import CrossCompiler

        compiler = CrossCompiler.detect(options.compiler)
        trainer = M7Trainer.build(folder, get_target(options.target), compiler, options.c_level)
        return _CExecutor(name, compiled, trainer)


class _NumpyExecutor:
    """The printed NumPy module, statement by statement."""

    def __init__(self, module: Module, trainer: NumpyTrainer) -> None:
        self.name, self.trainer = "numpy", trainer
        step = module.funcs[STEP]
        variables = Statements(step, Shared()).names
        self._values = {variables[value]: value for op in step.ops for value in op.results if value in variables}
        self.kinds = {value.name: value.owner.opname for value in self._values.values()}  # type: ignore[union-attr]

    def observe(self, x: Array, target: int | Array, lr: float) -> Tensors:
        found: Tensors = {}

        def look(variable: str, array: Array) -> None:
            if variable in self._values:
                value = self._values[variable]
                found[value.name] = canonical(np.asarray(array), value.type)

        self.trainer.step(x, target, lr, observe=look)
        return found


class _CExecutor:
    """The C program, on this machine or on the emulated Cortex-M7."""

    def __init__(self, name: str, module: Module, trainer: HostTrainer | M7Trainer) -> None:
        self.name, self.trainer = name, trainer
        step = module.funcs[STEP]
        training = trainer.training
        elsewhere = {*step.outputs, *updated_outputs(step)}
        self._places: dict[int, list[tuple[Value, StoredTensor]]] = {}
        self.kinds: dict[str, str] = {}
        calls = [op for op in step.ops if isinstance(op, LoopCall)]
        for index, (call, op) in enumerate(zip(calls, training.ops, strict=True)):
            inside = [value for value, offset in zip(call.results, call.offsets, strict=True) if offset >= 0]
            pairs = [pair for pair in zip(inside, op.outputs, strict=True) if pair[0] not in elsewhere]
            self._places[index] = pairs
            self.kinds |= {value.name: f"{op} ({op.kind})" for value, _ in pairs}

    def observe(self, x: Array, target: int | Array, lr: float) -> Tensors:
        found: Tensors = {}

        def look(index: int, arena: npt.NDArray[np.uint8]) -> None:
            for value, stored in self._places[index]:
                found[value.name] = canonical(stored.read(arena), value.type)

        self.trainer.step(x, target, lr, observe=look)
        return found
