"""Printed programs in this process: loading, observing, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tinyir.backends.numpy_ref import NumpyBackend
from tinyir.diagnostics import UsageError
from tinyir.frontends.text import parse
from tinyir.ir.interp import Array
from tinyir.pipeline import write_files
from tinyir.runtime.numpy_host import NumpyProgram
from tinyir.runtime.program import ProgramError, TensorInfo

TEXT = """
module attributes {name = "net"} {
  func @main(%x: tensor<2x!q8<0.5, 3>>, %k: tensor<2xi32>) {
    %i = quant.storage(%x) : tensor<2xi8>
    %a = int.widen(%i) {offset = OFFSET} : tensor<2xi32>
    %b = int.add(%a, %k) : tensor<2xi32>
    func.return(%b)
  }
}
"""
X, K = np.array([1, 2], np.int8), np.array([10, 20], np.int32)


def files(offset: int = 5) -> dict[str, str | bytes]:
    return NumpyBackend().emit(parse(TEXT.replace("OFFSET", str(offset))))


def test_runs_from_memory() -> None:
    (y,) = NumpyProgram(files()).run([X, K])
    np.testing.assert_array_equal(y, [16, 27])


def test_runs_from_a_folder_or_a_file(tmp_path: Path) -> None:
    write_files(files(), tmp_path)
    for source in (tmp_path, tmp_path / "net.py", str(tmp_path)):
        (y,) = NumpyProgram(source).run([X, K])
        np.testing.assert_array_equal(y, [16, 27])
    assert not list(tmp_path.rglob("__pycache__"))


def test_describes_its_tensors() -> None:
    program = NumpyProgram(files())
    assert program.name == "net"
    assert program.inputs == (
        TensorInfo("x", "int8", (2,), 2, scale=0.5, zero_point=3),
        TensorInfo("k", "int32", (2,), 8),
    )
    assert program.outputs == (TensorInfo("b", "int32", (2,), 8),)


def test_inputs_by_name() -> None:
    program = NumpyProgram(files())
    np.testing.assert_array_equal(program.run({"k": K, "x": X})[0], [16, 27])
    with pytest.raises(UsageError, match="inputs are named x, k, not x"):
        program.run({"x": X})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([X], "takes 2 inputs, 1 given"),
        ([K, X], r"input 0 `x`: int8 \[2\], but the array given is int32 \[2\]"),
        ([X, K[:1]], r"input 1 `k`: int32 \[2\], but the array given is int32 \[1\]"),
    ],
)
def test_wrong_inputs(inputs: list[Array], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NumpyProgram(files()).run(inputs)


def test_observes_every_statement() -> None:
    seen: list[tuple[str, list[int]]] = []
    program = NumpyProgram(files())
    program.run([X, K], observe=lambda name, array: seen.append((name, array.tolist())))
    assert seen == [("i", [1, 2]), ("a", [6, 7]), ("b", [16, 27])]
    program.run([X, K])
    assert len(seen) == 3


def test_what_an_observer_raises_comes_out() -> None:
    def stop(name: str, array: Array) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError, match="i"):
        NumpyProgram(files()).run([X, K], observe=stop)


def test_programs_of_one_name_do_not_meet() -> None:
    before = set(sys.modules)
    one, two = NumpyProgram(files(5)), NumpyProgram(files(6))
    assert set(sys.modules) == before
    np.testing.assert_array_equal(one.run([X, K])[0] + 1, two.run([X, K])[0])


def test_a_module_of_that_name_stays_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    other = type(sys)("net_kernels")
    monkeypatch.setitem(sys.modules, "net_kernels", other)
    NumpyProgram(files())
    assert sys.modules["net_kernels"] is other


def test_loading_in_several_threads() -> None:
    found: dict[int, list[int]] = {}

    def load(offset: int) -> None:
        found[offset] = NumpyProgram(files(offset)).run([X, K])[0].tolist()

    threads = [Thread(target=load, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {offset: [11 + offset, 22 + offset] for offset in range(8)}


def test_no_program(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ProgramError, match="no program of the NumPy backend here"):
            NumpyProgram(source)
    with pytest.raises(ProgramError, match="no program"):
        NumpyProgram({})


def test_two_programs_in_a_folder(tmp_path: Path) -> None:
    write_files(files(), tmp_path)
    write_files({path.replace("net", "other"): content for path, content in files().items()}, tmp_path)
    with pytest.raises(ProgramError, match="2 programs"):
        NumpyProgram(tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("net.py", "def run(:", "SyntaxError"),
        ("net.py", "x = 1", "has no function `run`"),
        ("net.py", "def run(): pass\nraise OSError('damaged')", "OSError: damaged"),
        ("net_kernels/__init__.py", "1 / 0", "ZeroDivisionError"),
        ("net_kernels/fixedpoint.py", "", "ImportError"),
        ("net_weights.npz", b"", "cannot be loaded"),
    ],
)
def test_damaged_programs(path: str, content: str | bytes, message: str) -> None:
    before = set(sys.modules)
    with pytest.raises(ProgramError, match=message):
        NumpyProgram({**files(), path: content})
    assert set(sys.modules) == before
