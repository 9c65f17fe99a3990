"""Recipes of gradients: the same bits as the plain kernel, whose sums have one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.loops.cases import Case, cases_of
from tests.loops.kernels import refuses, same_results
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops.grad import DenseWeight, Inside
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput
from tinyir.ir.ops.int_contraction import IntConv2D
from tinyir.ir.ops.nn_elementwise import Add, Mul
from tinyir.ir.ops.train import Accept, Sgd
from tinyir.ir.ops.train_int import SgdInt
from tinyir.ir.types import DType, TensorType
from tinyir.loops.check import check_kernel
from tinyir.loops.ir import Call, all_exprs
from tinyir.loops.recipes import LEVELS, schedule
from tinyir.loops.schedule import apply

Pair = tuple[int, int]


def input_gradient(
    op: type[Op], size: Pair, channels: Pair, kernel: int = 1, stride: int = 1, elem: DType = DType.I8
) -> Case:
    """What a convolution of `channels[0]` to `channels[1]` hands back, masked and scaled as behind a requantisation."""
    rng = np.random.default_rng(sum(size) + sum(channels))
    b, depthwise, margin = FuncBuilder(), op is DepthwiseInput, (kernel - 1) // 2
    pad = ((margin, margin),) * 2
    windows = tuple((n + 2 * margin - kernel) // stride + 1 for n in size)
    inputs, outputs = channels
    g = b.arg(TensorType((1, *windows, outputs), DType.F32, "NHWC"), "g")
    shape = (kernel, kernel, outputs) if depthwise else (outputs, kernel, kernel, inputs)
    array = rng.integers(-128, 128, shape).astype(elem.numpy)
    w = b.const(array, layout="HWO" if depthwise else "OHWI")
    x = TensorType((1, *size, inputs), DType.F32, "NHWC")
    attrs: dict[str, Any] = {"size": size, "stride": (stride,) * 2, "pad": pad, "dilation": (1, 1), "types": x}
    dx = b.add(op(g, w, **attrs | ({"channels": inputs} if depthwise else {})))
    y = b.arg(x.with_elem(DType.I8), "y")
    factors = b.const(rng.normal(size=inputs).astype(np.float32), layout="C")
    (case,) = cases_of(b.ret(b.add(Mul(b.add(Inside(dx, y, lo=-128.0, hi=127.0)), factors))))
    return case


def weight_gradient(size: Pair, channels: Pair, kernel: int = 1, elem: DType = DType.I8) -> Case:
    """What a convolution hands back to its weights, with the update behind it."""
    rng = np.random.default_rng(sum(size) + sum(channels))
    b, (inputs, outputs), margin = FuncBuilder(), channels, (kernel - 1) // 2
    g = b.arg(TensorType((1, *size, outputs), DType.F32, "NHWC"), "g")
    x = b.arg(TensorType((1, *size, inputs), elem, "NHWC"), "x")
    window: dict[str, Any] = {"kernel": (kernel,) * 2, "stride": (1, 1), "pad": ((margin, margin),) * 2}
    dw = b.add(Conv2DWeight(g, x, **window, dilation=(1, 1), zero_point=3 if elem is DType.I8 else 0))
    w = b.arg(dw.type.with_elem(DType.I8), "w")
    scale = b.const(rng.normal(size=outputs).astype(np.float32), layout="O")
    scaled = b.add(Mul(dw, scale, types=dw.type))
    lr = b.arg(TensorType((), DType.F32), "lr")
    (case,) = cases_of(b.ret(b.add(SgdInt(w, scaled, lr, rounding="nearest", lo=-127, hi=127))))
    return case


def steps_of(case: Case) -> set[str]:
    """Schedule the kernel at every level, compare the bits, and give the names of the steps taken."""
    found: set[str] = set()
    for level in LEVELS:
        scheduled = schedule(case.kernel, level)
        assert check_kernel(scheduled) == ""
        same_results(case.kernel, scheduled, case.arrays)
        assert apply(case.kernel, scheduled.schedule) == scheduled
        found |= {step.partition("(")[0] for step in scheduled.schedule}
    return found


@pytest.mark.parametrize("elem", [DType.I8, DType.F32])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 3), (4, 4)])
def test_pointwise_input(size: Pair, elem: DType) -> None:
    for channels in ((8, 6), (5, 7), (6, 4), (4, 2)):
        steps = steps_of(input_gradient(Conv2DInput, size, channels, elem=elem))
        assert {"jam", "share", "chain"} <= steps


def dense_gradient(rows: int, inputs: int, outputs: int) -> Case:
    """What a dense layer hands back to its weights, with an update that remembers."""
    b = FuncBuilder()
    g, x = (b.arg(TensorType((rows, n), DType.F32), name) for n, name in ((outputs, "g"), (inputs, "x")))
    dw = b.add(DenseWeight(g, x))
    w, v = b.arg(dw.type, "w"), b.arg(dw.type, "v")
    speed = b.add(Add(v, dw))
    new = b.add(Sgd(w, speed, b.arg(TensorType((), DType.F32), "lr")))
    (case,) = cases_of(b.ret(*b.insert(Accept(w, v, new, speed, new, states=2)).results))
    return case


@pytest.mark.parametrize("inputs", [8, 6, 9])
def test_columns_of_a_dense_gradient_stand_side_by_side(inputs: int) -> None:
    assert "jam" in steps_of(dense_gradient(1, inputs, 5))


def test_a_dense_gradient_that_sums_rows_stays() -> None:
    assert "jam" not in steps_of(dense_gradient(3, 8, 5))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2)])
def test_other_convolutions_stay_right(kernel: int, stride: int) -> None:
    assert "jam" not in steps_of(input_gradient(Conv2DInput, (4, 5), (4, 3), kernel, stride))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_depthwise_input(kernel: int) -> None:
    for size in ((4, 4), (5, 7), (8, 8)):
        steps = steps_of(input_gradient(DepthwiseInput, size, (3, 3), kernel))
        assert {"stage", "jam", "chain"} <= steps


def test_depthwise_input_with_gaps_or_several_filters_stays_right() -> None:
    assert "stage" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (3, 3), 3, 2))
    assert "stage" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (2, 4), 3))


def test_margins_of_float_weights_are_not_read() -> None:
    """0 times infinity would not be 0."""
    assert "stage" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (3, 3), 3, elem=DType.F32))


@pytest.mark.parametrize("elem", [DType.I8, DType.F32])
def test_weight_gradients(elem: DType) -> None:
    for size, channels in (((4, 4), (8, 6)), ((1, 1), (8, 4)), ((5, 3), (6, 8)), ((2, 2), (12, 3))):
        assert {"jam", "share", "chain"} <= steps_of(weight_gradient(size, channels, elem=elem))


def test_weight_gradients_of_windows_with_margins_stay_right() -> None:
    assert "jam" not in steps_of(weight_gradient((3, 4), (4, 2), 3))


def test_both_passes_read_one_array() -> None:
    """Weights are packed alike for the forward pass and for what it hands back."""
    b, rng = FuncBuilder(), np.random.default_rng(0)
    array = rng.integers(-128, 128, (6, 1, 1, 8), dtype=np.int8)
    w = b.const(array, layout="OHWI")
    y = b.add(IntConv2D(b.arg(TensorType((1, 4, 4, 8), DType.I8, "NHWC"), "x"), w))
    x = TensorType((1, 4, 4, 8), DType.F32, "NHWC")
    g = b.arg(TensorType((1, 4, 4, 6), DType.F32, "NHWC"), "g")
    attrs: dict[str, Any] = {"size": (4, 4), "stride": (1, 1), "pad": ((0, 0), (0, 0)), "dilation": (1, 1), "types": x}
    forward, backward = (schedule(case.kernel) for case in cases_of(b.ret(y, b.add(Conv2DInput(g, w, **attrs)))))
    packings = [kernel.param("weights").packing for kernel in (forward, backward)]
    one, two = (packing.apply(array).reshape(-1) for packing in packings if packing is not None)
    np.testing.assert_array_equal(one, two)


def test_chain_is_one_instruction_with_two_roundings() -> None:
    kernel = schedule(input_gradient(Conv2DInput, (2, 2), (4, 2)).kernel)
    calls = [e for e in all_exprs(kernel.body) if isinstance(e, Call) and e.name == "macf"]
    assert calls


def test_chain_refuses_integers() -> None:
    text = """kernel @k(in x: i8[4], out y: i32[1]) {
      var acc: i32 = 0
      for i in 4 { acc = (acc + (i32(x[i]) * i32(x[i]))) }
      y[0] = acc
    }"""
    refuses(text, "chain()", "it sums no products of f32")
