"""Ops on camera frames and images: against their definitions, and the same bits from the graph, NumPy, host and M7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.loops.cases import cases_of
from tests.loops.test_lower import assert_lowered
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir import semantics
from tinyir.ir.interp import evaluate

Array = npt.NDArray[Any]

ROWS = ", ".join(str(v) for v in np.random.default_rng(7).integers(-128, 128, 3 * 256))
BIG = "rotation = 30.0, shift = 0.2, shear = 0.3, zoom = 0.25, flip = true"

RGB565 = "%y = image.rgb565(%x) : tensor<1x5x7x3xu8, NHWC>"
SWAPPED = "%y = image.rgb565(%x) {swap_bytes = true} : tensor<1x5x7x3xu8, NHWC>"
LOOKUP = f"""%t = nn.const() {{value = dense<3x256xi8, [{ROWS}]>}} : tensor<3x256xi8>
  %y = image.lookup(%x, %t) : tensor<1x5x7x3xi8, NHWC>"""
UP = "%y = image.resize_bilinear(%x) {size = [9, 11]} : tensor<2x9x11x3xu8, NHWC>"
DOWN = "%y = image.resize_bilinear(%x) {size = [2, 3]} : tensor<1x2x3x3xi8, NHWC>"
WARP = f"""%m = image.affine_matrix(%w) {{size = [9, 6], {BIG}}} : tensor<6xi32>
  %y = image.affine(%x, %m) : tensor<2x9x6x3xu8, NHWC>"""
CROP = "begin = [0, 1, 2, 0], size = [1, 4, 4, 3], stride = [1, 1, 1, 1]"
CHAIN = f"""%rgb = image.rgb565(%x) : tensor<1x5x7x3xu8, NHWC>
  %part = tensor.slice(%rgb) {{{CROP}}} : tensor<1x4x4x3xu8, NHWC>
  %small = image.resize_bilinear(%part) {{size = [3, 2]}} : tensor<1x3x2x3xu8, NHWC>
  %y = int.dequantize(%small) {{scale = 0.5, zero_point = 3}} : tensor<1x3x2x3xf32, NHWC>"""

FRAME = "%x: tensor<1x5x7x1xi16, NHWC>"
BYTES = "%x: tensor<1x5x7x3xu8, NHWC>"
CASES = {
    "rgb565": (FRAME, RGB565),
    "rgb565-swapped": (FRAME, SWAPPED),
    "lookup": (BYTES, LOOKUP),
    "larger": ("%x: tensor<2x4x5x3xu8, NHWC>", UP),
    "smaller": ("%x: tensor<1x7x10x3xi8, NHWC>", DOWN),
    "affine": ("%x: tensor<2x9x6x3xu8, NHWC>, %w: tensor<6xi32>", WARP),
    "chain": (FRAME, CHAIN),
}


def text(args: str, body: str) -> str:
    return f"func @main({args}) {{\n  {body}\n  func.return(%y)\n}}"


def inputs_of(args: str, seed: int) -> list[Array]:
    """Bytes, words and halfwords over all their range."""
    rng = np.random.default_rng(seed)
    found = []
    for arg in parse(f"func @main({args}) {{\n  func.return(%x)\n}}").main.args:
        info = np.iinfo(arg.type.storage.numpy)
        found.append(rng.integers(info.min, info.max, arg.type.shape, arg.type.storage.numpy, endpoint=True))
    return found


@pytest.mark.parametrize("name", CASES)
def test_kernels_compute_what_the_graph_says(name: str) -> None:
    args, body = CASES[name]
    for seed in range(3):
        for case in cases_of(parse(text(args, body)).main, inputs=inputs_of(args, seed)):
            assert_lowered(case)


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_everywhere(name: str) -> None:
    args, body = CASES[name]
    module = parse(text(args, body))
    c, numpy = tinyir.compile(module, measure=False), tinyir.compile(module, backend="numpy")
    for seed in range(3):
        inputs = inputs_of(args, seed)
        (wanted,) = evaluate(module.main, inputs)
        for outputs in (numpy.run(inputs), c.run(inputs, "host"), c.run(inputs, "m7")):
            assert outputs[0].dtype == wanted.dtype and outputs[0].tobytes() == wanted.tobytes()


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_the_order_of_axes_does_not_matter(layout: str) -> None:
    shape = "2x4x5x3" if layout == "NHWC" else "2x3x4x5"
    bigger = "2x6x3x3" if layout == "NHWC" else "2x3x6x3"
    body = f"%y = image.resize_bilinear(%x) {{size = [6, 3]}} : tensor<{bigger}xu8, {layout}>"
    (case,) = cases_of(parse(text(f"%x: tensor<{shape}xu8, {layout}>", body)).main)
    assert_lowered(case)


# -- against their definitions ----------------------------------------------------------------------------------------


def test_rgb565_by_hand() -> None:
    words = np.array([0x0000, 0xFFFF, 0xF800, 0x07E0, 0x001F, 0x8410], np.uint16)
    wanted = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [132, 130, 132]]
    frame = words.view(np.int16).reshape(1, 2, 3, 1)
    assert semantics.rgb565(frame).reshape(-1, 3).tolist() == wanted
    assert np.array_equal(semantics.rgb565(frame.byteswap(), swap_bytes=True), semantics.rgb565(frame))


def test_every_rgb565_word_is_within_a_step_of_its_share() -> None:
    words = np.arange(65536, dtype=np.uint16)
    found = semantics.rgb565(words.view(np.int16).reshape(1, 256, 256, 1)).reshape(-1, 3).astype(float)
    shares = np.stack([(words >> 11) / 31, ((words >> 5) & 63) / 63, (words & 31) / 31], axis=1)
    assert np.abs(found - 255 * shares).max() < 1


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6), (8, 12), (9, 7)])
def test_bilinear_by_definition(size: tuple[int, int]) -> None:
    """In doubles, from the formula: within one, for weights of 1/2048."""
    x = np.random.default_rng(size[0]).integers(0, 256, (1, 4, 6, 2), np.uint8)
    found = semantics.resize_bilinear(x, size=size)
    for r in range(size[0]):
        for c in range(size[1]):
            v = min(max((r + 0.5) * 4 / size[0] - 0.5, 0), 3)
            h = min(max((c + 0.5) * 6 / size[1] - 0.5, 0), 5)
            up, left = math.floor(v), math.floor(h)
            down, right = min(up + 1, 3), min(left + 1, 5)
            wanted = (1 - (v - up)) * ((1 - (h - left)) * x[0, up, left] + (h - left) * x[0, up, right]) + (v - up) * (
                (1 - (h - left)) * x[0, down, left].astype(float) + (h - left) * x[0, down, right]
            )
            assert np.abs(found[0, r, c] - wanted).max() <= 0.5 + 0.3


def test_bilinear_to_the_same_size_changes_nothing() -> None:
    x = np.random.default_rng(0).integers(-128, 128, (2, 5, 4, 3)).astype(np.int8)
    assert np.array_equal(semantics.resize_bilinear(x, size=(5, 4)), x)


def test_affine_by_definition() -> None:
    """The matrix in doubles from the same draws, the nearest element by hand."""
    x = np.random.default_rng(1).integers(0, 256, (1, 12, 9, 1), np.uint8)
    limits = {"rotation": 20.0, "shift": 0.1, "shear": 0.2, "zoom": 0.15}
    differing = 0
    for seed in range(20):
        words = np.random.default_rng(seed).integers(-(2**31), 2**31, 6).astype(np.int32)
        m = semantics.affine_matrix(words, size=(12, 9), flip=True, **limits)
        u = [(int(w) >> 17) / 2**14 for w in words]
        angle = math.radians(20) * (math.floor(u[0] * 128) + 0.5) / 127.5
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        sign = -1 if words[0] & 1 else 1
        real = turn @ [[1, 0], [u[1] * 0.2, 1]] @ np.diag([1 + u[2] * 0.15, (1 + u[3] * 0.15) * sign])
        centre = np.array([5.5, 4.0])
        offset = centre - real @ centre + [u[4] * 1.2, u[5] * 0.9]
        np.testing.assert_allclose(m.reshape(2, 3) / 2**14, np.column_stack([real, offset]), atol=5e-3)
        found = semantics.affine_nearest(x, m)
        for r in range(12):
            for c in range(9):
                row, column = np.floor(real @ [r, c] + offset + 0.5).astype(int).clip(0, [11, 8])
                differing += int(found[0, r, c, 0] != x[0, row, column, 0])
    assert differing <= 20 * 12 * 9 // 100  # places between two elements


def test_without_limits_the_image_stays() -> None:
    x = np.random.default_rng(2).integers(0, 256, (1, 5, 6, 3), np.uint8)
    for seed in range(5):
        words = np.random.default_rng(seed).integers(-(2**31), 2**31, 6).astype(np.int32)
        same = semantics.affine_nearest(x, semantics.affine_matrix(words, size=(5, 6)))
        assert np.array_equal(same, x)
        flipped = semantics.affine_nearest(x, semantics.affine_matrix(words, size=(5, 6), flip=True))
        assert np.array_equal(flipped, x[:, :, ::-1] if words[0] & 1 else x)


# -- what they refuse -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "body", "message"),
    [
        ("%x: tensor<1x5x7x3xi16, NHWC>", RGB565, "needs one channel of i16"),
        ("%x: tensor<1x5x7x1xi16>", RGB565, "needs an image with the axes N, H, W, C"),
        ("%x: tensor<1x5x7x3xi8, NHWC>", LOOKUP, "takes u8 to i8"),
        ("%x: tensor<1x5x7x2xu8, NHWC>", LOOKUP, "needs a table for one or for 2 channels"),
        ("%x: tensor<2x4x5x3xf32, NHWC>", UP, "needs u8 or i8"),
        ("%x: tensor<2x4x5x3xu8, NHWC>", UP.replace("[9, 11]", "[0, 11]"), r"has the size \[0, 11\]"),
        ("%x: tensor<2x9x6x3xu8, NHWC>, %w: tensor<5xi32>", WARP, "needs six i32"),
        ("%x: tensor<2x9x6x3xu8, NHWC>, %w: tensor<6xi32>", WARP.replace("30.0", "200.0"), "between 0 and 180"),
        (
            "%x: tensor<2x9x6x3xu8, NHWC>, %w: tensor<6xi32>",
            WARP.replace("[9, 6]", "[9, 4000]"),
            "shifts by 800 pixels, 256 or more",
        ),
    ],
)
def test_refusals(args: str, body: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        parse(text(args, body))
