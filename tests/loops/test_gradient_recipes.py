"""Recipes of gradients: the same bits as the plain kernel, whose sums have one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.loops.cases import Case, cases_of
from tests.loops.kernels import becomes, refuses, same_results
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops.grad import DenseWeight, Inside
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.grad_narrow import Narrow, WidenGradient
from tinyir.ir.ops.int_contraction import IntConv2D, IntDepthwiseConv2D
from tinyir.ir.ops.nn_elementwise import Add, Mul
from tinyir.ir.ops.train import Accept, Sgd
from tinyir.ir.ops.train_int import SgdInt
from tinyir.ir.types import DType, TensorType
from tinyir.loops.check import check_kernel
from tinyir.loops.ir import Call
from tinyir.loops.recipes import LEVELS, schedule
from tinyir.loops.schedule import apply
from tinyir.loops.walk import all_exprs

Pair = tuple[int, int]


def input_gradient(
    op: type[Op],
    size: Pair,
    channels: Pair,
    kernel: int = 1,
    stride: int = 1,
    elem: DType = DType.I8,
    grad: DType = DType.F32,
    trained: bool = False,
) -> Case:
    """What a convolution of `channels[0]` to `channels[1]` hands back, masked and scaled as behind a requantisation,
    its weights constant or `trained`; stored as it is read, as `grad`."""
    rng = np.random.default_rng(sum(size) + sum(channels))
    b, depthwise, margin = FuncBuilder(), op is DepthwiseInput, (kernel - 1) // 2
    pad = ((margin, margin),) * 2
    windows = tuple((n + 2 * margin - kernel) // stride + 1 for n in size)
    inputs, outputs = channels
    g = b.arg(TensorType((1, *windows, outputs), grad, "NHWC"), "g")
    shape = (kernel, kernel, outputs) if depthwise else (outputs, kernel, kernel, inputs)
    array = rng.integers(-128, 128, shape).astype(elem.numpy)
    layout = "HWO" if depthwise else "OHWI"
    w = b.arg(TensorType(shape, elem, layout), "w") if trained else b.const(array, layout=layout)
    x = TensorType((1, *size, inputs), DType.F32, "NHWC")
    narrow = grad is not DType.F32
    attrs: dict[str, Any] = {"size": size, "stride": (stride,) * 2, "pad": pad, "dilation": (1, 1)}
    attrs["types"] = x.with_elem(DType.I32) if narrow else x
    dx = b.add(op(g, w, **attrs | ({"channels": inputs} if depthwise else {})))
    exponents = [b.const(np.array(n, np.int32)) for n in (-9, 2)]
    dx = b.add(WidenGradient(dx, *exponents)) if narrow else dx
    y = b.arg(x.with_elem(DType.I8), "y")
    factors = b.const(rng.normal(size=inputs).astype(np.float32), layout="C")
    result = b.add(Mul(b.add(Inside(dx, y, lo=-128.0, hi=127.0)), factors))
    if narrow:
        bits = 8 * grad.bytes
        result = b.add(Narrow(result, *exponents, bits=bits, types=result.type.with_elem(grad)))
    (case,) = cases_of(b.ret(result))
    return case


def weight_gradient(
    size: Pair,
    channels: Pair,
    kernel: int = 1,
    elem: DType = DType.I8,
    grad: DType = DType.F32,
    *,
    stride: int = 1,
    op: type[Op] = Conv2DWeight,
) -> Case:
    """What a convolution hands back to its weights, with the update behind it."""
    rng = np.random.default_rng(sum(size) + sum(channels))
    b, (inputs, outputs), margin = FuncBuilder(), channels, (kernel - 1) // 2
    windows = tuple((n + 2 * margin - kernel) // stride + 1 for n in size)
    g = b.arg(TensorType((1, *windows, outputs), grad, "NHWC"), "g")
    x = b.arg(TensorType((1, *size, inputs), elem, "NHWC"), "x")
    window: dict[str, Any] = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "pad": ((margin, margin),) * 2}
    dw = b.add(op(g, x, **window, dilation=(1, 1), zero_point=3 if elem is DType.I8 else 0))
    if grad is not DType.F32:
        dw = b.add(WidenGradient(dw, *(b.const(np.array(n, np.int32)) for n in (-9, 2))))
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


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("grad", [DType.I16, DType.I8])
def test_pointwise_input_of_integers(grad: DType, trained: bool) -> None:
    for size in ((1, 1), (1, 5), (3, 3), (4, 4)):
        for channels in ((8, 6), (12, 8), (8, 2)):
            steps = steps_of(input_gradient(Conv2DInput, size, channels, grad=grad, trained=trained))
            assert {"jam", "share", "tensorize"} <= steps
            assert "stage" in steps if grad is DType.I8 else "stage" not in steps


@pytest.mark.parametrize("grad", [DType.I16, DType.I8])
def test_pointwise_input_of_no_whole_words_multiplies_one_by_one(grad: DType) -> None:
    for channels in ((8, 5), (6, 4)):
        steps = steps_of(input_gradient(Conv2DInput, (3, 3), channels, grad=grad))
        assert "jam" in steps and not {"tensorize", "chain"} & steps


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


@pytest.mark.parametrize(("rows", "inputs"), [(1, 8), (1, 6), (1, 9), (3, 8)])
def test_columns_of_a_dense_gradient_stand_side_by_side(rows: int, inputs: int) -> None:
    assert "jam" in steps_of(dense_gradient(rows, inputs, 5))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2)])
def test_other_convolutions_stay_right(kernel: int, stride: int) -> None:
    assert "jam" not in steps_of(input_gradient(Conv2DInput, (4, 5), (4, 3), kernel, stride))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_depthwise_input(kernel: int) -> None:
    for size in ((4, 4), (5, 7), (8, 8)):
        steps = steps_of(input_gradient(DepthwiseInput, size, (3, 3), kernel))
        assert {"stage", "jam", "chain"} <= steps


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (7, 2), (3, 3), (2, 2), (4, 3)])
def test_depthwise_input_with_a_stride(kernel: int, stride: int) -> None:
    for size in ((6, 6), (7, 8), (9, 11)):
        steps = steps_of(input_gradient(DepthwiseInput, size, (3, 3), kernel, stride))
        assert {"jam", "chain"} <= steps
        assert "stage" in steps or kernel < 5


@pytest.mark.parametrize("grad", [DType.I16, DType.I8])
def test_depthwise_input_of_integers(grad: DType) -> None:
    for size, channels, kernel in (((4, 4), 4, 3), ((5, 7), 3, 5), ((8, 8), 8, 7)):
        steps = steps_of(input_gradient(DepthwiseInput, size, (channels, channels), kernel, grad=grad))
        assert {"stage", "jam", "pair_products"} <= steps
        steps = steps_of(input_gradient(DepthwiseInput, size, (channels, channels), kernel, grad=grad, trained=True))
        assert "stage" in steps and "pair_products" not in steps


@pytest.mark.parametrize("grad", [DType.I16, DType.I8])
def test_integers_with_gaps_or_several_filters_stay_right(grad: DType) -> None:
    assert "pair_products" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (3, 3), 3, 2, grad=grad))
    assert "stage" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (2, 4), 3, grad=grad))


def test_depthwise_input_of_several_filters_stays_right() -> None:
    assert "stage" not in steps_of(input_gradient(DepthwiseInput, (4, 4), (2, 4), 3))


def test_depthwise_input_with_float_weights() -> None:
    for stride in (1, 2):
        steps = steps_of(input_gradient(DepthwiseInput, (6, 6), (3, 3), 3, stride, elem=DType.F32))
        assert {"stage", "jam", "chain"} <= steps


@pytest.mark.parametrize("elem", [DType.I8, DType.F32])
def test_weight_gradients(elem: DType) -> None:
    for size, channels in (((4, 4), (8, 6)), ((1, 1), (8, 4)), ((5, 3), (6, 8)), ((2, 2), (12, 3))):
        assert {"jam", "share", "chain"} <= steps_of(weight_gradient(size, channels, elem=elem))


@pytest.mark.parametrize("elem", [DType.I8, DType.F32])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_weight_gradients_of_windows_with_margins(kernel: int, stride: int, elem: DType) -> None:
    for size, channels in (((6, 7), (4, 2)), ((5, 5), (1, 4)), ((4, 6), (3, 5))):
        steps = steps_of(weight_gradient(size, channels, kernel, elem, stride=stride))
        assert {"jam", "chain"} <= steps
        assert ("stage" in steps) == (channels[0] > 1)


def test_channels_that_scratch_does_not_hold_are_read_where_they_are() -> None:
    assert "stage" not in steps_of(weight_gradient((20, 30), (4, 4)))


@pytest.mark.parametrize("elem", [DType.I8, DType.F32])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (7, 2)])
def test_depthwise_weight_gradients(kernel: int, stride: int, elem: DType) -> None:
    for size in ((6, 6), (7, 8), (9, 12)):
        steps = steps_of(weight_gradient(size, (3, 3), kernel, elem, stride=stride, op=DepthwiseWeight))
        assert {"stage", "jam", "chain"} <= steps


def test_depthwise_weight_gradients_that_stay_right() -> None:
    """Several filters of a channel, and a plane that is larger than the scratch."""
    assert "stage" not in steps_of(weight_gradient((6, 6), (2, 4), 3, op=DepthwiseWeight))
    assert "stage" not in steps_of(weight_gradient((40, 40), (1, 1), 3, op=DepthwiseWeight))


@pytest.mark.parametrize("taps", [3, 5])
def test_both_passes_read_one_array_of_filters(taps: int) -> None:
    b, rng = FuncBuilder(), np.random.default_rng(0)
    array = rng.integers(-128, 128, (taps, taps, 8), dtype=np.int8)
    w = b.const(array, layout="HWO")
    window: dict[str, Any] = {"stride": (1, 1), "pad": ((taps // 2,) * 2,) * 2, "dilation": (1, 1)}
    y = b.add(IntDepthwiseConv2D(b.arg(TensorType((1, 6, 6, 8), DType.I8, "NHWC"), "x"), w, **window))
    x = TensorType((1, 6, 6, 8), DType.F32, "NHWC")
    dx = b.add(DepthwiseInput(b.arg(x, "g"), w, size=(6, 6), channels=8, types=x, **window))
    for level in ("balanced", "speed"):
        forward, backward = (schedule(case.kernel, level) for case in cases_of(b.ret(y, dx)))
        packings = [kernel.param("weights").packing for kernel in (forward, backward)]
        one, two = (packing.apply(array).reshape(-1) for packing in packings if packing is not None)
        np.testing.assert_array_equal(one, two)
        assert forward.param("weights").dtype is backward.param("weights").dtype


@pytest.mark.parametrize("grad", [DType.I16, DType.I8])
def test_weight_gradients_of_integers(grad: DType) -> None:
    for size, channels in (((4, 4), (8, 6)), ((5, 3), (6, 8))):
        steps = steps_of(weight_gradient(size, channels, grad=grad))
        assert {"jam", "share"} <= steps and "chain" not in steps
    for stride in (1, 2):
        steps = steps_of(weight_gradient((5, 6), (4, 2), 3, grad=grad, stride=stride))
        assert {"stage", "jam"} <= steps and "chain" not in steps
        steps = steps_of(weight_gradient((7, 8), (3, 3), 3, grad=grad, stride=stride, op=DepthwiseWeight))
        assert {"stage", "jam"} <= steps and "chain" not in steps


@pytest.mark.parametrize("grad", [DType.F32, DType.I16, DType.I8])
def test_both_passes_read_one_array(grad: DType) -> None:
    """Weights are packed alike for the forward pass and for what it hands back."""
    b, rng = FuncBuilder(), np.random.default_rng(0)
    array = rng.integers(-128, 128, (6, 1, 1, 8), dtype=np.int8)
    w = b.const(array, layout="OHWI")
    y = b.add(IntConv2D(b.arg(TensorType((1, 4, 4, 8), DType.I8, "NHWC"), "x"), w))
    x = TensorType((1, 4, 4, 8), DType.F32 if grad is DType.F32 else DType.I32, "NHWC")
    g = b.arg(TensorType((1, 4, 4, 6), grad, "NHWC"), "g")
    attrs: dict[str, Any] = {"size": (4, 4), "stride": (1, 1), "pad": ((0, 0), (0, 0)), "dilation": (1, 1), "types": x}
    forward, backward = (schedule(case.kernel) for case in cases_of(b.ret(y, b.add(Conv2DInput(g, w, **attrs)))))
    packings = [kernel.param("weights").packing for kernel in (forward, backward)]
    one, two = (packing.apply(array).reshape(-1) for packing in packings if packing is not None)
    np.testing.assert_array_equal(one, two)


def test_chain_is_one_instruction_with_two_roundings() -> None:
    kernel = schedule(input_gradient(Conv2DInput, (2, 2), (4, 2)).kernel)
    calls = {e.name for e in all_exprs(kernel.body) if isinstance(e, Call)}
    assert "macf_after" in calls


def test_sums_side_by_side_take_turns() -> None:
    becomes(
        """kernel @k(in x: f32[4], out y: f32[2]) {
          var a: f32 = f32(0.0)
          var b: f32 = f32(0.0)
          for i in 4 {
            a = (a + (x[i] * x[i]))
            b = (b + (x[i] * x[0]))
          }
          y[0] = a
          y[1] = b
        }""",
        "chain()",
        """kernel @k(in x: f32[4], out y: f32[2]) {
          var a: f32 = f32(0.0)
          var b: f32 = f32(0.0)
          for i in 4 {
            a = macf(x[i], x[i], a)
            b = macf_after(x[i], x[0], b, a)
          }
          y[0] = a
          y[1] = b
        }""",
    )


def test_chain_refuses_integers() -> None:
    text = """kernel @k(in x: i8[4], out y: i32[1]) {
      var acc: i32 = 0
      for i in 4 { acc = (acc + (i32(x[i]) * i32(x[i]))) }
      y[0] = acc
    }"""
    refuses(text, "chain()", "it sums no products of f32")
