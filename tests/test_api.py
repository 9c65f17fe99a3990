"""The Python API: load, compile, run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyir
from tests.oracles import run_tflm
from tinyir.api import Where
from tinyir.pipeline import BackendName

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits"
MODEL = EXAMPLE / "digits.tflite"


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    with np.load(EXAMPLE / "test_set.npz") as data:
        return np.array(data["images"][:1])


@pytest.mark.parametrize(("backend", "where"), [("c", "host"), ("c", "m7"), ("numpy", "numpy")])
def test_compile_and_run(backend: BackendName, where: Where, image: np.ndarray) -> None:
    program = tinyir.compile(MODEL, backend=backend, measure=False)
    found = program.run(image, where)
    assert np.array_equal(found[0], run_tflm(MODEL.read_bytes(), [image])[0])


def test_inputs_by_name(image: np.ndarray) -> None:
    program = tinyir.compile(MODEL, measure=False)
    name = program.report["inputs"][0]["name"]
    assert np.array_equal(program.run({name: image})[0], program.run([image])[0])


def test_a_module_is_not_changed() -> None:
    module = tinyir.load(MODEL)
    before = str(module)
    tinyir.compile(module, measure=False)
    assert str(module) == before


def test_an_option_that_is_none() -> None:
    with pytest.raises(tinyir.TinyIRError, match="no option `tarjet`"):
        tinyir.compile(MODEL, tarjet="host")


def test_a_backend_that_does_not_run_there(image: np.ndarray) -> None:
    with pytest.raises(tinyir.TinyIRError, match="does not run on numpy"):
        tinyir.compile(MODEL, measure=False).run(image, "numpy")


def test_importing_tinyir_imports_nothing_heavy() -> None:
    code = "import sys, tinyir; print([m for m in ('numpy', 'lark', 'networkx', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
