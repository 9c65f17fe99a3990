"""Random models on four executors: TFLite Micro (or LiteRT where that lacks an op), the printed NumPy module, the C on
the host, the C on the emulated Cortex-M7.

`TINYIR_EXAMPLES=2000` tries more. A failure names the seed; `graph_case(seed, quantized)` makes the model again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.differential import assert_same
from tests.oracles import run_litert, run_tflm
from tests.strategies import GraphCase, graph_case
from tinyir.api import compile
from tinyir.frontends.tflite import parse_tflite
from tinyir.runtime.host import HostProgram
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.numpy_host import NumpyProgram

CHUNKS = 8
PER_CHUNK = int(os.environ.get("TINYIR_EXAMPLES", "240")) // CHUNKS


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_int8(chunk: int, tmp_path: Path) -> None:
    for seed in range(chunk * PER_CHUNK, (chunk + 1) * PER_CHUNK):
        check(graph_case(seed, quantized=True), tmp_path / str(seed), f"graph_case({seed}, quantized=True)")


@pytest.mark.parametrize("chunk", range(2))
def test_float(chunk: int, tmp_path: Path) -> None:
    for seed in range(chunk * PER_CHUNK, (chunk + 1) * PER_CHUNK):
        check(graph_case(seed, quantized=False), tmp_path / str(seed), f"graph_case({seed}, quantized=False)")


def check(case: GraphCase, folder: Path, name: str) -> None:
    """Fail unless all four agree: integers with the reference, and floats among ours, bit for bit."""
    module = parse_tflite(case.model, "case")
    numerics = "litert" if "RELU_N1_TO_1" in case.kinds else "tflm"
    wanted = (run_litert if numerics == "litert" else run_tflm)(case.model, case.inputs)
    numpy = NumpyProgram(compile(module, numerics=numerics, backend="numpy").files)
    found = {"numpy": numpy.run(case.inputs)}
    compile(module, numerics=numerics, measure=False).write(folder)
    host, machine = HostProgram.build(folder, opt="-O1"), M7Program.build(folder, opt="-O2")
    for own in (False, True):
        found[f"host, own buffers {own}"] = host.run(case.inputs, own_buffers=own).outputs
        found[f"m7, own buffers {own}"] = machine.run(case.inputs, own_buffers=own).outputs
    for where, outputs in found.items():
        for i, (one, two) in enumerate(zip(outputs, wanted, strict=True)):
            assert_same(one, two, f"{name}: output {i} on {where}")
            assert one.tobytes() == found["numpy"][i].tobytes(), f"{name}: bits of output {i} on {where}"
