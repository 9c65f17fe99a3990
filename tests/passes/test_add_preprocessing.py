"""`add-preprocessing`: frames in place of the model's input, the same numbers on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.passcheck import PassChecker
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir import semantics
from tinyir.passes.add_preprocessing import AddPreprocessing
from tinyir.passes.manager import PassManager

Array = npt.NDArray[Any]

FLOAT = """func @main(%x: tensor<1x3x4x3xf32, NHWC>) {
  %y = nn.clamp(%x) {lo = -100.0, hi = 100.0} : tensor<1x3x4x3xf32, NHWC>
  func.return(%y)
}"""
INT8 = """func @main(%x: tensor<1x3x4x3x!q8<0.0078125, -3>, NHWC>) {
  %y = nn.dequantize(%x) : tensor<1x3x4x3xf32, NHWC>
  func.return(%y)
}"""
GRAY = FLOAT.replace("4x3x", "4x1x")


def test_frames_of_the_models_size(check_pass: PassChecker) -> None:
    check_pass(
        GRAY,
        "add-preprocessing{format=gray,std=[1.0]}",
        """func @main(%x_frame: tensor<1x3x4x1xu8, NHWC>) {
          %0 = int.dequantize(%x_frame) {scale = 1.0, zero_point = 0} : tensor<1x3x4x1xf32, NHWC>
          %1 = nn.const() {value = dense<f32, [1.0]>} : tensor<f32>
          %x = nn.mul(%0, %1) : tensor<1x3x4x1xf32, NHWC>
          %y = nn.clamp(%x) {lo = -100.0, hi = 100.0} : tensor<1x3x4x1xf32, NHWC>
          func.return(%y)
        }""".replace("{scale = 1.0, zero_point = 0}", "{scale = 1.0, zero_point = 0}"),
        same_results=False,
    )


def frame(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)


CHANNELS = ((125.0, 120.0, 110.0), (60.0, 61.0, 62.0))
CASES = [
    (FLOAT, AddPreprocessing(), (1, 3, 4, 3), np.uint8),
    (FLOAT, AddPreprocessing(size=(9, 11), mean=CHANNELS[0], std=CHANNELS[1]), (1, 9, 11, 3), np.uint8),
    (FLOAT, AddPreprocessing("rgb565", (7, 8), (1, 2, 6, 4), mean=(128.0,)), (1, 7, 8, 1), np.int16),
    (INT8, AddPreprocessing("rgb565-swapped", (6, 8), resize="nearest"), (1, 6, 8, 1), np.int16),
    (INT8, AddPreprocessing(size=(5, 5), mean=CHANNELS[0], std=CHANNELS[1]), (1, 5, 5, 3), np.uint8),
    (INT8, AddPreprocessing(size=(5, 5), mean=(127.5,), std=(127.5,)), (1, 5, 5, 3), np.uint8),
    (GRAY, AddPreprocessing("gray", (12, 16), (0, 4, 12, 8)), (1, 12, 16, 1), np.uint8),
]


@pytest.mark.parametrize(("text", "camera", "shape", "dtype"), CASES)
def test_a_frame_is_what_its_definition_says(
    text: str, camera: AddPreprocessing, shape: tuple[int, ...], dtype: Any
) -> None:
    """Cropping by slices and normalising in doubles, on all backends; a quantised number is within half a step."""
    module = parse(text)
    x = frame(shape, dtype)
    pixels = x
    if camera.crop is not None:
        top, left, height, width = camera.crop
        pixels = x[:, top : top + height, left : left + width]
    if camera.format.startswith("rgb565"):
        pixels = semantics.rgb565(pixels, swap_bytes=camera.format == "rgb565-swapped")
    if camera.resize == "nearest":
        pixels = pixels[:, [1, 3, 5]][:, :, [1, 3, 5, 7]]
    else:
        pixels = semantics.resize_bilinear(pixels, size=(3, 4))
    wanted = (pixels.astype(float) - camera.mean) / camera.std
    half = 0.0
    if text == INT8:
        half, wanted = 0.0078125 / 2, wanted.clip(-125 * 0.0078125, 130 * 0.0078125)
    c = tinyir.compile(module, camera=camera, measure=False)
    (found,) = c.run(x, "host")
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=half + 1e-5)
    assert c.run(x, "m7")[0].tobytes() == found.tobytes()
    assert tinyir.compile(module, camera=camera, backend="numpy").run(x)[0].tobytes() == found.tobytes()


def test_looked_up_numbers_are_those_of_quantize() -> None:
    """The table gives what dequantising, the float ops and nn.quantize give for each byte."""
    computed = """func @main(%x: tensor<1x16x16x1xf32, NHWC>) {
      %q = nn.quantize(%x) : tensor<1x16x16x1x!q8<0.013, 7>, NHWC>
      func.return(%q)
    }"""
    looked_up = """func @main(%x: tensor<1x16x16x1x!q8<0.013, 7>, NHWC>) {
      %y = nn.clamp(%x) : tensor<1x16x16x1x!q8<0.013, 7>, NHWC>
      func.return(%y)
    }"""
    camera = AddPreprocessing("gray", mean=(101.0,), std=(77.0,))
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    one, two = (tinyir.compile(parse(t), camera=camera, backend="numpy").run(x)[0] for t in (computed, looked_up))
    assert np.array_equal(one, two) and len(np.unique(one)) > 100


@pytest.mark.parametrize(
    ("text", "camera", "message"),
    [
        (FLOAT, AddPreprocessing("gray"), "frames of the format gray have 1 channels"),
        (GRAY, AddPreprocessing("rgb565"), "have 3 channels, the model takes"),
        (FLOAT.replace(", NHWC", ""), AddPreprocessing(), "frames become an image"),
        (FLOAT, AddPreprocessing(crop=(1, 0, 3, 4)), "the part 3x4 at 1, 0 is not inside"),
        (FLOAT, AddPreprocessing(mean=(1.0, 2.0)), "mean has 2 numbers for 3 channels"),
        (FLOAT, AddPreprocessing(std=(0.0,)), "std is 0, which is not above 0"),
        (FLOAT.replace("NHWC>) {", "NHWC>, %z: tensor<1xf32>) {", 1), AddPreprocessing(), "has 2 inputs"),
    ],
)
def test_refusals(text: str, camera: AddPreprocessing, message: str) -> None:
    with pytest.raises(IRError, match=message):
        PassManager([camera]).run(parse(text))
