"""`tinyir verify --train`: equal trajectories pass; a backend broken on purpose is found, with step and tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tinyir.verify_train
from tests.train.networks import dense_network
from tinyir.backends.base import Files
from tinyir.cli import main
from tinyir.diagnostics import UsageError
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Relu
from tinyir.pipeline import Options, Training, emit
from tinyir.verify_train import verify_training

NET = dense_network((12, 8, 6, 5), Relu)
OPTIONS = Options(train=Training())


def breaking(old: str, new: str) -> Callable[[Module, Options], Files]:
    """The C backend with a mistake in what it prints."""

    def broken(module: Module, options: Options) -> Files:
        files = dict(emit(module, options))
        if options.backend == "c":
            text = files["mlp.c"]
            assert isinstance(text, str) and old in text
            files["mlp.c"] = text.replace(old, new)
        return files

    return broken


def test_equal_executors_pass() -> None:
    report = verify_training(NET, OPTIONS, steps=5)
    assert report.ok and report.steps == 5 and report.executors == ("numpy", "host", "m7")
    assert report.parameters == sum((12 * 8, 8, 8 * 6, 6, 6 * 5, 5))
    assert len(set(report.losses)) == 5


def test_the_first_wrong_tensor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of relu lets everything below the upper limit through."""
    monkeypatch.setattr(tinyir.verify_train, "emit", breaking("lo < y && y < hi", "y < hi"))
    report = verify_training(NET, OPTIONS, steps=5, executors=("numpy", "host"))
    (found,) = report.divergences
    assert (found.executor, found.reference, found.step) == ("host", "numpy", 1)
    assert "grad." in found.what and "tensor `" in found.what
    assert found.wanted == "0.0" and found.found != "0.0"
    assert str(found).startswith("host: step 1 first differs from numpy at op ")


def test_a_mistake_that_only_the_core_makes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "#if defined(__arm__)\n    *loss += 0.5f;\n#endif\n    if (!(*loss - *loss == 0.0f))"
    monkeypatch.setattr(tinyir.verify_train, "emit", breaking("if (!(*loss - *loss == 0.0f))", broken))
    report = verify_training(NET, OPTIONS, steps=5, executors=("host", "m7"))
    (found,) = report.divergences
    assert (found.executor, found.reference, found.what) == ("m7", "host", "the loss")


def test_a_wrong_update_is_named_by_its_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that changes one byte of the parameters when it is done."""
    end = "return 5;\n    }"
    monkeypatch.setattr(tinyir.verify_train, "emit", breaking(end, f"{end}\n    p->b2[3] += 1.0f;"))
    report = verify_training(NET, OPTIONS, steps=5, executors=("numpy", "host"))
    (found,) = report.divergences
    assert (found.what, found.index, found.wrong) == ("the new value of parameter `b2`", (3,), 1)


def test_options_without_training_are_refused() -> None:
    with pytest.raises(UsageError, match="compiled without `train`"):
        verify_training(NET, Options())


@pytest.mark.parametrize(("steps", "executors"), [(0, ("numpy", "host")), (-1, ("numpy", "host")), (5, ("numpy",))])
def test_nothing_to_compare_is_refused(steps: int, executors: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        verify_training(NET, OPTIONS, steps=steps, executors=executors)


def test_refused_steps_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlp.tir").write_text(str(NET))
    words = ["verify", str(tmp_path / "mlp.tir"), "--train", "all", "--steps", "4", "--on", "numpy,host"]
    assert main([*words, "--lr", "nan"]) == 2
    assert "a learning rate of nan is not finite" in capsys.readouterr().err
    assert main([*words, "--lr", "3e38"]) == 0
    assert "of the steps were refused and changed nothing" in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "mlp.tir"
    model.write_text(str(NET))
    words = ["verify", str(model), "--train", "all", "--steps", "3", "--on", "numpy,host"]
    assert main(words) == 0
    assert capsys.readouterr().out == (
        "OK: the loss and 193 parameters are equal bit for bit after each of 3 steps, on numpy, host\n"
    )
    monkeypatch.setattr(tinyir.verify_train, "emit", breaking("lo < y && y < hi", "y < hi"))
    assert main(words) == 1
    assert "host: step 1 first differs from numpy at op" in capsys.readouterr().out
