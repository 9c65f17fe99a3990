"""The benchmark of whole models: exactness is part of it, and its tables are those of README.md."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import FOLDER, needs_models
from tests.runtime.samples import needs_m7, needs_m7prof, needs_qemu

MODEL = "hello_world_int8"
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("inference")


@pytest.mark.parametrize("script", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_each_can_be_imported(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they use of tinyir is there; most of them run for minutes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert importlib.import_module(script).__doc__


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
