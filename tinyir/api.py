"""tinyir from Python: `load`, `compile`, and what `compile` gives."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tinyir.backends.base import Files
from tinyir.diagnostics import ToolError, UsageError
from tinyir.frontends.load import load as load_path
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Module
from tinyir.pipeline import Options, compile_module, write_files
from tinyir.target import CompilerKind, get_target

if TYPE_CHECKING:
    from tinyir.runtime.train_program import Trainer

Array = npt.NDArray[Any]
Inputs = Sequence[Array] | Mapping[str, Array] | Array
Where = Literal["numpy", "host", "m7"]


def load(path: str | Path) -> Module:
    """The model in a `.tflite` file or IR text. Raises ModelError or IRError."""
    return load_path(Path(path))


def compile(model: str | Path | Module, **options: Any) -> Compiled:
    """Compile a model file, IR text, or a module (which stays as it is).

    Options are those of `tinyir.pipeline.Options`: target="cortex-m7", backend="c" | "numpy", numerics="tflm" |
    "litert", io="model" | "int8", passes="...", max_ram=, max_flash= (bytes), train=Training(...),
    compiler="gcc" | "zig", opt="-O3".
    Raises TinyIRError with a message for people.
    """
    unknown = set(options) - set(Options.__dataclass_fields__)
    if unknown:
        raise UsageError(f"compile() has no option `{sorted(unknown)[0]}`")
    chosen = Options(**options)
    module = clone_module(model) if isinstance(model, Module) else load(model)
    result = compile_module(module, chosen)
    return Compiled(result.module, result.files, result.report, chosen, result.notes)


class _Runner(Protocol):
    def run(self, inputs: Any) -> Any: ...


@dataclass
class Compiled:
    """A compiled program: its files, its report (C backend), and ways to run it."""

    module: Module
    files: Files
    report: dict[str, Any]
    options: Options
    notes: tuple[str, ...] = ()
    _runners: dict[str, _Runner] = field(default_factory=dict, repr=False)

    @property
    def arena_bytes(self) -> int:
        """RAM for activations, scratch, inputs and outputs."""
        return int(self.report["arena_bytes"])

    def write(self, folder: str | Path) -> Path:
        """Write the files into `folder`, made if need be. Returns it. Raises UsageError."""
        write_files(self.files, Path(folder))
        return Path(folder)

    def run(self, inputs: Inputs, backend: Where | None = None) -> list[Array]:
        """The outputs for `inputs`: an array, a list of them, or a dict by name, in the types the model takes.

        `backend` is "host" (the C, built for this machine) or "m7" (the C on an emulated Cortex-M7) for a program
        compiled to C, "numpy" for one compiled to NumPy; by default host or numpy. Raises UsageError for inputs that do
        not fit, ToolError without the compilers it takes.
        """
        where = self._where(backend)
        if where not in self._runners:
            self._runners[where] = self._build(where)
        values = [inputs] if isinstance(inputs, np.ndarray) else inputs
        outcome = self._runners[where].run(values)
        if isinstance(outcome, list):
            return outcome
        if outcome.status != 0:
            raise ToolError(f"the program returned {outcome.status}")
        outputs: list[Array] = outcome.outputs
        return outputs

    def trainer(self, backend: Where | None = None) -> Trainer:
        """A trainer with the parameters that the model came with; `backend` as for `run`.

        Raises UsageError for a program compiled without `train`, ToolError without the compilers it takes.
        """
        from tinyir.runtime.train_program import HostTrainer, M7Trainer, NumpyTrainer

        if self.options.train is None:
            raise UsageError("the program was compiled without `train`", help="compile(model, train=Training())")
        where = self._where(backend)
        if where == "numpy":
            return NumpyTrainer(self.files)
        with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
            self.write(folder)
            if where == "host":
                return HostTrainer.build(folder)
            from tinyir.runtime.toolchain import CrossCompiler

            compiler = CrossCompiler.detect(self.options.compiler)
            return M7Trainer.build(folder, get_target(self.options.target), compiler, self.options.c_level)

    def _where(self, backend: Where | None) -> Where:
        """Where to run. Raises UsageError for a place that programs of this backend do not run in."""
        native: Where = "numpy" if self.options.backend == "numpy" else "host"
        where = backend or native
        if (where == "numpy") != (native == "numpy"):
            raise UsageError(f"a program of the {self.options.backend} backend does not run on {where}")
        return where

    def _build(self, where: Where) -> _Runner:
        """The program, built and ready."""
        if self.options.train is not None:
            raise UsageError("a program that trains runs with parameters", help="use `trainer()`")
        if where == "numpy":
            from tinyir.runtime.numpy_host import NumpyProgram

            return NumpyProgram(self.files)
        with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
            self.write(folder)
            if where == "host":
                from tinyir.runtime.host import HostProgram

                return HostProgram.build(folder)
            from tinyir.runtime.m7 import M7Program
            from tinyir.runtime.toolchain import CrossCompiler

            compiler: CompilerKind | None = self.options.compiler
            target = get_target(self.options.target)
            return M7Program.build(folder, target, CrossCompiler.detect(compiler), self.options.c_level)
