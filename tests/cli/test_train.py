"""`tinyir train`: from a model and examples to scores, curves and a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.train.networks import dense_network
from tests.train.test_fit import SIZES, blobs
from tinyir.cli import main

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mlp.tir").write_text(str(dense_network(SIZES)))
    examples = blobs().train
    np.savez(tmp_path / "d.npz", x=examples.x[:, 0], y=examples.y)
    return tmp_path


def train(folder: Path, *more: str) -> int:
    return main(["train", str(folder / "mlp.tir"), "--data", str(folder / "d.npz"), *more])


def test_scores_are_shown_and_files_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, checkpoint = folder / "f.json", folder / "c.bin"
    words = ["--steps", "100", "--lr", "0.3", "--json", str(figures), "--checkpoint", str(checkpoint)]
    assert train(folder, "--backend", "numpy", *words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "60 examples to train on; scores on 60 that are trained on"
    assert shown[1].split() == ["steps", "loss", "accuracy", "precision", "recall", "F1"]
    assert [line.split()[0] for line in shown[2:5]] == ["0", "50", "100"]
    found = json.loads(figures.read_text())
    assert len(found["losses"]) == found["steps"] == 100 and found["stopped"] is None
    assert found["measurements"][-1]["accuracy"] == 1.0
    assert checkpoint.read_bytes()[:4] == b"TIRC"


def test_a_checkpoint_goes_on_where_it_ended_on_another_backend(folder: Path) -> None:
    checkpoint, figures = folder / "c.bin", folder / "f.json"
    assert train(folder, "--backend", "host", "--steps", "60", "--lr", "0.3", "--checkpoint", str(checkpoint)) == 0
    more = ["--resume", str(checkpoint), "--steps", "0", "--json", str(figures), "--checkpoint", str(folder / "2.bin")]
    assert train(folder, "--backend", "numpy", *more) == 0
    assert json.loads(figures.read_text())["measurements"][0]["accuracy"] > 0.9
    assert (folder / "2.bin").read_bytes() == checkpoint.read_bytes()


def test_a_damaged_checkpoint_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.bin").write_bytes(b"TIRC" + bytes(100))
    assert train(folder, "--backend", "numpy", "--resume", str(folder / "c.bin")) == 1
    assert "the checkpoint is refused" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--backend", "numpy", "--lr", "3e38", "--checkpoint", str(folder / "c.bin")) == 1
    assert "the loss is not finite; the parameters are those of the step before" in capsys.readouterr().err
    assert (folder / "c.bin").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "nan"], "a learning rate of nan is not finite"),
        (["--lr", "inf"], "a learning rate of inf is not finite"),
        (["--steps", "-1"], "must not be negative"),
        (["--resume", "nowhere.bin"], "cannot read nowhere.bin"),
        (["--classes", "2"], "label 2 of example"),
        (["--seed", "-1"], "a seed counts from 0"),
        (["--checkpoint", "nowhere/c.bin"], "cannot write nowhere/c.bin"),
        (["--json", "nowhere/f.json"], "cannot write nowhere/f.json"),
        (["--checkpoint", "."], "cannot write .: it is a folder"),
    ],
)
def test_mistakes_are_said(folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "--backend", "numpy", *words) == 2
    assert message in capsys.readouterr().err


def test_what_could_not_be_written_is_said_before_anything_is_learned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert train(folder, "--backend", "numpy", "--plot", "curve.doc") == 2
    captured = capsys.readouterr()
    assert "no picture of that kind is drawn" in captured.err and captured.out == ""


def test_any_number_of_classes_is_measured(folder: Path) -> None:
    words = ["--backend", "numpy", "--classes", "70000", "--steps", "0", "--eval-count", "2"]
    assert train(folder, *words) == 0


def test_a_curve_is_drawn(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert train(folder, "--backend", "numpy", "--steps", "5", "--plot", str(folder / "curve.png")) == 0
    assert (folder / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_a_head_is_trained_behind_an_int8_model(tmp_path: Path) -> None:
    """Odd against even digits, from the features of the int8 network for ten digits, which stays as it is."""
    with np.load(DIGITS / "test_set.npz") as data:
        images, labels = data["images"], data["labels"].astype(np.int64) % 2
    np.savez(tmp_path / "d.npz", x=images[:120], y=labels[:120], x_test=images[120:], y_test=labels[120:])
    words = ["train", str(DIGITS / "digits.tflite"), "--data", str(tmp_path / "d.npz"), "--classes", "2"]
    (tmp_path / "head.toml").write_text("version = 1\n")
    words += ["--plan", str(tmp_path / "head.toml")]
    words += ["--steps", "120", "--lr", "0.02", "--eval-every", "60", "--json", str(tmp_path / "f.json")]
    assert main(words) == 0
    first, *_, last = json.loads((tmp_path / "f.json").read_text())["measurements"]
    assert first["accuracy"] < 0.7 and last["accuracy"] > 0.9


def test_the_session_in_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/training.md shows what the commands print."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    with np.load(DIGITS / "test_set.npz") as data:
        images, labels = data["images"], data["labels"] % 2
    np.savez(tmp_path / "d.npz", x=images[:120], y=labels[:120], x_test=images[120:], y_test=labels[120:])
    (tmp_path / "head.toml").write_text("version = 1\n")
    words = ["--classes", "2", "--plan", str(tmp_path / "head.toml"), "--data", str(tmp_path / "d.npz")]
    words += ["--steps", "200", "--lr", "0.02", "--backend", "numpy"]
    assert main(["train", str(DIGITS / "digits.tflite"), *words]) == 0
    assert capsys.readouterr().out in page
