"""`tinyir compile`, `run` and `verify` on the example model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.oracles import run_litert, run_tflm
from tinyir.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
MODEL = str(EXAMPLE / "digits.tflite")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.npy"
    with np.load(EXAMPLE / "test_set.npz") as data:
        np.save(path, data["images"][:1])
    return path


def test_compile_writes_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path / "out"), "--picture"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"digits.h", "digits.c", "digits_weights.c", "CMakeLists.txt", "README.md", "report.json"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["flash_bytes"]["code"] > 0 and report["stack_bytes"] > 0
    assert report["arena_bytes"] == report["arena_lower_bound"]
    out = capsys.readouterr().out
    assert f"{report['arena_bytes']:,} bytes" in out and "proven" in out


def test_compile_to_numpy(tmp_path: Path) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path), "--backend", "numpy"]) == 0
    assert (tmp_path / "digits.py").exists()


@pytest.mark.parametrize(
    ("limit", "what"), [("--max-ram=4K", "bytes of RAM, 4,096 are granted"), ("--max-flash=20K", "bytes of flash")]
)
def test_a_limit_that_does_not_hold(limit: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path / "out"), limit]) == 1
    error = capsys.readouterr().err
    assert what in error and "note: " in error
    assert not (tmp_path / "out").exists()


def test_ram_counts_the_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    just_enough = report["arena_bytes"] + report["stack_bytes"]
    assert main(["compile", MODEL, "-o", str(tmp_path), f"--max-ram={just_enough}"]) == 0
    assert main(["compile", MODEL, "-o", str(tmp_path), f"--max-ram={just_enough - 1}"]) == 1
    assert "stack" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["64Q", "", "-1", "1.5K"])
def test_a_size_that_is_none(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path), f"--max-ram={size}"]) == 2
    assert "no number of bytes" in capsys.readouterr().err


def test_a_file_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.tflite").write_bytes(b"not a model")
    assert main(["compile", str(tmp_path / "no.tflite"), "-o", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error


def test_an_unknown_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path), "--target", "stm32f746g-disko"]) == 2
    assert "did you mean `stm32f746g-disco`" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["numpy", "host", "m7"])
def test_run(backend: str, image: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.npy"
    assert main(["run", MODEL, "--input", str(image), "--backend", backend, "--output", str(scores)]) == 0
    with np.load(EXAMPLE / "test_set.npz") as data:
        assert np.load(scores).argmax() == data["labels"][0]


def test_run_with_the_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8), np.int8))
    assert main(["run", MODEL, "--input", str(tmp_path / "x.npy")]) == 2
    assert "int8[1, 8, 8, 1]" in capsys.readouterr().err


def test_verify(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", MODEL, "--inputs", str(image)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("OK: ") and "numpy, host, m7" in out


def test_verify_names_the_first_op_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TFLite Micro and LiteRT round differently in the dense layer, which shows on some images."""
    np.save(tmp_path / "image.npy", an_image_that_shows_the_rounding())
    inputs = ["--inputs", str(tmp_path / "image.npy")]
    assert main(["verify", MODEL, *inputs, "--against", "litert", "--numerics", "tflm"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"numpy", "host", "m7"}
    assert all("dense_13" in line for line in lines)
    assert main(["verify", MODEL, *inputs, "--numerics", "litert"]) == 0


def an_image_that_shows_the_rounding() -> np.ndarray:
    """One for which the wheels of TFLite Micro and of LiteRT give different scores."""
    model = Path(MODEL).read_bytes()
    with np.load(EXAMPLE / "test_set.npz") as data:
        images = data["images"]
    for image in images:
        if not np.array_equal(run_tflm(model, [image[None]])[0], run_litert(model, [image[None]])[0]):
            return np.array(image[None])
    raise AssertionError("the references agree on every image")


def test_a_camera_takes_the_place_of_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compile", MODEL, "-o", str(tmp_path), "--camera", "format=gray,size=[24,32],crop=[0,4,24,24]"]
    assert main(words) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    (frame,) = report["inputs"]
    assert (frame["dtype"], frame["shape"]) == ("uint8", [1, 24, 32, 1])
    assert "image.resize_bilinear" in {op["kind"] for op in report["ops"]}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--camera", "format=yuv"], "yuv"),
        (["--camera", "colour=red"], "colour"),
        (["--train", "all", "--augment", "rotate=3"], "rotate"),
    ],
)
def test_options_of_camera_and_augmentation_are_checked(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", MODEL, "-o", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err
