"""Cross-checks: QEMU runs the same program to the same results, and m7prof counts the same instructions."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.runtime.samples import (
    COMPILERS,
    SAMPLE,
    TOOLS,
    assert_equal,
    changed,
    expected,
    inputs,
    needs_m7,
    needs_m7prof,
    needs_qemu,
)
from tests.train.networks import dense_network, detector_network
from tests.train.test_int8_training import digits
from tinyir.diagnostics import ToolError
from tinyir.ir.core import Module
from tinyir.pipeline import Training
from tinyir.runtime.elf import Elf
from tinyir.runtime.emulator import Emulator
from tinyir.runtime.image import STEP_LABEL, STEP_RATE
from tinyir.runtime.qemu import QemuProgram, build_referee_elf, step_on_qemu
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.runtime.train_program import HostTrainer
from tinyir.target import CompilerKind, get_target


@needs_qemu
@pytest.mark.parametrize("kind", COMPILERS)
def test_outputs(kind: CompilerKind) -> None:
    batch = [inputs(seed) for seed in range(5)]
    for values, result in zip(batch, QemuProgram.build(SAMPLE, CrossCompiler.detect(kind)).run(batch), strict=True):
        assert result.status == 0
        assert_equal(result.outputs, expected(values))


@needs_qemu
def test_a_fault(tmp_path: Path) -> None:
    folder = changed(tmp_path, "int8_t *const hidden", "*(volatile int *)0xF0000000u = 1;\n    int8_t *const hidden")
    with pytest.raises(ToolError, match="ended with status 125"):
        QemuProgram.build(folder).run([inputs()])


@needs_qemu
@pytest.mark.parametrize(
    ("module", "training"),
    [
        (dense_network((12, 8, 5)), Training(optimizer="adam")),
        (detector_network(), Training(momentum=0.9)),
        (digits()[0], Training()),
    ],
    ids=["dense", "convolutions", "int8"],
)
def test_a_step_of_training(module: Module, training: Training, tmp_path: Path) -> None:
    """The same parameters as in C on this machine."""
    folder = tinyir.compile(module, train=training, measure=False).write(tmp_path / "out")
    host = HostTrainer.build(folder)
    tensor = host.training.inputs[0]
    rng = np.random.default_rng(2)
    x = rng.normal(size=tensor.shape) if tensor.dtype == "float32" else rng.integers(-128, 128, tensor.shape)
    x = x.astype(tensor.dtype)
    before = host.save()
    assert host.step(x, STEP_LABEL, STEP_RATE).status == 0
    status, params = step_on_qemu(folder, [x])
    assert status == 0 and params == host.save()[44:-4] != before[44:-4]


@needs_m7
def test_without_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    built = QemuProgram.build(SAMPLE)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="qemu-system-arm was not found"):
        built.run([inputs()])


@pytest.fixture
def m7prof(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("capstone")
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module("m7prof")
    for name in [name for name in sys.modules if name.split(".")[0] == "m7prof"]:
        del sys.modules[name]


@needs_m7
@needs_m7prof
@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("engine", [pytest.param("qemu", marks=needs_qemu), "unicorn"])
def test_m7prof_counts_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, m7prof: Any, kind: CompilerKind, engine: str
) -> None:
    """In total, and per function, on the input pattern of semihost.c; `tinyir_bench` is the referee's own caller."""
    monkeypatch.chdir(tmp_path)
    path = build_referee_elf(SAMPLE, tmp_path / "sample.elf", CrossCompiler.detect(kind))
    profile = m7prof.profile(path, engine=engine, timeout=60)
    assert profile.roi and profile.exit_code == 0
    theirs = {name: tally.instructions for name, tally in profile.functions.items() if name != "tinyir_bench"}
    assert _ours(Elf.read(path)) == theirs
    assert sum(theirs.values()) == profile.total.instructions - profile.functions["tinyir_bench"].instructions


def _ours(elf: Elf) -> dict[str, int]:
    """Instructions of `sample_run` and what it calls, by function, on the same input."""
    emulator = Emulator(elf, get_target("mps2-an500"))
    arena = elf.symbol("tinyir_arena")
    places = [emulator.call(f"sample_{name}", arena) for name in ("input0", "input1", "output0", "output1")]
    for place, size in zip(places, (16, 64), strict=False):
        emulator.write(place, bytes((i * 37 + 11 - 128) % 256 for i in range(size)))
    assert emulator.call("sample_run", arena, *places) == 0
    counts: dict[str, int] = {}
    for block in emulator.tracer.trace().blocks:
        function = elf.describe(block.address).split("+")[0]
        counts[function] = counts.get(function, 0) + block.count * block.instructions
    return counts
