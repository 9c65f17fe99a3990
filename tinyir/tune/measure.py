"""What the kernels of a program cost with given schedules. `measure_trial` runs wherever an executor sends it."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import LoopCall
from tinyir.pipeline import Options, Result, compile_file, write_files
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.profiler import profile
from tinyir.runtime.program import Array, TensorInfo
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import get_target

ROOMY = "cortex-m7"
"""Where trials run: cycles are the same on every target, and no candidate is too large for this one."""

UNLIMITED: dict[str, Any] = {"target": ROOMY, "measure": False, "max_ram": None, "max_flash": None}


@dataclass(frozen=True)
class Job:
    """A trial, as it is sent to a worker: the model with its file name, and the TOML text of the schedules."""

    model: bytes
    name: str
    options: Options
    schedules: str


@dataclass(frozen=True)
class Trial:
    """What a program cost: cycles and bytes of code by the name of the kernel. `outputs` is a digest of what it
    computed, `compiler` the version of the one that built it."""

    cycles: dict[str, float]
    code: dict[str, int]
    stack_bytes: int
    outputs: str
    compiler: str

    @property
    def total(self) -> float:
        return sum(self.cycles.values())


def compile_with(job: Job, **changes: Any) -> Result:
    """Compile the program of a job, its options changed. Raises TinyIRError."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as name:
        model, schedules = Path(name) / job.name, Path(name) / "schedule.toml"
        model.write_bytes(job.model)
        schedules.write_text(job.schedules, encoding="utf-8")
        return compile_file(model, replace(job.options, schedule=schedules, **changes))


def measure_trial(job: Job) -> Trial:
    """Compile the program, run it once, and price what each kernel executed. Raises TinyIRError."""
    result = compile_with(job, **UNLIMITED)
    compiler = CrossCompiler.detect(job.options.compiler)
    program = build(result, job.options, compiler)
    measured = profile(program, some_inputs(program.info.inputs, 0))
    names = [op.kernel.name for op in result.module.main.ops if isinstance(op, LoopCall)]
    return Trial(
        {name: round(one.tally.cycles, 1) for name, one in zip(names, measured.ops, strict=True)},
        {name: one.flash.code for name, one in zip(names, measured.ops, strict=True)},
        measured.result.stack_bytes or 0,
        _digest(measured.result.outputs),
        compiler.version,
    )


def build(result: Result, options: Options, compiler: CrossCompiler) -> M7Program:
    """The compiled program on the emulator."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(result.files, Path(folder))
        return M7Program.build(folder, get_target(ROOMY), compiler, options.c_level)


def some_inputs(tensors: tuple[TensorInfo, ...], seed: int) -> list[Array]:
    """Random inputs of a program: all integers of the type, or normal floats."""
    rng = np.random.default_rng(seed)
    found: list[Array] = []
    for tensor in tensors:
        dtype = np.dtype(tensor.dtype)
        if dtype.kind == "f":
            found.append(rng.standard_normal(tensor.shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            found.append(rng.integers(limits.min, limits.max, tensor.shape, dtype, endpoint=True))
    return found


def first_difference(job: Job, graph: Module, samples: int = 3) -> str:
    """Run the program of a job on the emulator against the interpreter on `graph`, the module before it was lowered.
    Returns "" if all outputs are the same bits, else what differs."""
    result = compile_with(job, **UNLIMITED)
    program = build(result, job.options, CrossCompiler.detect(job.options.compiler))
    for seed in range(samples):
        inputs = some_inputs(program.info.inputs, seed)
        wanted = evaluate(graph.main, inputs, job.options.numerics)
        for tensor, have, want in zip(program.info.outputs, program.run(inputs).outputs, wanted, strict=True):
            if have.tobytes() != np.ascontiguousarray(want).tobytes():
                wrong = int((have.reshape(-1) != np.asarray(want).reshape(-1)).sum())
                return f"output `{tensor.name}` differs in {wrong:,} of {have.size:,} elements on random input {seed}"
    return ""


def _digest(outputs: list[Array]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in outputs)).hexdigest()[:16]
