"""The real models, where they are: in $TINYIR_MODELS, else in ../shared/models beside the repository."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tinyir.frontends.load import load
from tinyir.ir.core import Module

Array = npt.NDArray[Any]

FOLDER = Path(os.environ.get("TINYIR_MODELS") or Path(__file__).parents[2] / "shared" / "models")

NAMES = (
    "ad01_fp32",
    "ad01_int8",
    "hello_world_float",
    "hello_world_int8",
    "kws_ref_model",
    "mcunet_vww",
    "mcunetv2_large",
    "micro_speech_quantized",
    "pretrainedResnet",
    "pretrainedResnet_quant",
    "str_ww_ref_model",
    "vww_96_float",
    "vww_96_int8",
)

needs_models = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no models in {FOLDER}; set TINYIR_MODELS")


@dataclass(frozen=True)
class RealModel:
    """A model with stored inputs and outputs (its goldens)."""

    name: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.tflite"

    def module(self) -> Module:
        """The model, imported anew."""
        return load(self.path)

    def inputs(self, sample: int) -> list[Array]:
        """The inputs of one of the 8 stored samples."""
        return self._sample("in", sample)

    def outputs(self, sample: int, numerics: str) -> list[Array]:
        """What TFLite Micro ("tflm") or LiteRT's reference kernels ("litert") gave for that sample."""
        return self._sample("tflm_out" if numerics == "tflm" else "out", sample)

    def stored_names(self) -> list[str]:
        """The arrays in the goldens."""
        with np.load(FOLDER / "goldens" / f"{self.name}.npz") as goldens:
            return [name for name in goldens.files if not name.startswith("tflm_out")]

    def inner_tensors(self, numerics: str) -> dict[int, Array]:
        """What sample 0 leaves in each stored intermediate tensor, by TFLite tensor index."""
        found: dict[int, Array] = {}
        with np.load(FOLDER / "goldens" / f"{self.name}.npz") as goldens:
            for prefix in ["t", "tflm_t"] if numerics == "tflm" else ["t"]:
                names = [n for n in goldens.files if n.startswith(prefix) and n[len(prefix) :].isdigit()]
                found.update({int(n[len(prefix) :]): goldens[n] for n in names})
        return found

    def _sample(self, prefix: str, sample: int) -> list[Array]:
        with np.load(FOLDER / "goldens" / f"{self.name}.npz") as goldens:
            count = sum(name.startswith(prefix) and name[len(prefix) :].isdigit() for name in goldens.files)
            return [goldens[f"{prefix}{i}"][sample] for i in range(count)]


def assert_equal_outputs(found: list[Array], wanted: list[Array]) -> None:
    """Integers bit for bit, floats within 1e-5 relative."""
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert one.dtype == two.dtype
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_array_equal(one, two)
