"""Recipes of float layers: the same bits as the plain kernel, whose sums have one order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.loops.cases import Case, cases_of
from tests.loops.test_gradient_recipes import steps_of
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.nn_contraction import Conv2D, Dense, DepthwiseConv2D
from tinyir.ir.ops.train import Sgd
from tinyir.ir.types import DType, TensorType

Pair = tuple[int, int]
BLOCK = {"jam", "share", "chain"}


def image(op: type[Op], size: Pair, channels: Pair, kernel: int = 1, stride: int = 1, margin: int = 0) -> Case:
    """A convolution whose weights are no constants, as in training."""
    b, (inputs, outputs) = FuncBuilder(), channels
    x = b.arg(TensorType((1, *size, inputs), DType.F32, "NHWC"), "x")
    depthwise = op is DepthwiseConv2D
    shape = (kernel, kernel, outputs) if depthwise else (outputs, kernel, kernel, inputs)
    w = b.arg(TensorType(shape, DType.F32, "HWO" if depthwise else "OHWI"), "w")
    window: dict[str, Any] = {"stride": (stride,) * 2, "pad": ((margin, margin),) * 2}
    (case,) = cases_of(b.ret(b.add(op(x, w, b.arg(TensorType((outputs,), DType.F32, "C"), "b"), **window))))
    return case


@pytest.mark.parametrize("outputs", [2, 5, 8, 10])
def test_dense(outputs: int) -> None:
    b = FuncBuilder()
    x, w = (b.arg(TensorType(shape, DType.F32), name) for shape, name in (((1, 9), "x"), ((outputs, 9), "w")))
    (case,) = cases_of(b.ret(b.add(Dense(x, w, b.arg(TensorType((outputs,), DType.F32), "b")))))
    assert steps_of(case) >= BLOCK


@pytest.mark.parametrize("inputs", [3, 8])
def test_gradients_of_dense_layers(inputs: int) -> None:
    b = FuncBuilder()
    g, x = b.arg(TensorType((1, 4), DType.F32), "g"), b.arg(TensorType((1, inputs), DType.F32), "x")
    w, lr = b.arg(TensorType((4, inputs), DType.F32), "w"), b.arg(TensorType((), DType.F32), "lr")
    new = b.add(Sgd(w, b.add(DenseWeight(g, x)), lr))
    for case in cases_of(b.ret(b.add(DenseInput(g, w)), new)):
        assert "jam" in steps_of(case)


def test_pointwise() -> None:
    for size, channels in (((4, 4), (8, 6)), ((1, 1), (5, 4)), ((3, 5), (2, 3))):
        assert steps_of(image(Conv2D, size, channels)) >= BLOCK


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1)])
def test_windows_with_margins(kernel: int, stride: int) -> None:
    for size, channels in (((6, 7), (1, 4)), ((5, 8), (3, 6))):
        steps = steps_of(image(Conv2D, size, channels, kernel, stride, kernel // 2))
        assert steps >= {*BLOCK, "stage"}


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1)])
def test_depthwise(kernel: int, stride: int) -> None:
    for size in ((6, 7), (8, 8)):
        steps = steps_of(image(DepthwiseConv2D, size, (3, 3), kernel, stride, kernel // 2))
        assert steps >= {"jam", "chain", "stage"}


def test_layers_that_stay_right() -> None:
    """One output, several filters of a channel, rows that are larger than the scratch."""
    assert "jam" not in steps_of(image(Conv2D, (3, 3), (2, 1)))
    assert "stage" not in steps_of(image(DepthwiseConv2D, (4, 4), (2, 4), 3, margin=1))
    assert "stage" not in steps_of(image(Conv2D, (3, 90), (6, 2), 3, margin=1))
