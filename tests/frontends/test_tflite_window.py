"""Pooling, MEAN and SOFTMAX against TFLite Micro and LiteRT."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.differential import Random, check
from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.ir.quant import mean_multiplier
from tinyir.ir.semantics import softmax_q8
from tinyir.ir.semantics.fixedpoint import multiply_quantized
from tinyir.ir.types import QType, q8

KINDS = ("int8", "float32")


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("pool", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("kind", KINDS)
def test_pool(pool: str, kind: str, seed: int) -> None:
    r = Random(seed, kind == "int8")
    shape = (r.integer(1, 2), r.integer(1, 9), r.integer(1, 9), r.integer(1, 5))
    kernel, stride = (r.integer(1, 4), r.integer(1, 4)), (r.integer(1, 4), r.integer(1, 4))
    same = r.flag() or kernel[0] > shape[1] or kernel[1] > shape[2]
    sizes = list(zip(shape[1:3], kernel, stride, strict=True))
    extents = [-(-n // s) if same else (n - k) // s + 1 for n, k, s in sizes]
    quant = Quant(r.scale(), r.zero_point()) if r.quantized else None
    b = TFLiteBuilder()
    x, y = b.input(shape, quant), b.tensor((shape[0], *extents, shape[3]), quant)
    options = {"padding": 0 if same else 1, "strideH": stride[0], "strideW": stride[1]}
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "fusedActivationFunction": r.integer(0, 3)}
    b.op(pool, [x], [y], **options)
    check(b.build([y]), [r.data(*shape)])


AXES = [((1, 2), False), ((1, 2), True), ((2, 1), True), ((-1,), False), ((3,), True), ((0, 1, 2, 3), True)]
AXES += [((1, 1, 2), False), ((0,), False), ((-3, -2), True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("axes", "keep"), AXES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_mean(kind: str, axes: tuple[int, ...], keep: bool, seed: int) -> None:
    r = Random(seed, kind == "int8")
    shape = (r.integer(1, 3), r.integer(1, 9), r.integer(1, 9), r.integer(1, 6))
    reduced = {axis % 4 for axis in axes}
    result = [1 if i in reduced else n for i, n in enumerate(shape) if keep or i not in reduced]
    quants: list[Quant | None] = [None, None]
    if r.quantized:
        scale = r.scale()
        quants = [Quant(scale, r.zero_point()), Quant(r.scale(scale / 8, scale * 4), r.zero_point())]
    b = TFLiteBuilder()
    x, y = b.input(shape, quants[0]), b.tensor(result, quants[1])
    b.op("MEAN", [x, b.ints(*axes)], [y], keepDims=keep)
    check(b.build([y]), [r.data(*shape)])


def test_factor_of_mean_to_the_last_bit() -> None:
    """Sums whose mean another mantissa, one more or one less, would change: a few of many millions."""
    rng = np.random.default_rng(0)
    cases: list[tuple[QType, QType, npt.NDArray[np.int64]]] = []
    while len(cases) < 20:
        count = int(rng.integers(20, 400))
        x, y = (q8(2.0 ** rng.uniform(-4, 1), zero_point) for zero_point in (-128, 0))
        mantissa, exponent = mean_multiplier(x, y, count)
        sums = np.arange(255 * count + 1)
        sums = sums[np.abs((sums * mantissa) % 2**31 - 2**30) <= sums]  # else another bit cannot matter
        less, same, more = (multiply_quantized(sums, mantissa + change, exponent) for change in (-1, 0, 1))
        rows = sums[((less != same) | (same != more)) & (same < 127)]
        if len(rows):
            cases.append((x, y, rows[:, None] // count + (np.arange(count) < rows[:, None] % count)))
    for x, y, elements in cases:
        b = TFLiteBuilder()
        i, o = b.input(elements.shape, Quant(x.scale, -128)), b.tensor((len(elements),), Quant(y.scale, 0))
        b.op("MEAN", [i, b.ints(1)], [o])
        check(b.build([o]), [(elements - 128).astype(np.int8)])


def test_mean_to_a_scalar() -> None:
    r = Random(5)
    b = TFLiteBuilder()
    x, y = b.input((3, 4), Quant(0.1, 3)), b.tensor((), Quant(0.05, -7))
    b.op("MEAN", [x, b.ints(0, 1)], [y])
    check(b.build([y]), [r.data(3, 4)], ["litert"])


@pytest.mark.parametrize("beta", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("kind", KINDS)
def test_softmax(kind: str, seed: int, beta: float) -> None:
    r = Random(seed, kind == "int8")
    shape = [(1, 12), (7,), (2, 3, 4, 5), (1, 500), (4, 1)][seed % 5]
    b = TFLiteBuilder()
    x = b.input(shape, Quant(r.scale(2**-12, 64), r.zero_point()) if r.quantized else None)
    y = b.tensor(shape, Quant(1 / 256, -128) if r.quantized else None)
    b.op("SOFTMAX", [x], [y], beta=beta)
    check(b.build([y]), [r.data(*shape)])


def test_softmax_of_equal_elements() -> None:
    b = TFLiteBuilder()
    x, y = b.input((1, 511), Quant(0.1, 0)), b.tensor((1, 511), Quant(1 / 256, -128))
    b.op("SOFTMAX", [x], [y], beta=1.0)
    check(b.build([y]), [np.full((1, 511), 127, np.int8)])


@pytest.mark.parametrize("classes", [512, 4095])
def test_softmax_of_many_equal_elements(classes: int) -> None:
    """TFLite Micro stops the program where the sum of the exponentials reaches 512; here every share is then 0."""
    table = np.full(256, 2**31 - 1, np.int32)
    assert np.array_equal(softmax_q8(np.zeros((1, classes), np.int8), table), np.full((1, classes), -128))
