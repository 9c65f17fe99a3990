"""Gradients of integer graphs against the differences of straight_through.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.train.straight_through import Smooth
from tinyir.diagnostics import IRError
from tinyir.frontends.load import load
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.gradients import Backward
from tinyir.ir.interp import evaluate
from tinyir.ir.ops import int_elementwise as integer
from tinyir.ir.ops.func import Return
from tinyir.ir.ops.int_contraction import IntConv2D
from tinyir.ir.ops.int_window import IntAveragePool2D, IntMaxPool2D, IntSoftmax, IntSum
from tinyir.ir.ops.nn_elementwise import Mul
from tinyir.ir.ops.nn_window import Sum
from tinyir.ir.ops.tensor import Pad, Transpose
from tinyir.ir.types import DType, TensorType
from tinyir.passes.build_backward import differentiate
from tinyir.passes.manager import PassManager, parse_pipeline

Array = npt.NDArray[Any]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
INTEGERS = "select-params,canonicalize,fold-pad,legalize-quant,canonicalize"


def legalized(module: Module) -> Module:
    PassManager(parse_pipeline(INTEGERS)).run(module)
    return module


def gradients_of_step(module: Module) -> tuple[Func, list[str]]:
    """@train_step with the gradients of the parameters as outputs behind the loss, and the parameters' names."""
    PassManager(parse_pipeline("build-backward{rounding=nearest,qas=false}")).run(module)
    step = module.funcs["train_step"]
    ret = step.block.terminator
    updates = [op for op in step.ops if op.opname == "train.sgd_int"]
    results = [ret.operands[0], *(op.operands[1] for op in updates)]
    ret.erase()
    step.block.append(Return(*results))
    return step, [op.result.name.removesuffix(".new") for op in updates]


def test_every_parameter_of_the_digits_network() -> None:
    module = legalized(load(DIGITS / "digits.tflite"))
    main, data = module.main, np.load(DIGITS / "test_set.npz")
    image, label = data["images"][3:4].reshape(1, 8, 8, 1).astype(np.int8), 5
    rng = np.random.default_rng(0)
    params = [
        np.clip(array + rng.integers(-9, 10, array.shape), -127, 127).astype(np.int8)
        if array.dtype == np.int8
        else array
        for array in evaluate(module.funcs["params_init"], [])
    ]
    softmax = next(op for op in main.ops if op.opname == "int.softmax")
    smooth = Smooth(main, softmax.operands[0], [image, *params])

    def loss(logits: Array) -> float:
        z = softmax.attrs["scale"] * logits[0]
        return float(np.log(np.exp(z - z.max()).sum()) + z.max() - z[label])

    step, names = gradients_of_step(module)
    args = [image, np.array(label, np.int32), np.array(0.1, np.float32), *params]
    found_loss, *found = evaluate(step, args)
    np.testing.assert_allclose(found_loss, loss(smooth.base[softmax.operands[0]]), rtol=1e-5)
    assert sorted(names) == sorted(arg.name for arg in main.args[1:])
    for name, gradient in zip(names, found, strict=True):
        arg = next(arg for arg in main.args if arg.name == name)
        assert gradient.shape == arg.type.shape and gradient.dtype == np.float32
        largest = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        for index in [largest, *(tuple(rng.integers(gradient.shape)) for _ in range(3))]:
            wanted = smooth.slope(loss, arg, index, 1e-3)
            np.testing.assert_allclose(gradient[index], wanted, rtol=2e-4, atol=1e-5 * np.abs(gradient).max())


def weighted(make: Any, arrays: list[Array], weights: Array) -> tuple[Func, Value, list[Array]]:
    """The graph of `make`, its result, and the gradients of sum(weights * result)."""
    b = FuncBuilder()
    args = [
        b.arg(TensorType(a.shape, DType.I8 if a.dtype == np.int8 else DType.I32, "NHWC" if a.ndim == 4 else ""))
        for a in arrays
    ]
    y = make(b, *args)
    real = b.add(integer.Dequantize(y, scale=1.0, zero_point=0))
    loss = b.add(Sum(b.add(Mul(real, b.const(weights, layout=y.type.layout))), axes=tuple(range(weights.ndim))))
    found: dict[Value, Value] = {}
    differentiate(Backward(b.block), b.block, loss, args, found.__setitem__)
    func = b.ret(*(found[arg] for arg in args))
    return func, y, evaluate(func, arrays)


def requantized(b: FuncBuilder, acc: Value, factor: float = 0.02, lo: int = -128) -> Value:
    mantissa = np.array(round(factor * 2**35), np.int32)
    return b.add(integer.Requantize(acc, b.const(mantissa), b.const(np.array(-4, np.int32)), zero_point=3, lo=lo))


def int8_sum(b: FuncBuilder, x: Value, z: Value) -> Value:
    return requantized(b, b.add(integer.Add(x, z)))


PAD = ((1, 0), (0, 1))
CASES: dict[str, Any] = {
    "sub": lambda b, x, z: requantized(b, b.add(integer.Sub(x, z))),
    "mul": lambda b, x, z: requantized(b, b.add(integer.Mul(x, z)), 0.0001),
    "clamp": lambda b, x, z: b.add(integer.Clamp(requantized(b, b.add(integer.Add(x, z)), lo=-20), lo=-9, hi=40)),
    "mean": lambda b, x, z: requantized(b, b.add(IntSum(int8_sum(b, x, z), axes=(1, 2))), 0.05),
    "average pool": lambda b, x, z: b.add(IntAveragePool2D(int8_sum(b, x, z), kernel=(2, 2), stride=(2, 1), pad=PAD)),
    "max pool": lambda b, x, z: b.add(IntMaxPool2D(int8_sum(b, x, z), kernel=(2, 3), stride=(1, 2), pad=PAD, lo=-30)),
    "transpose": lambda b, x, z: b.add(Transpose(int8_sum(b, x, z), perm=(0, 2, 1, 3))),
    "pad": lambda b, x, z: b.add(Pad(int8_sum(b, x, z), pads=((0, 0), (1, 2), (0, 0), (0, 1)))),
}


@pytest.mark.parametrize("name", CASES)
def test_rule_agrees_with_differences(name: str) -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.integers(-3000, 3000, (1, 4, 5, 2)).astype(np.int32) for _ in range(2)]
    b = FuncBuilder()
    shape = CASES[name](b, *(b.arg(TensorType(a.shape, DType.I32, "NHWC")) for a in arrays)).type.shape
    weights = rng.normal(size=shape).astype(np.float32)
    func, y, found = weighted(CASES[name], arrays, weights)
    smooth = Smooth(func, y, arrays)
    for arg, gradient in zip(func.args, found, strict=True):
        for index in np.ndindex(gradient.shape):
            wanted = smooth.slope(lambda v: float((weights * v).sum()), arg, index, 1e-2)
            np.testing.assert_allclose(gradient[index], wanted, rtol=1e-4, atol=1e-6)


def test_the_slope_of_a_table_is_that_of_its_function() -> None:
    """A logistic function as a table of int8: each entry is off by up to a half, so the line by 0.3."""
    x = np.arange(-128, 128).astype(np.int8)
    entries = np.round(256 / (1 + np.exp(-x / 32.0)) - 128).clip(-128, 127).astype(np.int8)
    _, _, (found,) = weighted(lambda b, v: b.add(integer.Lookup(v, b.const(entries))), [x], np.ones(256, np.float32))
    share = 1 / (1 + np.exp(-x / 32.0))
    assert np.abs(found - 8 * share * (1 - share))[3:-3].max() < 0.3


def test_softmax_agrees_with_differences() -> None:
    """Of the real softmax, which the integers are within 1/256 of."""
    x, weights = np.array([[-100, 20, 25, 3]], np.int8), np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)
    scale = 0.05
    table = np.round(np.exp(-scale * np.arange(256)) * (2**31 - 1)).astype(np.int32)
    make = lambda b, v: b.add(IntSoftmax(v, b.const(table), scale=scale))  # noqa: E731
    _, _, (found,) = weighted(make, [x], weights)

    def loss(v: Array) -> float:
        e = np.exp(scale * v)
        return float((weights * (256 * e / e.sum() - 128)).sum())

    for i in range(4):
        step = np.eye(4)[[i]] * 1e-3
        assert abs(found[0, i] - (loss(x + step) - loss(x - step)) / 2e-3) < 0.02 * np.abs(found).max()


def test_padding_with_something_else_than_the_zero_point_is_refused() -> None:
    b = FuncBuilder()
    x = b.arg(TensorType((1, 3, 3, 1), DType.I8, "NHWC"))
    w = b.arg(TensorType((2, 3, 3, 1), DType.I8, "OHWI"))
    op = b.insert(IntConv2D(x, w, pad=((1, 1), (1, 1)), pad_value=5))
    loss = b.add(Sum(b.add(integer.Dequantize(op.result, scale=1.0, zero_point=0)), axes=(0, 1, 2, 3)))
    with pytest.raises(IRError, match="pads with 5, and its input has the zero point 0"):
        differentiate(Backward(b.block), b.block, loss, [w], lambda param, grad: None)


def test_weights_with_a_zero_point_are_not_trained() -> None:
    module = parse(
        """func @main(%x: tensor<1x2x!q8<0.5, 3>>) {
          %w = nn.const() {value = dense<1x2xi8, [1, 2]>} : tensor<1x2x!q8<0.25, 7>>
          %y = nn.dense(%x, %w) : tensor<1x1x!q8<0.5, 0>>
          func.return(%y)
        }""",
        "shifted.tir",
    )
    with pytest.raises(IRError, match="trains weights with a zero point other than 0"):
        legalized(module)


def test_parameters_of_an_int8_layer_have_scales() -> None:
    module = load(DIGITS / "digits.tflite")
    PassManager(parse_pipeline("select-params")).run(module)
    x, w, bias = (value.type.quant for value in module.main.ops[0].operands)
    assert isinstance(module.main.ops[0], Op) and x is not None and w is not None and bias is not None
    assert bias.storage == DType.I32 and bias.axis == 0 and set(bias.zero_points) == {0}
    np.testing.assert_allclose(bias.scales, np.array(w.scales) * x.scale, rtol=1e-6)
    assert parse(str(module), "again.tir") == module
