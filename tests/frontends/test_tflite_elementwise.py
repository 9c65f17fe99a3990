"""Arithmetic, activations and requantisation against TFLite Micro and LiteRT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.differential import ALL_INT8, Random, check
from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.ir import unary_tables as tables
from tinyir.ir.types import QType, q8

SHAPES = [
    ((1, 3, 4, 5), (1, 3, 4, 5)),
    ((2, 3, 4, 5), (5,)),
    ((2, 3, 4, 5), (1, 1, 1, 5)),
    ((1, 3, 1, 5), (1, 1, 4, 5)),
    ((1, 3, 4, 5), ()),
    ((4, 5), (1, 3, 4, 5)),
    ((7,), (7,)),
    ((3, 1), (1, 4)),
]


@pytest.mark.parametrize("fused", range(4))
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("quantized", [True, False], ids=["int8", "float32"])
def test_arithmetic(kind: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], fused: int, quantized: bool) -> None:
    r = Random(fused + 10 * SHAPES.index(shapes), quantized)
    b = TFLiteBuilder()
    quants = [Quant(r.scale(), r.zero_point()) if quantized else None for _ in range(3)]
    operands = [b.input(shape, quant) for shape, quant in zip(shapes, quants, strict=False)]
    y = b.tensor(np.broadcast_shapes(*shapes), quants[2])
    b.op(kind, operands, [y], fusedActivationFunction=fused)
    check(b.build([y]), [r.data(*shape) for shape in shapes])


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_arithmetic_with_a_constant(kind: str) -> None:
    r = Random(3)
    b = TFLiteBuilder()
    x, y = b.input((1, 4, 4, 3), Quant(0.1, 3)), b.tensor((1, 4, 4, 3), Quant(0.2, -128))
    b.op(kind, [b.const(r.data(3), Quant(0.07, 127)), x], [y])
    check(b.build([y]), [r.data(1, 4, 4, 3)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_arithmetic_on_all_pairs(kind: str, seed: int) -> None:
    r = Random(seed)
    a, c = (np.ascontiguousarray(v).reshape(1, 256, 256, 1) for v in np.meshgrid(ALL_INT8, ALL_INT8))
    first, second = Quant(r.scale(0.02, 2), -128), Quant(r.scale(0.02, 2), r.zero_point())
    assert isinstance(first.scale, float) and isinstance(second.scale, float)
    about = first.scale * second.scale * 255 if kind == "MUL" else 2 * max(first.scale, second.scale)
    b = TFLiteBuilder()
    operands = [b.input(a.shape, first), b.input(a.shape, second)]
    y = b.tensor(a.shape, Quant(r.scale(about / 2, about * 2), 0 if kind == "SUB" else -128))
    b.op(kind, operands, [y])
    check(b.build([y]), [a, c])


def _unary(kind: str, x: Quant | None, y: Quant | None, **options: Any) -> bytes:
    b = TFLiteBuilder()
    i, o = b.input((1, 16, 4, 4), x), b.tensor((1, 16, 4, 4), y)
    b.op(kind, [i], [o], **options)
    return b.build([o])


EVERY_INT8 = ALL_INT8.reshape(1, 16, 4, 4)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "TANH", "QUANTIZE"])
def test_unary_on_every_int8(kind: str, seed: int) -> None:
    r = Random(seed)
    x = Quant(r.scale(), r.zero_point())
    assert isinstance(x.scale, float)
    y = Quant(r.scale(x.scale / 16, x.scale * 16), r.zero_point())
    options = {"alpha": float(r.rng.uniform(-1.5, 2))} if kind == "LEAKY_RELU" else {}
    check(_unary(kind, x, y, **options), [EVERY_INT8])


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH"])
def test_sigmoids_on_every_int8(kind: str, seed: int) -> None:
    r = Random(seed)
    y = Quant(1 / 256, -128) if kind == "LOGISTIC" else Quant(1 / 128, 0)
    check(_unary(kind, Quant(r.scale(2**-12, 64), r.zero_point()), y), [EVERY_INT8])


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_relu_of_one_type_is_a_clamp(kind: str, seed: int) -> None:
    r = Random(seed)
    quant = Quant(r.scale(), r.zero_point())
    check(_unary(kind, quant, quant), [EVERY_INT8], ["litert"] if kind == "RELU_N1_TO_1" else ["tflm", "litert"])


@pytest.mark.parametrize("seed", range(15))
def test_relu_n1_to_1_rescales(seed: int) -> None:
    r = Random(seed)
    x, y = Quant(r.scale(), r.zero_point()), Quant(r.scale(), r.zero_point())
    check(_unary("RELU_N1_TO_1", x, y), [EVERY_INT8], ["litert"])


@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "HARD_SWISH", "TANH", "LOGISTIC"])
def test_unary_on_floats(kind: str) -> None:
    x = np.linspace(-12, 12, 256, dtype=np.float32).reshape(1, 16, 4, 4)
    options = {"alpha": 0.3} if kind == "LEAKY_RELU" else {}
    check(_unary(kind, None, None, **options), [x], ["litert"] if kind == "RELU_N1_TO_1" else ["tflm", "litert"])


@pytest.mark.parametrize("seed", range(10))
def test_quantize_and_dequantize(seed: int) -> None:
    r = Random(seed, quantized=False)
    scale, zero_point = r.scale(2**-6, 2.0), r.zero_point()
    b = TFLiteBuilder()
    x, q, y = b.input((4, 64)), b.tensor((4, 64), Quant(scale, zero_point)), b.tensor((4, 64))
    b.op("QUANTIZE", [x], [q])
    b.op("DEQUANTIZE", [q], [y])
    ties = (np.arange(-32, 32) + np.float32(0.5)) * np.float32(scale)
    values = np.concatenate([ties, r.data(192).ravel() * np.float32(60 * scale)])
    check(b.build([q, y]), [values.astype(np.float32).reshape(4, 64)])


def _relu(x: QType, y: QType, numerics: str) -> tables.Array:
    return tables.relu_table(x, y, 0.0, math.inf, numerics)


def _leaky_relu(x: QType, y: QType, numerics: str) -> tables.Array:
    return tables.leaky_relu_table(x, y, 0.75, numerics)


@pytest.mark.parametrize(
    ("kind", "table", "options"),
    [
        ("RELU", _relu, {}),
        ("LEAKY_RELU", _leaky_relu, {"alpha": 0.75}),
        ("HARD_SWISH", tables.hard_swish_table, {}),
    ],
)
def test_runtimes_round_factors_differently(
    kind: str, table: Callable[[QType, QType, str], tables.Array], options: dict[str, Any]
) -> None:
    """Where a factor in double precision and one in float32 give different tables, each runtime has its own."""
    rng = np.random.default_rng(0)
    found = 0
    while found < 3:
        scale = float(np.float32(2 ** rng.uniform(-6, 1)))
        other = float(np.float32(scale * 2 ** rng.uniform(-1, 1)))
        x, y = q8(scale, -128 if kind != "LEAKY_RELU" else 0), q8(other, 0)
        if not np.array_equal(table(x, y, "tflm"), table(x, y, "litert")):
            found += 1
            quants = Quant(x.scale, x.zero_point), Quant(y.scale, y.zero_point)
            check(_unary(kind, *quants, **options), [EVERY_INT8])


def test_factors_of_mul() -> None:
    """LiteRT multiplies the scales in float32; somewhere on this path the results differ from TFLite Micro's."""
    r = Random(1)
    a, c = (np.ascontiguousarray(v).reshape(1, 256, 256, 1) for v in np.meshgrid(ALL_INT8, ALL_INT8))
    for _ in range(8):
        first, second = r.scale(0.02, 2), r.scale(0.02, 2)
        b = TFLiteBuilder()
        operands = [b.input(a.shape, Quant(first, -128)), b.input(a.shape, Quant(second, -128))]
        y = b.tensor(a.shape, Quant(first * second * 255 * 0.9, -128))
        b.op("MUL", operands, [y])
        check(b.build([y]), [a, c])
