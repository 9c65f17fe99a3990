"""The outputs of the programs whose results are the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from tinyir.runtime.oracles import run_oracle

Array = npt.NDArray[Any]


def run_tflm(model: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of TFLite Micro. Raises ModelError for a model that it refuses."""
    return run_oracle("tflm", model, inputs).outputs


def run_litert(model: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of LiteRT's reference kernels. Raises ModelError for a model that it refuses."""
    return run_oracle("litert", model, inputs).outputs
