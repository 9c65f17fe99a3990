"""Real models, whole: the C on the host and on the emulated Cortex-M7, and the printed NumPy module, against what
TFLite Micro and LiteRT gave; and what the programs may need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.models import FOLDER, NAMES, RealModel, assert_equal_outputs, needs_models
from tinyir.api import Compiled, compile
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.numpy_host import NumpyProgram
from tinyir.verify import canonical

pytestmark = needs_models

SAMPLES = 8


@cache
def compiled(name: str, numerics: str = "tflm", backend: str = "c", io: str = "model") -> Compiled:
    path = RealModel(name).path
    return compile(path, numerics=numerics, backend=backend, io=io, measure=False)


@cache
def numpy_outputs(name: str, numerics: str, sample: int) -> list[np.ndarray]:
    program = NumpyProgram(compiled(name, numerics, "numpy").files)
    return program.run(RealModel(name).inputs(sample))


def samples_of(name: str) -> list[int]:
    """All stored samples; two of the model that takes seconds in NumPy."""
    return list(range(SAMPLES)) if name != "mcunetv2_large" else [0, 5]


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("name", NAMES)
def test_host_and_numpy(name: str, numerics: str) -> None:
    model = RealModel(name)
    for sample in samples_of(name):
        found = compiled(name, numerics).run(model.inputs(sample), "host")
        assert_equal_outputs(found, model.outputs(sample, numerics))
        for one, two in zip(found, numpy_outputs(name, numerics, sample), strict=True):
            assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_cortex_m7(name: str, tmp_path: Path) -> None:
    model = RealModel(name)
    program = M7Program.build(compiled(name).write(tmp_path))
    for sample in range(SAMPLES):
        found = program.run(model.inputs(sample), checks="bounds" if sample == 0 else "pages").outputs
        assert_equal_outputs(found, model.outputs(sample, "tflm"))
        if sample in samples_of(name):
            for one, two in zip(found, numpy_outputs(name, "tflm", sample), strict=True):
                assert one.tobytes() == two.tobytes()


STORED_INNER = [name for name in NAMES if FOLDER.is_dir() and "t" in {n[0] for n in RealModel(name).stored_names()}]


@pytest.mark.parametrize("name", STORED_INNER)
def test_inner_tensors(name: str, tmp_path: Path) -> None:
    """Every stored intermediate tensor that a kernel leaves in the arena."""
    program = compiled(name)
    machine = M7Program.build(program.write(tmp_path))
    calls = [op for op in program.module.main.ops if op.opname == "loop.call"]
    wanted = RealModel(name).inner_tensors("tflm")
    compared = 0

    def observe(index: int, arena: np.ndarray) -> None:
        nonlocal compared
        tensor = calls[index].loc.sources[-1].tensor
        if tensor in wanted:
            found = canonical(machine.info.ops[index].outputs[0].read(arena), calls[index].results[0].type)
            assert np.array_equal(found.reshape(-1), wanted[tensor].reshape(-1)), f"{machine.info.ops[index]}"
            compared += 1

    machine.run(RealModel(name).inputs(0), observe=observe)
    assert compared > 0


@dataclass(frozen=True)
class Needs:
    """What a program may take: arena in bytes (scratch and alignment included), instructions in millions."""

    name: str
    arena: int
    instructions: float
    io: str = "model"
    code: int | None = None


LIMITS = [
    Needs("pretrainedResnet_quant", 49_152 + 1_024, 116.0 / 2),
    Needs("vww_96_int8", 55_296 + 1_024, 97.1 / 2, code=30 * 1024),
    Needs("kws_ref_model", 16_000 + 512, 38.2 / 2),
    Needs("ad01_int8", 768 + 64, 1.42 / 2, code=4 * 1024),
    Needs("str_ww_ref_model", 7_936, 8.44 / 2),
    Needs("mcunet_vww", 89_600 + 2_048, 168.8 / 2, io="int8"),
    Needs("mcunetv2_large", 1_505_280, 2649 / 2, io="int8"),
]
"""Arena: every tensor whole, in-place depthwise; instructions: half of TFLite Micro's reference kernels."""


@pytest.mark.parametrize("needs", LIMITS, ids=lambda needs: needs.name)
def test_needs(needs: Needs, tmp_path: Path) -> None:
    program = compiled(needs.name, io=needs.io)
    assert program.arena_bytes <= needs.arena
    machine = M7Program.build(program.write(tmp_path))
    inputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in machine.info.inputs]
    counted = machine.run(inputs, count=True, checks="pages")
    assert counted.instructions is not None
    assert counted.instructions <= needs.instructions * 1e6


@pytest.mark.parametrize("needs", [n for n in LIMITS if n.code is not None], ids=lambda needs: needs.name)
def test_code_size(needs: Needs) -> None:
    report = compile(RealModel(needs.name).path, io=needs.io).report
    assert needs.code is not None
    assert report["flash_bytes"]["code"] <= needs.code
