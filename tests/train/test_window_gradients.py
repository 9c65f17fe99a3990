"""Gradients of convolutions, poolings and resizes against differences; and their kernels against NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.train import window_oracles as oracle
from tests.train.differences import Array, Case, assert_rule_agrees
from tests.train.window_oracles import Pads, Pair
from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Op
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.grad_window import MaxPoolGradient, ResizeNearestGradient, WindowSum
from tinyir.ir.ops.nn_contraction import Conv2D, DepthwiseConv2D
from tinyir.ir.ops.nn_window import AveragePool2D, MaxPool2D
from tinyir.ir.ops.tensor import ResizeNearest
from tinyir.ir.types import DType, TensorType
from tinyir.loops.interp import run_kernel
from tinyir.loops.lower import lower

PADS: Pads = ((1, 1), (0, 2))
GEOMETRIES: tuple[tuple[Pair, Pads, Pair], ...] = (
    ((1, 1), oracle.NO_PADS, (1, 1)),
    ((1, 1), PADS, (1, 1)),
    ((2, 2), PADS, (1, 1)),
    ((3, 2), ((0, 1), (1, 0)), (2, 3)),
    ((2, 1), PADS, (2, 2)),
)


def _convolution(
    name: str, op: type[Op], function: Callable[..., Array], w: tuple[int, ...], outputs: int, layouts: tuple[str, str]
) -> list[Case]:
    cases = []
    for stride, pad, dilation in GEOMETRIES:
        attrs: dict[str, Any] = {"stride": stride, "pad": pad, "dilation": dilation}
        cases.append(
            Case(
                f"{name} {stride} {pad} {dilation}",
                ((2, 6, 6, 2), w, (outputs,)),
                lambda *xs, attrs=attrs: op(*xs, **attrs),
                lambda *xs, attrs=attrs: function(*xs, **attrs),
                (*layouts, "C"),
            )
        )
    return cases


def _pool(name: str, op: type[Op], function: Callable[..., Array]) -> list[Case]:
    cases = []
    for kernel, stride, pad in (((2, 2), (2, 2), oracle.NO_PADS), ((3, 2), (1, 2), ((1, 1), (0, 1)))):
        attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "pad": pad}
        cases.append(
            Case(
                f"{name} {kernel} {stride}",
                ((2, 5, 6, 3),),
                lambda x, attrs=attrs: op(x, **attrs),
                lambda x, attrs=attrs: function(x, **attrs),
                ("NHWC",),
            )
        )
    return cases


CASES = [
    *_convolution("conv", Conv2D, oracle.conv, (3, 2, 3, 2), 3, ("NHWC", "OHWI")),
    *_convolution("depthwise", DepthwiseConv2D, oracle.depthwise, (2, 3, 2), 2, ("NHWC", "HWO")),
    *_convolution("depthwise with a multiplier", DepthwiseConv2D, oracle.depthwise, (2, 2, 6), 6, ("NHWC", "HWO")),
    *_pool("max pool", MaxPool2D, oracle.max_pool),
    *_pool("average pool", AveragePool2D, oracle.average_pool),
    Case(
        "resize to more",
        ((2, 2, 3, 2),),
        lambda x: ResizeNearest(x, size=(4, 9)),
        lambda x: x.repeat(2, 1).repeat(3, 2),
        ("NHWC",),
    ),
    Case(
        "resize to less",
        ((1, 4, 5, 2),),
        lambda x: ResizeNearest(x, size=(2, 3)),
        lambda x: x[:, ::2][:, :, [0, 1, 3]],
        ("NHWC",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule_agrees_with_differences(case: Case) -> None:
    assert_rule_agrees(case)


def image(height: int, width: int, channels: int, elem: DType = DType.F32, layout: str = "NHWC") -> TensorType:
    return TensorType((2, height, width, channels), elem, "NHWC").in_layout(layout)


def _one(types: list[TensorType], make: Callable[..., Op]) -> Func:
    b = FuncBuilder()
    return b.ret(b.add(make(*[b.arg(type) for type in types])))


def kernels() -> list[Func]:
    """Each gradient with a window, over strides, dilations and padding, with float and int8 operands, in two
    layouts."""
    funcs = []
    for (stride, pad, dilation), elem, layout in itertools.product(GEOMETRIES, (DType.F32, DType.I8), ("NHWC", "NCHW")):
        attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "pad": pad}
        extents = [(n + sum(p) - d * 2 - 1) // s + 1 for n, s, d, p in zip((7, 8), stride, dilation, pad, strict=True)]
        g, x = image(extents[0], extents[1], 6, layout=layout), image(7, 8, 3, elem, layout)
        w, filters = TensorType((6, 3, 3, 3), elem, "OHWI"), TensorType((3, 3, 6), elem, "HWO")
        zero = {"zero_point": -3 if elem is DType.I8 else 0}
        funcs += [
            _one([g, w], lambda g, w, a=attrs: Conv2DInput(g, w, size=(7, 8), **a)),
            _one([g, x], lambda g, x, a=attrs, z=zero: Conv2DWeight(g, x, kernel=(3, 3), **a, **z)),
            _one([g, filters], lambda g, w, a=attrs: DepthwiseInput(g, w, size=(7, 8), channels=3, **a)),
            _one([g, x], lambda g, x, a=attrs, z=zero: DepthwiseWeight(g, x, kernel=(3, 3), **a, **z)),
        ]
    for (kernel, stride, pad), elem in itertools.product(
        (((2, 2), (2, 2), oracle.NO_PADS), ((3, 3), (2, 1), ((1, 1), (1, 2)))), (DType.F32, DType.I8)
    ):
        attrs = {"kernel": kernel, "stride": stride, "pad": pad}
        extents = [(n + sum(p) - k) // s + 1 for n, k, s, p in zip((7, 8), kernel, stride, pad, strict=True)]
        g = image(extents[0], extents[1], 3)
        for layout in ("NHWC", "NCHW"):
            x = image(7, 8, 3, elem, layout)
            funcs.append(_one([g, x], lambda g, x, a=attrs: MaxPoolGradient(g, x, **a)))
        funcs.append(_one([g], lambda g, a=attrs: WindowSum(g, size=(7, 8), **a)))
    funcs += [
        _one([image(7, 4, 3)], lambda g: ResizeNearestGradient(g, size=(3, 6))),
        _one([image(6, 8, 3)], lambda g: ResizeNearestGradient(g, size=(3, 4), half_pixel_centers=True)),
    ]
    return funcs


@pytest.mark.parametrize("func", kernels(), ids=lambda func: str(func.ops[0].opname))
def test_the_kernel_gives_the_bits_of_the_reference(func: Func) -> None:
    """With small integers among the numbers, so that poolings meet equal ones."""
    rng = np.random.default_rng(3)
    arrays = {arg: rng.integers(-4, 5, arg.type.shape).astype(arg.type.storage.numpy) for arg in func.args}
    for arg, array in arrays.items():
        if arg is func.args[0] and not isinstance(func.ops[0], MaxPoolGradient):
            arrays[arg] = rng.normal(size=array.shape).astype(np.float32)
    (wanted,) = evaluate(func, list(arrays.values()))
    lowered = lower(func.ops[0], "kernel")
    given: dict[str, Array] = {}
    for name, binding in lowered.bindings.items():
        given[name] = binding if isinstance(binding, np.ndarray) else arrays[binding]
    (found,) = run_kernel(lowered.kernel, given).values()
    assert found.tobytes() == wanted.tobytes()


def test_the_first_of_equal_elements_gets_it_all() -> None:
    func = _one([image(1, 1, 1), image(2, 2, 1)], lambda g, x: MaxPoolGradient(g, x, kernel=(2, 2)))
    x = np.array([[1, 5, 5, 5], [5, 0, 5, 1]], np.float32).reshape(2, 2, 2, 1)
    (dx,) = evaluate(func, [np.full((2, 1, 1, 1), 3, np.float32), x])
    np.testing.assert_array_equal(dx.reshape(2, 4), [[0, 3, 0, 0], [3, 0, 0, 0]])


def test_shapes_that_do_not_fit_are_refused() -> None:
    g, w, x = image(5, 6, 3), TensorType((3, 3, 3, 2), DType.F32, "OHWI"), image(7, 8, 2)
    with pytest.raises(IRError, match="has 6 x 6 windows, the gradient 5 x 6"):
        _one([g, w], lambda g, w: Conv2DInput(g, w, size=(8, 8)))
    with pytest.raises(IRError, match="has weights for 4 channels, the gradient 3"):
        _one([g, TensorType((4, 3, 3, 2), DType.F32, "OHWI")], lambda g, w: Conv2DInput(g, w, size=(7, 8)))
    with pytest.raises(IRError, match="has 3 filters, no multiple of 2 channels"):
        _one([g, x], lambda g, x: DepthwiseWeight(g, x, kernel=(3, 3)))
    with pytest.raises(IRError, match="multiplies with f32 or i8"):
        _one([g, image(7, 8, 2, DType.I32)], lambda g, x: Conv2DWeight(g, x, kernel=(3, 3)))
    with pytest.raises(IRError, match="needs a gradient of"):
        _one([g, image(7, 8, 3)], lambda g, x: MaxPoolGradient(g, x, kernel=(2, 2)))
