"""Every stage from model to files, by name, in order. The only file that knows them all.

load      .tflite, .npz or IR text      -> graph IR
passes    graph IR                      -> kernels, scheduled, with a memory plan
emit      planned module, or graph      -> {path: text}
measure   C files, a cross compiler     -> bytes of code, constants and stack
limits    the measured report           -> LimitError, or nothing
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinyir.backends.base import Files
from tinyir.diagnostics import LimitError, ToolError, UsageError
from tinyir.frontends.load import load
from tinyir.ir.core import Module
from tinyir.loops.recipes.policy import Level
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.passes.options import value_text
from tinyir.passes.pipeline_text import pass_text
from tinyir.passes.registry import Pass
from tinyir.passes.step_options import GradName, StepOptions
from tinyir.target import CompilerKind, Target, get_target

if TYPE_CHECKING:
    from tinyir.passes.add_preprocessing import AddPreprocessing
    from tinyir.passes.augment import Augment

BackendName = Literal["c", "numpy"]

GRAPH_PASSES = (
    "canonicalize,fold-pad,strip-io{{io={io}}},legalize-quant{{numerics={numerics}}},canonicalize,fold-pad,canonicalize"
)
LOOP_PASSES = "hwc-to-chw,canonicalize,fuse-ops,{order}lower-to-loops,schedule-loops{{{schedule}}},plan-memory"
SELECT_PASSES = "select-params{{plan={plan}}},stamp-params"
BACKWARD_PASSES = "build-backward{{{options}}},canonicalize,prune-backward,bit-masks"


def _path_text(path: Path | None) -> str:
    """A path as the option of a pass."""
    return "none" if path is None else json.dumps(str(path))


@dataclass(frozen=True)
class Training(StepOptions):
    """How a program trains: the options of its step, and the file that says which parameters are trained
    (`tinyir/train_plan.py`; by default all). With `classes` the model gets a new float classifier, its weights drawn by
    `classifier_seed`. `grad` is what gradients of int8 layers are stored as (`narrow_gradients.py`)."""

    plan: Path | None = None
    classes: int | None = None
    classifier_seed: int = 0
    grad: GradName = "f32"

    def new_classifier(self) -> list[str]:
        """The pass that replaces the classifier, as text, if one does."""
        if self.classes is None:
            return []
        return [f"replace-classifier{{classes={self.classes},seed={self.classifier_seed}}}"]

    def selection(self) -> list[str]:
        """The passes that make the model one that can be trained, as text."""
        return [*self.new_classifier(), SELECT_PASSES.format(plan=_path_text(self.plan))]

    def backward(self) -> str:
        """The passes that make a step of it, as text. Raises UsageError for numbers that the optimiser refuses."""
        self.hyper.check(self.optimizer)
        options = ",".join(f"{f.name}={value_text(getattr(self, f.name))}" for f in fields(StepOptions))
        narrow = "" if self.grad == "f32" else f",narrow-gradients{{grad={self.grad}}}"
        return BACKWARD_PASSES.format(options=options) + narrow


@dataclass(frozen=True)
class Options:
    """What a compilation may be told. With `train` the program can be trained. `schedule` is a file of schedules for
    kernels, the others get those of `level`; `save_schedule` is written with those of all. `passes` replaces the
    default pipeline; limits are in bytes; `opt` is for the C compiler, by default what goes with the level. `camera`
    lets the program take frames, `augment` changes the images that it trains on."""

    target: str = "cortex-m7"
    backend: BackendName = "c"
    numerics: Literal["tflm", "litert"] = "tflm"
    io: Literal["model", "int8"] = "model"
    level: Level = "balanced"
    train: Training | None = None
    schedule: Path | None = None
    save_schedule: Path | None = None
    passes: str | None = None
    max_ram: int | None = None
    max_flash: int | None = None
    compiler: CompilerKind | None = None
    opt: str | None = None
    measure: bool = True
    camera: AddPreprocessing | None = None
    augment: Augment | None = None

    @property
    def c_level(self) -> str:
        """The optimisation level of the C compiler."""
        return self.opt or ("-Os" if self.level == "size" else "-O3")

    def pipeline(self) -> list[Pass]:
        """The passes to run. Raises UsageError for a pipeline that cannot be read."""
        if self.passes is not None:
            if self.schedule or self.save_schedule:
                raise UsageError(
                    "a pipeline of your own leaves no place for files of schedules",
                    help="write schedule-loops{file=..., save=...} in it",
                )
            return parse_pipeline(self.passes)
        parts = [GRAPH_PASSES.format(io=self.io, numerics=self.numerics)]
        if self.train is not None:
            parts = [*self.train.selection(), *parts, self.train.backward()]
        if self.camera is not None:
            parts.insert(0, pass_text(self.camera))
        if self.augment is not None:
            parts += [pass_text(self.augment), "canonicalize"]
        if self.backend == "c":
            chosen = f"level={self.level},file={_path_text(self.schedule)},save={_path_text(self.save_schedule)}"
            parts.append(LOOP_PASSES.format(schedule=chosen, order="reorder-updates," if self.train else ""))
        return parse_pipeline(",".join(parts))


@dataclass(frozen=True)
class Result:
    """The files of a compiled program, the module they were printed from, and report.json as data (C backend only)."""

    module: Module
    files: Files
    report: dict[str, Any]
    notes: tuple[str, ...] = ()


Manager = Callable[[list[Pass]], PassManager]
Progress = Callable[[str], None]


def compile_file(
    path: Path, options: Options, manager: Manager = PassManager, progress: Progress = lambda step: None
) -> Result:
    """Compile the model or IR text at `path`; `progress` is told each stage. Raises TinyIRError: a model that cannot be
    read or is not supported, a pass that fails, a limit that does not hold."""
    progress(f"reading {path}")
    return compile_module(load(path), options, manager, progress)


def compile_module(
    module: Module, options: Options, manager: Manager = PassManager, progress: Progress = lambda step: None
) -> Result:
    """Compile `module`, which is changed in place."""
    target = get_target(options.target)
    progress("running passes")
    manager(options.pipeline()).run(module)
    progress("printing")
    files = emit(module, options)
    if options.backend == "numpy":
        return Result(module, files, {})
    report = json.loads(files["report.json"])
    notes: tuple[str, ...] = ()
    if options.measure and not target.is_host:
        progress("measuring code and stack")
        notes = _measure(files, report, target, options)
    files["report.json"] = json.dumps(report, indent=2) + "\n"
    check_limits(report, target, options)
    return Result(module, files, report, notes)


def emit(module: Module, options: Options) -> Files:
    """The files of a program whose passes have run, printed by the backend that `options` name."""
    if options.backend == "numpy":
        from tinyir.backends.numpy_ref import NumpyBackend

        return NumpyBackend().emit(module)
    from tinyir.backends.cortex_m7 import CortexM7Backend

    return CortexM7Backend(target=get_target(options.target).name, opt=options.c_level).emit(module)


def _measure(files: Files, report: dict[str, Any], target: Target, options: Options) -> tuple[str, ...]:
    """Fill sizes of code, constants and stack into `report`, as far as the tools are there. Returns what was not."""
    from tinyir.runtime.toolchain import CrossCompiler

    _check_ram(report, target, options)
    try:
        compiler = CrossCompiler.detect(options.compiler)
    except ToolError as error:
        if options.compiler is not None or options.max_flash is not None:
            raise
        return (f"sizes of code and stack are not measured: {error.message}",)
    from tinyir.runtime.measure import measure

    with tempfile.TemporaryDirectory(prefix="tinyir-") as folder:
        write_files(files, Path(folder))
        needs = measure(Path(folder), target, compiler, options.c_level)
    report["flash_bytes"] = {"code": needs.code, "weights": needs.weights}
    report["stack_bytes"] = needs.stack
    return (f"the stack is not measured: {needs.note}",) if needs.note else ()


def check_limits(report: dict[str, Any], target: Target, options: Options) -> None:
    """Raise LimitError, with what takes how much, where the program needs more than the target or the user grants."""
    _check_ram(report, target, options)
    code, weights = report["flash_bytes"]["code"], report["flash_bytes"]["weights"]
    granted = _least(options.max_flash, None if target.is_host else target.flash.length)
    needed = weights + (code or 0)
    if granted is not None and needed > granted:
        raise LimitError(
            f"`{report['name']}` needs {needed:,} bytes of flash, {granted:,} are granted",
            notes=[f"code {_size(code)}, constants {weights:,} bytes"],
            help="a smaller model, or --max-flash with more",
        )


def ram_bytes(report: dict[str, Any]) -> int:
    """The RAM that a program needs: arena, parameters that are trained, and the stack where it was measured."""
    return int(report["arena_bytes"]) + _params_bytes(report) + int(report["stack_bytes"] or 0)


def _params_bytes(report: dict[str, Any]) -> int:
    return int(report["training"]["params_bytes"]) if "training" in report else 0


def _check_ram(report: dict[str, Any], target: Target, options: Options) -> None:
    granted = _least(options.max_ram, None if target.is_host else target.ram.length)
    params, needed = _params_bytes(report), ram_bytes(report)
    if granted is not None and needed > granted:
        raise LimitError(
            f"`{report['name']}` needs {needed:,} bytes of RAM, {granted:,} are granted",
            notes=[
                f"arena {report['arena_bytes']:,} bytes, with inputs and outputs; stack {_size(report['stack_bytes'])}",
                f"no plan with whole tensors needs less than {report['arena_lower_bound']:,} bytes of arena",
                *([f"parameters that are trained {params:,} bytes"] if params else []),
                *_largest_ops(report),
            ],
            help="a smaller model, or --max-ram with more",
        )


def _largest_ops(report: dict[str, Any], count: int = 3) -> list[str]:
    """The ops during which most of the arena is alive."""
    ops = sorted(report["ops"], key=lambda op: -op["live_bytes"])[:count]
    return [f"{op['live_bytes']:,} bytes are alive during op {op['index']} `{op['name']}` ({op['kind']})" for op in ops]


def _size(bytes: int | None) -> str:
    return "not measured" if bytes is None else f"{bytes:,} bytes"


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def write_files(files: Files, folder: Path) -> None:
    """Write the files of a program into `folder`, which is made if need be. Raises UsageError if that cannot be."""
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or folder}: {error.strerror}") from None
