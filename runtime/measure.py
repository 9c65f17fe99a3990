"""What a program needs on its target: bytes of code, constants and stack."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyir.diagnostics import ToolError
from tinyir.runtime.elf import Elf, flash_sizes
from tinyir.runtime.image import build_image
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.train_program import M7Trainer
from tinyir.target import Target


@dataclass(frozen=True)
class Needs:
    """Bytes. `stack` is None where it could not be measured; `note` then says why."""

    code: int
    weights: int
    stack: int | None
    note: str = ""


def measure(folder: Path, target: Target, compiler: CrossCompiler, opt: str = "-O3") -> Needs:
    """Compile the program in `folder` and run it once on zeros.

    A program without recursion or arrays of variable size goes equally deep on all inputs that take the same branches.
    Raises ToolError with the compiler's message, LimitError where the target is too small.
    """
    info = ProgramInfo.load(folder)
    with tempfile.TemporaryDirectory(prefix="tinyir-") as name:
        scratch = Path(name)
        image = build_image(info, target, compiler, scratch, opt=opt)
        sizes = flash_sizes([scratch / f"{source.stem}.o" for source in info.source_paths])
        try:
            stack = _stack(info, target, Elf.read(image))
        except ToolError as error:
            return Needs(sizes.code, sizes.weights, None, error.message)
    return Needs(sizes.code, sizes.weights, stack)


def _stack(info: ProgramInfo, target: Target, elf: Elf) -> int | None:
    """Deepest use of the stack by a run, or by a step of training."""
    if info.training is None:
        zeros = [np.zeros(tensor.shape, tensor.dtype) for tensor in info.inputs]
        return M7Program(info, target, elf).run(zeros, checks="pages").stack_bytes
    trainer = M7Trainer(info, target, elf)
    x, *targets = [np.zeros(tensor.shape, tensor.dtype) for tensor in info.training.inputs]
    step = trainer.step(x, targets[0] if targets else 0, 0.0)
    trainer.run(x)
    return step.stack_bytes
