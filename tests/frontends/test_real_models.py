"""The real models: outputs and inner tensors equal the stored ones, and their text reads back as the same module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.models import FOLDER, NAMES, RealModel, assert_equal_outputs, needs_models
from tinyir.frontends.text import load_text, parse
from tinyir.ir.core import Value
from tinyir.ir.interp import evaluate
from tinyir.ir.printer import print_module, save_module

SAMPLES = 8

pytestmark = needs_models


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs(name: str, numerics: str) -> None:
    model = RealModel(name)
    func = model.module().main
    for sample in range(SAMPLES):
        found = evaluate(func, model.inputs(sample), numerics)
        assert_equal_outputs(found, model.outputs(sample, numerics))


def inner_goldens(name: str, numerics: str) -> dict[int, npt.NDArray[np.int8]]:
    """The stored inner tensors by their index in the model, for sample 0."""
    with np.load(FOLDER / "goldens" / f"{name}.npz") as goldens:
        plain = {int(key[1:]): goldens[key] for key in goldens.files if key[0] == "t" and key[1:].isdigit()}
        if numerics == "tflm":
            plain |= {int(key[6:]): goldens[key] for key in goldens.files if key.startswith("tflm_t")}
    return plain


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("name", [name for name in NAMES if FOLDER.is_dir() and inner_goldens(name, "litert")])
def test_inner_tensors(name: str, numerics: str) -> None:
    model = RealModel(name)
    seen: dict[int | None, npt.NDArray[np.int8]] = {}

    def observe(value: Value, array: npt.NDArray[np.int8]) -> None:
        op = value.defining_op
        if op is not None and op.opname != "nn.const":
            seen[op.loc.sources[0].tensor] = array  # the last op of a TFLite operator has its result

    evaluate(model.module().main, model.inputs(0), numerics, observe)
    for index, wanted in inner_goldens(name, numerics).items():
        np.testing.assert_array_equal(seen[index], wanted, err_msg=f"tensor {index}")


@pytest.mark.parametrize("name", NAMES)
def test_text_reads_back(name: str, tmp_path: Path) -> None:
    module = RealModel(name).module()
    assert parse(print_module(module)) == module
    save_module(module, tmp_path / "saved.tir")
    assert load_text(tmp_path / "saved.tir") == module


def test_names_and_places() -> None:
    """Values are named after operator and index; every op says which operator and tensor it comes from."""
    func = RealModel("kws_ref_model").module().main
    assert [op.results[0].name for op in func.ops[:4]] == ["conv2d_0_w", "conv2d_0_b", "conv2d_0", "conv2d_0"]
    assert [value.name for value in func.args] == ["input_1"]
    source = func.ops[3].loc.sources[0]
    assert (source.op, source.tensor) == (0, 22)
    assert all(op.loc.sources for op in func.ops[:-1])
