"""The example `hdrnn`: its data, its network in plain NumPy against tinyir's, and a short form of the whole."""

from __future__ import annotations

import gzip
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tinyir.diagnostics import UsageError

FOLDER = Path(__file__).parent.parent / "examples" / "hdrnn"
MODULES = ("data", "network", "hdrnn")


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, Any]]:
    """The modules of the example by name, as its script sees them."""
    sys.path.insert(0, str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        del sys.modules[name]


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """The four files, with few images."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 12)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_digits_at_28x28(example: dict[str, Any]) -> None:
    data = example["data"].load_digits_28()
    assert data.train_images.shape == (1347, 784) and data.test_images.shape == (450, 784)
    assert data.train_images.dtype == np.float32
    assert data.train_images.min() == 0 and data.train_images.max() == 1
    first = data.train_images[0].reshape(28, 28)
    assert (first[0, :4] == first[0, 0]).all() and (first[:4, 0] == first[0, 0]).all()


def test_mnist_files(example: dict[str, Any], mnist: Path) -> None:
    data = example["data"].load_mnist(mnist)
    assert data.train_images.shape == (30, 784) and data.test_labels.shape == (12,)
    again = np.random.default_rng(0).integers(0, 256, (30, 28, 28))
    assert np.array_equal(np.round(data.train_images * 255).astype(int), again.reshape(30, 784))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an IDX file of bytes"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05\x00", r"says it holds \(5,\), but has 1 bytes"),
    ],
)
def test_idx_files_that_are_refused(example: dict[str, Any], mnist: Path, content: bytes, message: str) -> None:
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        example["data"].load_mnist(mnist)


def test_a_folder_without_mnist(example: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file train-images"):
        example["data"].load_mnist(tmp_path)


@pytest.mark.parametrize("loss", ["quadratic", "cross-entropy"])
def test_plain_numpy_trains_as_tinyir_does(example: dict[str, Any], loss: str) -> None:
    """Written twice, differentiated by hand and by rule: the same weights up to rounding."""
    network, settings = example["network"], example["hdrnn"].Settings(loss, 0.3, 1, 0, 1)
    module = network.build_network((30, 6, 4, 10), seed=3)
    trainer = tinyir.compile(module, train=settings.training, backend="numpy").trainer()
    plain = network.PlainNetwork(trainer.params, loss)
    rng = np.random.default_rng(5)
    for _ in range(25):
        x, label = rng.uniform(size=30).astype(np.float32), int(rng.integers(10))
        plain.step(x, label, settings.lr)
        assert trainer.step(x[None], label, settings.rate).status == 0
    for k in range(3):
        np.testing.assert_allclose(trainer.params[f"w{k}"], plain.weights[k], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(trainer.params[f"b{k}"], plain.biases[k], rtol=1e-4, atol=1e-6)


def test_short_form(
    example: dict[str, Any], mnist: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All three backends on MNIST's format; the script ends with an error where weights differ."""
    monkeypatch.setattr(
        sys, "argv", ["hdrnn.py", "--mnist", str(mnist), "--hidden", "8-4", "--epochs", "1", "--m7-steps", "20"]
    )
    example["hdrnn"].main()
    out = capsys.readouterr().out
    assert "MNIST: 30 images, 1 epochs, 12 held out" in out
    assert "784-8-4-10" in out and "M7 = C, 20 steps" in out and "NO" not in out.split("network")[1]


def test_it_learns(example: dict[str, Any]) -> None:
    """One epoch of 784-8-10 in C, and as much in plain NumPy."""
    hdrnn = example["hdrnn"]
    data = example["data"].load_digits_28()
    settings = hdrnn.Settings("quadratic", 0.5, 1, 0, 1)
    module = example["network"].build_network((784, 8, 10), seed=0)
    trainer = tinyir.compile(module, train=settings.training, measure=False).trainer("host")
    plain = example["network"].PlainNetwork(trainer.params, "quadratic")
    for x, label in zip(data.train_images, data.train_labels, strict=True):
        trainer.step(x[None], int(label), settings.rate)
        plain.step(x, int(label), settings.lr)
    found, wanted = hdrnn.accuracy(trainer, data), hdrnn.plain_accuracy(plain, data)
    assert found > 0.5 and abs(found - wanted) < 0.02
