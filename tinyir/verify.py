"""Is the compiled program right? Every op on every executor against TFLite Micro or LiteRT's reference kernels.

Each kernel of the program leaves a tensor of the model behind (the last one of the ops it was fused from). That tensor
is read from NumPy, from the host's arena and from the emulated Cortex-M7's, and compared with what the reference
computed: integers bit for bit, floats within a tolerance, and all executors with each other bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.backends.numpy_ref import value_names
from tinyir.diagnostics import ModelError, TinyIRError
from tinyir.frontends.load import is_tflite, load
from tinyir.ir import semantics
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.types import TensorType, layout_order
from tinyir.pipeline import Options, compile_module, write_files
from tinyir.runtime.numpy_host import NumpyProgram
from tinyir.runtime.oracles import OracleName, run_oracle
from tinyir.runtime.program import ProgramInfo
from tinyir.target import get_target

Array = npt.NDArray[Any]
Tensors = dict[int, Array]
"""What an executor left behind, by TFLite tensor index."""

FLOAT_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Divergence:
    """The first op on an executor that differs from the reference, on one input."""

    executor: str
    sample: int
    op: str
    elements: int
    wrong: int
    largest: float

    def __str__(self) -> str:
        return (
            f"{self.executor}: input {self.sample} first differs at {self.op}: "
            f"{self.wrong:,} of {self.elements:,} elements, by up to {self.largest:g}"
        )


@dataclass
class Report:
    """What was compared, and what differed."""

    executors: tuple[str, ...]
    samples: int
    tensors: int = 0
    elements: int = 0
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.divergences


def verify(
    path: Path,
    options: Options,
    against: OracleName = "tflm",
    inputs: Sequence[Sequence[Array]] | None = None,
    executors: Sequence[str] = ("numpy", "host", "m7"),
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Compare the program compiled from the model at `path` with a reference, on `inputs` (samples of all inputs; by
    default a ramp and three random ones).

    Raises ModelError for what is no .tflite file or what the reference refuses, ToolError where a compiler, the
    emulator or the reference is not installed.
    """
    if not is_tflite(path):
        raise ModelError(f"{path} is no .tflite model, so there is no reference to compare with")
    model = path.read_bytes()
    module = load(path)
    samples = list(inputs) if inputs is not None else default_inputs(module.main)
    runners = _runners(module, options, executors)
    wanted = sorted({index for runner in runners for index in runner.tensors})
    report = Report(tuple(executors), len(samples))
    for number, sample in enumerate(samples):
        progress(f"input {number + 1} of {len(samples)}: {against}")
        truth = run_oracle(against, model, list(sample), wanted).tensors
        found: dict[str, Tensors] = {}
        for runner in runners:
            progress(f"input {number + 1} of {len(samples)}: {runner.name}")
            found[runner.name] = runner.run(list(sample))
        _compare(report, number, runners, found, truth)
    if report.elements == 0:
        raise ModelError(f"nothing of {path} could be compared: no op leaves a tensor of the model behind")
    return report


def default_inputs(func: Func) -> list[list[Array]]:
    """A ramp over the whole range, and three random samples with fixed seeds."""
    samples = [[_ramp(arg.type) for arg in func.args]]
    for seed in range(1, 4):
        rng = np.random.default_rng(seed)
        samples.append([random_input(arg.type, rng) for arg in func.args])
    return samples


def _ramp(type: TensorType) -> Array:
    steps = (np.arange(type.elements) * 37 + 11) % 256 - 128
    if type.storage.numpy.kind == "f":
        return (steps / 128).astype(np.float32).reshape(type.shape)
    lo, hi = type.storage.limits
    return np.clip(steps, lo, hi).astype(type.storage.numpy).reshape(type.shape)


def random_input(type: TensorType, rng: np.random.Generator) -> Array:
    """A random tensor: normal, or over the whole range of the integers."""
    if type.storage.numpy.kind == "f":
        return rng.standard_normal(type.shape).astype(np.float32)
    lo, hi = type.storage.limits
    return rng.integers(lo, hi, type.shape, endpoint=True).astype(type.storage.numpy)


# -- executors --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runner:
    """One way of running the program: `tensors` says which op leaves which TFLite tensor behind, in order."""

    name: str
    tensors: dict[int, str]
    run: Callable[[list[Array]], Tensors]


def _runners(module: Module, options: Options, executors: Sequence[str]) -> list[Runner]:
    planned = clone_module(module)
    result = compile_module(planned, options)
    runners = []
    for name in executors:
        if name == "numpy":
            runners.append(_graph_runner(module, options))
        else:
            with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
                write_files(result.files, Path(folder))
                runners.append(_program_runner(name, Path(folder), planned.main, options))
    return runners


def _graph_runner(module: Module, options: Options) -> Runner:
    """The printed NumPy module, statement by statement."""
    result = compile_module(clone_module(module), replace(options, backend="numpy", measure=False))
    func = result.module.main
    names = value_names(result.module)
    left = [pair for op in func.walk() for pair in _left_behind(op.results, op.loc) if pair[0] in names]
    values = {names[value]: (value, index) for value, index in left}
    program = NumpyProgram(result.files)

    def run(inputs: list[Array]) -> Tensors:
        found: Tensors = {}

        def observe(name: str, array: Array) -> None:
            if name in values:
                value, index = values[name]
                found[index] = canonical(array, value.type)

        program.run(_as_taken(func, inputs), observe)
        return found

    return Runner("numpy", {index: _op_name(value) for value, index in left}, run)


def _op_name(value: Value) -> str:
    op = value.defining_op
    assert op is not None
    return f"`{value.name}` ({op.opname}) {op.loc}"


def _left_behind(results: Sequence[Value], loc: Any) -> list[tuple[Value, int]]:
    """The result of an op with the TFLite tensor that it is, where it is one of the model's."""
    tensors = [source.tensor for source in loc.sources if source.tensor is not None]
    storable = len(results) == 1 and results[0].type.storage.bytes in (1, 4) and bool(tensors)
    return [(results[0], tensors[-1])] if storable else []


def _program_runner(name: str, folder: Path, func: Func, options: Options) -> Runner:
    """The C program, on the host or on the emulated Cortex-M7."""
    program: Any
    if name == "host":
        from tinyir.runtime.host import HostProgram

        program = HostProgram.build(folder)
    else:
        from tinyir.runtime.m7 import M7Program
        from tinyir.runtime.toolchain import CrossCompiler

        compiler = CrossCompiler.detect(options.compiler)
        program = M7Program.build(folder, get_target(options.target), compiler, options.c_level)
    info: ProgramInfo = program.info
    calls = [op for op in func.ops if isinstance(op, LoopCall)]
    places = {i: found[0][1] for i, call in enumerate(calls) if (found := _left_behind(call.results, call.loc))}
    names = {index: f"{info.ops[i]} ({info.ops[i].kind}) {info.ops[i].location}" for i, index in places.items()}

    def run(inputs: list[Array]) -> Tensors:
        found: Tensors = {}

        def observe(index: int, arena: npt.NDArray[np.uint8]) -> None:
            if index in places:
                found[places[index]] = canonical(info.ops[index].outputs[0].read(arena), calls[index].results[0].type)

        status = program.run(_as_taken(func, inputs), observe=observe).status
        if status != 0:
            raise TinyIRError(f"the program returned {status} on {name}")
        return found

    return Runner(name, names, run)


def _as_taken(func: Func, inputs: list[Array]) -> list[Array]:
    """Inputs of the model as the program takes them: quantised where `--io int8` has dropped the conversion."""
    taken = []
    for arg, array in zip(func.args, inputs, strict=True):
        quant = arg.type.quant
        if quant is not None and array.dtype.kind == "f":
            array = semantics.quantize(array, scale=quant.scale, zero_point=quant.zero_point)
        taken.append(array)
    return taken


def canonical(array: Array, type: TensorType) -> Array:
    """An array in the layout of the model, which has channels last."""
    if sorted(type.layout) != sorted("NHWC"):
        return array
    return np.ascontiguousarray(array.transpose(layout_order(type.layout, "NHWC")))


# -- comparison -------------------------------------------------------------------------------------------------------


def _compare(report: Report, sample: int, runners: Sequence[Runner], found: dict[str, Tensors], truth: Tensors) -> None:
    """Compare all executors of one sample with the reference, and floats among each other."""
    for runner in runners:
        diverged = False
        for index, op in runner.tensors.items():
            have, want = found[runner.name][index], truth[index]
            if have.size != want.size or have.dtype != want.dtype:
                continue  # a tensor that the compiler has cut or joined differently
            report.tensors += 1
            report.elements += have.size
            wrong, largest = difference(have.reshape(-1), want.reshape(-1))
            if wrong and not diverged:
                report.divergences.append(Divergence(runner.name, sample, op, have.size, wrong, largest))
                diverged = True
    _compare_bits(report, sample, runners, found)


def _compare_bits(report: Report, sample: int, runners: Sequence[Runner], found: dict[str, Tensors]) -> None:
    """Floats must have the same bits on all executors."""
    for runner in runners[1:]:
        first = runners[0]
        for index in runner.tensors:
            if index not in first.tensors or found[runner.name][index].dtype.kind != "f":
                continue
            one, two = found[first.name][index].reshape(-1), found[runner.name][index].reshape(-1)
            wrong = int((one.view(np.uint32) != two.view(np.uint32)).sum())
            if wrong:
                name = f"{runner.name} against {first.name}"
                largest = float(np.nanmax(np.abs(one - two), initial=0.0))
                report.divergences.append(Divergence(name, sample, runner.tensors[index], one.size, wrong, largest))
                break


def difference(have: Array, want: Array) -> tuple[int, float]:
    """How many elements differ (floats: by more than 1e-5 of the value, or of the tensor's largest) and by how much."""
    if have.dtype.kind != "f":
        gap = np.abs(have.astype(np.int64) - want.astype(np.int64))
        return int((gap != 0).sum()), float(gap.max(initial=0))
    gap = np.abs(have.astype(np.float64) - want.astype(np.float64))
    scale = np.maximum(np.abs(want), FLOAT_TOLERANCE * np.abs(want).max(initial=0.0))
    wrong = ~(gap <= FLOAT_TOLERANCE * scale + np.finfo(np.float32).tiny)
    return int(wrong.sum()), float(gap.max(initial=0.0))
