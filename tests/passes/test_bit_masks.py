"""`bit-masks`: one bit of each element is kept where gradients ask no more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.cases import cases_of
from tests.loops.kernels import Array, same_results
from tests.passcheck import PassChecker
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.grad import Inside, Mask, Masked
from tinyir.ir.semantics import inside, mask, masked
from tinyir.ir.types import DType, TensorType
from tinyir.loops.check import check_kernel
from tinyir.loops.recipes import schedule

SHAPES = [(3, 70), (2, 32), (1, 5), (40,), (2, 3, 4, 33)]


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_say_what_is_inside(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    y, g = rng.integers(-128, 128, shape, dtype=np.int8), rng.normal(size=shape).astype(np.float32)
    bits = mask(y, lo=-100, hi=90)
    assert bits.dtype == np.int32 and bits.size == y.size // shape[-1] * -(-shape[-1] // 32)
    words = bits.astype(np.uint32).reshape(-1, -(-shape[-1] // 32))
    for row, word in zip(y.reshape(-1, shape[-1]), words, strict=True):
        for i, element in enumerate(row):
            assert (int(word[i // 32]) >> (i % 32)) & 1 == (-100 < element < 90)
    np.testing.assert_array_equal(masked(g, bits), inside(g, y, lo=-100, hi=90))


@pytest.mark.parametrize("layout", ["", "NHWC", "NCHW"])
@pytest.mark.parametrize("channels", [1, 7, 32, 40, 64])
def test_kernels(layout: str, channels: int) -> None:
    shape = (1, 2, 3, channels)
    type = TensorType(shape, DType.I8, "NHWC").in_layout(layout) if layout else TensorType(shape, DType.I8)
    b = FuncBuilder()
    y = b.arg(type, "y")
    bits = b.add(Mask(y, lo=-128, hi=100))
    g = b.arg(type.with_elem(DType.F32), "g")
    func = b.ret(bits, b.add(Masked(g, bits)), b.add(Inside(g, y, lo=-128.0, hi=100.0)))
    for case in cases_of(func):
        scheduled = schedule(case.kernel)
        assert check_kernel(scheduled) == ""
        same_results(case.kernel, scheduled, case.arrays)
    rng = np.random.default_rng(channels)
    given: list[Array] = [
        rng.integers(-128, 128, type.shape, dtype=np.int8),
        rng.normal(size=type.shape).astype(np.float32),
    ]
    _, one, two = evaluate(func, given)
    np.testing.assert_array_equal(one, two)


HEAD = """func @train_step(%x: tensor<1x40xf32>, %lr: tensor<f32>, %w: tensor<1x40xf32>)
    attributes {state = [2], updates = [1], by_value = [1]} {
  %y = int.quantize(%x) {scale = 0.5, zero_point = 1} : tensor<1x40xi8>
"""
LOSS = """%r = int.dequantize(%y) {scale = 0.5, zero_point = 1} : tensor<1x40xf32>
  %loss = nn.sum(%r) {axes = [0, 1]} : tensor<f32>
"""
END = """%new = train.sgd(%w, %d, %lr) : tensor<1x40xf32>
  func.return(%loss, %new)
}"""
ASKS = "%d = grad.inside(%w, %y) {lo = -128.0, hi = 127.0} : tensor<1x40xf32>\n"


def test_gradients_read_bits(check_pass: PassChecker) -> None:
    stats = check_pass(
        HEAD + LOSS + ASKS + END,
        "bit-masks",
        HEAD
        + "%y.bits = grad.mask(%y) {lo = -128, hi = 127} : tensor<2xi32>\n"
        + LOSS
        + "%d = grad.masked(%w, %y.bits) : tensor<1x40xf32>\n"
        + END,
    )
    assert stats == {"masks": 1, "bytes less": 32}


@pytest.mark.parametrize(
    "gradient",
    [
        "%e = int.dequantize(%y) {scale = 0.5, zero_point = 1} : tensor<1x40xf32>\n"
        "%f = grad.inside(%w, %y) {lo = -128.0, hi = 127.0} : tensor<1x40xf32>\n"
        "%d = nn.mul(%e, %f) : tensor<1x40xf32>\n",
        "%d = grad.inside(%w, %y) {lo = -1.5, hi = 127.0} : tensor<1x40xf32>\n",
        "%e = grad.inside(%w, %y) {lo = -128.0, hi = 127.0} : tensor<1x40xf32>\n"
        "%d = grad.inside(%e, %y) {lo = -1.0, hi = 127.0} : tensor<1x40xf32>\n",
    ],
)
def test_what_gradients_read_otherwise_stays(check_pass: PassChecker, gradient: str) -> None:
    check_pass.unchanged(HEAD + LOSS + gradient + END, "bit-masks")


def test_masks_of_other_sizes_are_refused() -> None:
    with pytest.raises(IRError, match="words"):
        parse("""func @main(%g: tensor<2x33xf32>, %m: tensor<2xi32>) {
          %d = grad.masked(%g, %m) : tensor<2x33xf32>
          func.return(%d)
        }""")
