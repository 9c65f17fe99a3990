"""Kernels as whole programs: a function that calls each once, planned, printed as C, and built."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.backends.base import Files
from tinyir.backends.cortex_m7 import CortexM7Backend
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Symbol, Value
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.types import TensorType
from tinyir.loops.ir import Kernel
from tinyir.passes.plan_memory import PlanMemory
from tinyir.passes.schedule_loops import without_packings
from tinyir.pipeline import write_files
from tinyir.runtime.host import HostProgram
from tinyir.runtime.toolchain import HostCompiler

Array = npt.NDArray[Any]


def module_of(kernels: Sequence[Kernel], constants: Sequence[Mapping[str, Array]] = ()) -> Module:
    """A planned module whose inputs are those of the kernels, one after the other, and its outputs theirs. Constants
    are given in their old layouts where a kernel packs them."""
    b = FuncBuilder()
    module = Module(attrs={"name": "k"})
    outputs: list[Value] = []
    for i, kernel in enumerate(kernels):
        operands = []
        for p in kernel.by_role("in", "const"):
            if p.role == "in":
                operands.append(b.arg(TensorType(p.shape, p.dtype), f"{p.name}_{i}"))
            else:
                array = constants[i][p.name]
                packed = array if p.packing is None else p.packing.apply(array)
                operands.append(b.const(np.ascontiguousarray(packed).reshape(p.shape), f"{p.name}_{i}"))
        types = [TensorType(p.shape, p.dtype) for p in kernel.by_role("out")]
        name = f"{kernel.name}_{i}"
        call = LoopCall(*operands, kernel=Symbol(name), types=types, name=f"y_{i}")
        module.kernels[name] = replace(without_packings(kernel), name=name)
        b.insert(call)
        outputs += call.results
    func = b.ret(*outputs)
    module.funcs[func.name] = func
    PlanMemory().run(module)
    return module


def files_of(module: Module) -> Files:
    """The C program of a planned module."""
    return CortexM7Backend().emit(module)


@contextmanager
def folder_of(files: Files) -> Iterator[Path]:
    """A folder with the program, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(files, Path(folder))
        yield Path(folder)


def host_program(module: Module, compiler: HostCompiler | None = None, opt: str = "-O2") -> HostProgram:
    """The program on this machine."""
    with folder_of(files_of(module)) as folder:
        return HostProgram.build(folder, compiler, opt)
