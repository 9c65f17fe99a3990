"""Printed programs outside of tinyir: run as a script, on a machine that has NumPy alone, and the same in every run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backends.samples import BLOCK, LAYOUTS, LEVELS, digest, prepared
from tests.models import RealModel, needs_models
from tests.passcheck import random_inputs
from tinyir.backends.numpy_ref import NumpyBackend
from tinyir.frontends.text import parse
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import write_files

ALONE = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tinyir", "tests", "lark", "networkx"):
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def block() -> Module:
    return prepared(BLOCK, LEVELS[1])


def written(module: Module, folder: Path) -> Path:
    """The program's files in `folder`; the path of NAME.py."""
    files = NumpyBackend().emit(module)
    write_files(files, folder)
    return folder / next(iter(files))


def run_alone(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The program as a script, in an isolated Python that cannot import tinyir."""
    command = [sys.executable, "-I", "-c", ALONE, str(script), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_runs_alone(tmp_path: Path) -> None:
    module = block()
    script = written(module, tmp_path / "out")
    (x,) = random_inputs(module.main)
    np.save(tmp_path / "x.npy", x)
    done = run_alone(script, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "output 0 `y`: int8 [1, 2, 2, 2]\n"
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), evaluate(module.main, [x])[0])


@needs_models
@pytest.mark.parametrize("name", ["kws_ref_model", "hello_world_float"])
def test_a_real_model_runs_alone(name: str, tmp_path: Path) -> None:
    model = RealModel(name)
    module = model.module()
    PassManager(parse_pipeline(LEVELS[0])).run(module)
    np.save(tmp_path / "x.npy", model.inputs(3)[0])
    done = run_alone(written(module, tmp_path), tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), evaluate(module.main, model.inputs(3))[0])


def test_a_plain_call_of_python_works(tmp_path: Path) -> None:
    """Random inputs by seed, the outputs printed; from any folder."""
    script = written(parse(LAYOUTS), tmp_path / "out")
    outputs = [
        subprocess.run(
            [sys.executable, str(script), "--seed", seed], capture_output=True, text=True, cwd=tmp_path
        ).stdout
        for seed in ("1", "1", "2")
    ]
    assert outputs[0].startswith("output 0 `z`: int8 [1, 4, 5, 4]\n[[[[")
    assert "output 1 `s`: int32 [1, 4, 2, 4]" in outputs[0]
    assert outputs[0] == outputs[1] != outputs[2]


def test_several_inputs_and_outputs_are_files(tmp_path: Path) -> None:
    module = parse(LAYOUTS)
    script = written(module, tmp_path)
    inputs = random_inputs(module.main)
    for i, array in enumerate(inputs):
        np.save(tmp_path / f"x{i}.npy", array)
    files = [tmp_path / f"x{i}.npy" for i in range(2)]
    done = run_alone(script, *files, "-o", tmp_path / "y0.npy", "-o", tmp_path / "y1.npy")
    assert done.returncode == 0, done.stderr
    for i, wanted in enumerate(evaluate(module.main, inputs)):
        np.testing.assert_array_equal(np.load(tmp_path / f"y{i}.npy"), wanted)


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    script = written(block(), tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.int8))
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("no array")
    for name, message in {
        "x.npy": "error: input 0 `the image`: int8 [1, 4, 4, 2], but the array given is int8 [1, 4]",
        "x.npz": "error: input 0 `the image`: int8 [1, 4, 4, 2], but a NpzFile was given",
        "missing.npy": "No such file",
        "empty.npy": "empty.npy: No data left in file",
        "text.npy": "text.npy: ",
    }.items():
        done = run_alone(script, tmp_path / name)
        assert done.returncode == 1
        assert message in done.stderr and "Traceback" not in done.stderr
    assert run_alone(script, "a.npy", "b.npy").returncode == 2
    assert run_alone(script, "-o", "a.npy", "-o", "b.npy").returncode == 2


def test_imports_numpy_and_the_standard_library_alone() -> None:
    for path, text in NumpyBackend().emit(block()).items():
        if isinstance(text, str):
            for node in ast.walk(ast.parse(text)):
                for name in _imported(node):
                    top = name.partition(".")[0]
                    assert top in {"numpy", "block_kernels"} or top in sys.stdlib_module_names, f"{path}: {name}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module or ""]
    return []


DIGEST = """
from tests.backends.samples import BLOCK, LEVELS, digest, prepared
print(digest(prepared(BLOCK, LEVELS[1])))
"""


def test_the_same_bytes_in_every_run() -> None:
    digests = {digest(block())}
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", DIGEST]
        digests.add(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip())
    assert len(digests) == 1
