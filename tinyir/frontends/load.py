"""Any file that holds a program to a module."""

from __future__ import annotations

from pathlib import Path

from tinyir.frontends import training_npz
from tinyir.frontends.text import load_text
from tinyir.ir.core import Module

TFLITE_IDENTIFIER = b"TFL3"


def load(path: Path) -> Module:
    """The module in a `.tflite` model, an `.npz` backbone for training or a file of IR text. Raises IRError or
    ModelError."""
    if is_tflite(path):
        from tinyir.frontends.tflite import load_tflite  # imports flatbuffers and the TFLite schema

        return load_tflite(path)
    if training_npz.is_backbone(path):
        return training_npz.load(path)
    return load_text(path)


def is_model(path: Path) -> bool:
    """Whether `path` holds a model, not text. False for a file that cannot be read."""
    return is_tflite(path) or training_npz.is_backbone(path)


def is_tflite(path: Path) -> bool:
    """Whether `path` is a TFLite model, by its name or its first bytes. False for a file that cannot be read."""
    if path.suffix == ".tflite":
        return True
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == TFLITE_IDENTIFIER
    except OSError:
        return False
