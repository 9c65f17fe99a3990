"""The benchmarks of whole models and of steps of training: exactness is part of them."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.frontends.test_training_npz import Backbone
from tests.models import FOLDER, needs_models
from tests.runtime.samples import needs_m7, needs_m7prof, needs_qemu
from tests.train.networks import dense_network
from tinyir.pipeline import Training
from tinyir.train_plan import Share, TrainPlan

MODEL = "hello_world_int8"


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("inference")


def row(inference: Any, level: str, compiler: str, cycles: int) -> Any:
    return inference.Row(
        model="ad01_int8",
        level=level,
        compiler=compiler,
        version="12",
        elements=640,
        macs=1_000_000,
        instructions=2 * cycles,
        cycles=cycles,
        model_cycles=cycles,
        arena_bytes=1920,
        arena_lower_bound=1000,
        stack_bytes=96,
        code_bytes=3768 if compiler == "gcc" else 4000,
        weights_bytes=270_880,
        compile_seconds=1.25,
        c_seconds=0.5,
    )


def test_a_line_for_each_model_and_level(inference: Any) -> None:
    figures = [("size", "gcc", 999_400), ("size", "zig", 1_234_567), ("speed", "gcc", 12_345_678), ("speed", "zig", 5)]
    assert inference.markdown([row(inference, *one) for one in figures]).splitlines() == [
        "| model | -O | M cycles (per MAC), GCC | M cycles (per MAC), clang | compile s "
        "| TFLM + CMSIS-NN | TinyEngine | best published |",
        "| --- | --- | --: | --: | --: | --: | --: | --: |",
        "| ad01_int8 | size | 0.999 (1.00) | 1.23 (1.23) | 1.8 | 0.457 | 0.520 (inexact) | 0.308 (HALE) |",
        "|  | speed | 12.3 (12.35) | 0.000 (0.00) | 1.8 |  |  |  |",
        "",
        "| model | -O | arena | stack | weights | code, GCC | code, clang | RAM, TFLM + CMSIS-NN | RAM, TinyEngine "
        "| code, TFLM + CMSIS-NN | code, TinyEngine |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
        "| ad01_int8 | size | 1,920 | 96/96 | 270,880 | 3,768 | 4,000 | 2,580 | 3,328 | 24,248 | 2,208 |",
        "|  | speed | 1,920 | 96/96 | 270,880 | 3,768 | 4,000 |  |  |  |  |",
    ]


@needs_models
@needs_m7
@needs_qemu
@needs_m7prof
def test_a_model(inference: Any) -> None:
    (found,) = inference.measure((FOLDER / f"{MODEL}.tflite", "size", ("gcc",)))
    assert found.elements == 8 and found.macs > 0 and found.stack_bytes > 0
    assert found.instructions / 2 <= found.model_cycles <= 1.1 * found.cycles


@needs_models
@needs_m7
@needs_qemu
@needs_m7prof
def test_a_wrong_element_ends_it(inference: Any, tmp_path: Path) -> None:
    shutil.copy(FOLDER / f"{MODEL}.tflite", tmp_path)
    goldens = dict(np.load(FOLDER / "goldens" / f"{MODEL}.npz"))
    goldens["tflm_out0"] = goldens["tflm_out0"] ^ (np.arange(8) == 5).reshape(8, 1, 1)
    (tmp_path / "goldens").mkdir()
    np.savez(tmp_path / "goldens" / f"{MODEL}.npz", **goldens)
    with pytest.raises(inference.BenchmarkError, match="1 of 1 elements of output 0 differ for input 5"):
        inference.measure((tmp_path / f"{MODEL}.tflite", "size", ("gcc",)))


@needs_m7
def test_a_model_that_cannot_be_read(inference: Any, tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_text("nothing")
    with pytest.raises(inference.BenchmarkError, match=r"x -O size: .*not a TFLite model"):
        inference.measure((tmp_path / "x.tflite", "size", ("gcc",)))


# -- steps of training ------------------------------------------------------------------------------------------------


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("training")


def test_a_line_for_each_scheme(training: Any) -> None:
    rows = [training.Row("49", 51_234_567, 43_210_000, 134_000, 29_000, 648, 250_000, 600_000)]
    assert training.markdown(rows).splitlines() == [
        "| scheme | M cycles | M instructions | RAM | arena | parameters | stack | flash | code | constants |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
        "| 49 KB | 51.23 | 43.21 | 163,648 | 134,000 | 29,000 | 648 | 850,000 | 250,000 | 600,000 |",
    ]


@needs_m7
@needs_qemu
@needs_m7prof
def test_a_step_of_a_small_backbone(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training.SCHEMES, "small", TrainPlan(2, True, (Share(3, 0.5),)))
    monkeypatch.setattr("os.chdir", lambda folder: None)  # tests run side by side, without a file of inputs
    found = training.measure(Backbone().save(tmp_path / "net.npz"), "small", "speed")
    assert found.instructions / 2 <= found.cycles and found.ram == found.arena + found.params + found.stack
    assert found.stack > 0 and found.code > 0 and found.weights > 0


@needs_m7
def test_a_core_that_trains_otherwise_ends_it(training: Any, tmp_path: Path) -> None:
    module = dense_network((6, training.CLASSES))
    out = tinyir.compile(module, train=Training(), measure=False).write(tmp_path / "out")
    training.check_step(out, "-O1")
    end = "return 5;\n    }"
    text = (out / "mlp.c").read_text()
    assert end in text
    (out / "mlp.c").write_text(text.replace(end, f"{end}\n#if defined(__arm__)\n    p->b0[3] += 1.0f;\n#endif"))
    with pytest.raises(training.BenchmarkError, match=r"parameters that differ after a step: b0"):
        training.check_step(out, "-O1")
