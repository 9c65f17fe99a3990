"""Images of digits: MNIST where the user has its files, else scikit-learn's digits scaled to the same 28x28."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import UsageError

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

SIDE = 28
PIXELS = SIDE * SIDE
HELD_OUT = 450  # of scikit-learn's 1797 images

_IDX_BYTES = 0x08  # element type "unsigned byte"


@dataclass(frozen=True)
class Data:
    """Images are [n, 784], 0 to 1; labels 0 to 9."""

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels

    def first(self, count: int | None) -> Data:
        """The same with the first `count` training images; all of them for None."""
        return Data(self.name, self.train_images[:count], self.train_labels[:count], self.test_images, self.test_labels)


def load_digits_28(seed: int = 0) -> Data:
    """scikit-learn's digits (1797 of 8x8, 16 grey levels), 450 held out, each pixel repeated 3 or 4 times."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    nearest = np.arange(SIDE) * digits.images.shape[1] // SIDE
    images = (digits.images[:, nearest][:, :, nearest] / 16).astype(np.float32).reshape(-1, PIXELS)
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=HELD_OUT, random_state=seed, stratify=digits.target
    )
    return Data("scikit-learn's digits", train_x, train_y, test_x, test_y)


def load_mnist(folder: Path) -> Data:
    """MNIST from its four IDX files in `folder` (`train-images-idx3-ubyte`, ..., or `.gz`). Raises UsageError."""
    return Data("MNIST", *_load_part(folder, "train"), *_load_part(folder, "t10k"))


def _load_part(folder: Path, part: str) -> tuple[Images, Labels]:
    images = read_idx(_find(folder, f"{part}-images"))
    labels = read_idx(_find(folder, f"{part}-labels"))
    if images.shape[1:] != (SIDE, SIDE) or labels.shape != images.shape[:1]:
        raise UsageError(f"{folder}: {part} has images {images.shape} and labels {labels.shape}, not n x 28 x 28")
    return images.reshape(-1, PIXELS).astype(np.float32) / np.float32(255), labels.astype(np.int64)


def _find(folder: Path, stem: str) -> Path:
    """The IDX file whose name begins with `stem`."""
    found = sorted(folder.glob(f"{stem}*"))
    if not found:
        raise UsageError(
            f"no file {stem}-idx*-ubyte in {folder}", help="the four files of MNIST, as they are given out"
        )
    return found[0]


def read_idx(path: Path) -> npt.NDArray[Any]:
    """An array of unsigned bytes in the IDX format: 0, 0, type, rank, the dimensions as big-endian u32, the elements.

    Raises UsageError for a file that is something else, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if len(content) < 4 or content[:3] != bytes([0, 0, _IDX_BYTES]):
        raise UsageError(f"{path} is not an IDX file of bytes")
    begin = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:begin], ">u4"))
    if len(content) - begin != int(np.prod(shape)):
        raise UsageError(f"{path} says it holds {shape}, but has {len(content) - begin:,} bytes behind that")
    return np.frombuffer(content[begin:], np.uint8).reshape(shape)
