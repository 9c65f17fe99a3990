"""The C in the README of a program that trains compiles without a warning and does what it says."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.train.networks import dense_network
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.pipeline import Training
from tinyir.runtime.toolchain import CompileOptions, HostCompiler

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"
SIZES = (12, 8, 5)


def built(folder: Path, training: Training, model: Any) -> tuple[ctypes.CDLL, tinyir.Compiled]:
    """The program with the C of its README, as a library."""
    compiled = tinyir.compile(model, train=training, measure=False)
    compiled.write(folder)
    (code,) = re.findall(r"```c\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    (folder / "example.c").write_text(code)
    sources = [folder / name for name in (*compiled.report["sources"], "example.c")]
    path = HostCompiler.detect().shared_library(sources, folder / "program.so", CompileOptions("-O2", (folder,)))
    return ctypes.CDLL(str(path)), compiled


def pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def test_it_learns_measures_and_keeps(tmp_path: Path) -> None:
    library, compiled = built(tmp_path, Training(), dense_network(SIZES))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 1, SIZES[0])).astype(np.float32)
    labels = rng.integers(0, 5, 10).astype(np.int32)
    trainer = compiled.trainer("host")
    loss = ctypes.c_float()
    assert library.start() == 0
    for _ in range(60):
        for i in range(10):
            label, lr = ctypes.c_int32(int(labels[i])), ctypes.c_float(0.3)
            assert library.learn(pointer(x[i]), label, lr, ctypes.byref(loss)) == 0
            assert trainer.step(x[i], int(labels[i]), 0.3).loss == loss.value
    assert library.evaluate(pointer(x), pointer(labels), 10) == 10
    checkpoint = np.zeros(len(trainer.save()), np.uint8)
    assert library.keep(pointer(checkpoint)) == 0 and checkpoint.tobytes() == trainer.save()
    checkpoint[50] ^= 1
    assert library.restore(pointer(checkpoint)) == 9


@pytest.mark.parametrize(
    ("training", "model"),
    [
        (Training("mean-squared-error", "tensor"), dense_network(SIZES, last=Logistic)),
        (Training(classes=3), DIGITS),
    ],
    ids=["tensors as targets", "int8 with random numbers"],
)
def test_other_programs_compile_too(tmp_path: Path, training: Training, model: Any) -> None:
    library, _ = built(tmp_path, training, model)
    assert library.start() == 0
