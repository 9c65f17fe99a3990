"""What the benchmarks share: models, the referee, the input both models of the core see."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.diagnostics import UsageError
from tinyir.runtime.program import TensorInfo

CALLER = "tinyir_bench"
"""The function of `semihost.c` that runs the program; its few instructions are the referee's, not the program's."""


def models_folder() -> Path:
    """$TINYIR_MODELS, or ../shared/models."""
    return Path(os.environ.get("TINYIR_MODELS") or Path(__file__).parents[2] / "shared" / "models")


def find_referee() -> Any:
    """The package m7prof, from the folder $TINYIR_TOOLS or ../shared/tools. Raises UsageError where it is not."""
    folder = os.environ.get("TINYIR_TOOLS") or Path(__file__).parents[2] / "shared" / "tools"
    sys.path.append(str(folder))
    try:
        return importlib.import_module("m7prof")
    except ImportError:
        raise UsageError("m7prof was not found", help="set TINYIR_TOOLS to the folder that holds it") from None


def pattern(tensor: TensorInfo) -> np.ndarray[Any, Any]:
    """What `semihost.c` fills the inputs with."""
    values = ((np.arange(tensor.bytes) * 37 + 11 - 128) % 256).astype(np.uint8)
    return values.view(tensor.dtype).reshape(tensor.shape)
