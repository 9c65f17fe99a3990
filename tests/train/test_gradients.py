"""Every gradient rule against central differences of the op in double precision, written here from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.differences import Array, Case, assert_rule_agrees, gradients
from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder, FuncBuilder
from tinyir.ir.gradients import Backward, gradient
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.nn_activation import HardSwish, LeakyRelu, Logistic, Relu, Softplus, Tanh
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_elementwise import Add, Clamp, Mul, Sub
from tinyir.ir.ops.nn_window import LogSoftmax, Mean, Softmax, Sum
from tinyir.ir.ops.tensor import Broadcast, Concat, Pad, Reshape, Slice, Transpose
from tinyir.ir.ops.train import OneHot
from tinyir.ir.types import DType, TensorType


def _softmax(x: Array, beta: float = 1.0) -> Array:
    e = np.exp(beta * x - (beta * x).max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


CASES = [
    Case("dense", ((2, 5), (3, 5), (3,)), Dense, lambda x, w, c: x @ w.T + c),
    Case("dense without bias", ((1, 5), (3, 5)), Dense, lambda x, w: x @ w.T),
    Case("add", ((2, 3), (2, 3)), Add, np.add),
    Case("add a row", ((2, 3), (3,)), Add, np.add),
    Case("sub a column", ((2, 3), (2, 1)), Sub, np.subtract),
    Case("sub from a number", ((), (2, 3)), Sub, np.subtract),
    Case("mul", ((2, 3), (2, 3)), Mul, np.multiply),
    Case("mul a row", ((4, 2, 3), (3,)), Mul, np.multiply),
    Case("relu", ((4, 6),), Relu, lambda x: np.maximum(x, 0)),
    Case("relu6", ((4, 6),), lambda x: Relu(x, hi=0.5), lambda x: np.clip(x, 0, 0.5)),
    Case("leaky relu", ((4, 6),), lambda x: LeakyRelu(x, alpha=0.25), lambda x: np.where(x > 0, x, 0.25 * x)),
    Case("hard swish", ((8, 12),), HardSwish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    Case("clamp", ((4, 6),), lambda x: Clamp(x, lo=-0.5, hi=0.5), lambda x: np.clip(x, -0.5, 0.5)),
    Case("logistic", ((4, 6),), Logistic, lambda x: 1 / (1 + np.exp(-x))),
    Case("tanh", ((4, 6),), Tanh, np.tanh),
    Case("softplus", ((4, 6),), Softplus, lambda x: np.log1p(np.exp(x))),
    Case("softmax", ((2, 5),), Softmax, _softmax),
    Case("softmax with a factor", ((2, 5),), lambda x: Softmax(x, beta=0.5), lambda x: _softmax(x, 0.5)),
    Case("log softmax", ((2, 5),), LogSoftmax, lambda x: np.log(_softmax(x))),
    Case("sum", ((2, 3, 4),), lambda x: Sum(x, axes=(0, 2)), lambda x: x.sum((0, 2))),
    Case("sum of all", ((2, 3),), lambda x: Sum(x, axes=(0, 1)), lambda x: x.sum()),
    Case("mean", ((2, 3, 4),), lambda x: Mean(x, axes=(1,), keep_dims=True), lambda x: x.mean(1, keepdims=True)),
    Case("reshape", ((2, 6),), lambda x: Reshape(x, shape=(3, 4)), lambda x: x.reshape(3, 4)),
    Case("transpose", ((2, 3, 4),), lambda x: Transpose(x, perm=(2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
    Case("pad", ((2, 3),), lambda x: Pad(x, pads=((1, 0), (2, 1)), value=2), lambda x: np.pad(x, ((1, 0), (2, 1)))),
    Case("concat", ((2, 3), (2, 1)), lambda *xs: Concat(*xs, axis=1), lambda *xs: np.concatenate(xs, 1)),
    Case("concat of one twice", ((2, 3),), lambda x: Concat(x, x, axis=0), lambda x: np.concatenate([x, x])),
    Case("slice", ((4, 5),), lambda x: Slice(x, begin=(1, 0), size=(2, 3), stride=(1, 1)), lambda x: x[1:3, :3]),
    Case(
        "slice in steps and backwards",
        ((1, 6, 7, 2),),
        lambda x: Slice(x, begin=(0, 4, 1, 1), size=(1, 2, 3, 1), stride=(1, -3, 2, 1)),
        lambda x: x[:, 4::-3][:, :, 1:6:2, 1:],
        ("NHWC",),
    ),
    Case("broadcast", ((3, 1),), lambda x: Broadcast(x, shape=(2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4))),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule_agrees_with_differences(case: Case) -> None:
    assert_rule_agrees(case)


def test_a_value_read_twice_gets_the_sum() -> None:
    x = np.array([[1.0, -2.0, 3.0]], np.float32)
    (found,) = gradients(lambda v: Mul(v, v), [x], np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(found, 2 * x)


def test_what_is_not_wanted_is_not_built() -> None:
    b = FuncBuilder()
    x, w = (b.arg(TensorType(shape, DType.F32)) for shape in ((1, 4), (2, 4)))
    op = b.insert(Dense(x, w))
    before = len(b.block.ops)
    dx, dw = gradient(op, Backward(b.block), b.const(np.ones((1, 2), np.float32)), (False, True))
    built = [op for op in b.block.ops[before:] if not isinstance(op, Const)]
    assert dx is None and dw is not None and [op.opname for op in built] == ["grad.dense_weight"]


def test_an_op_without_a_rule_is_named() -> None:
    b = FuncBuilder()
    label = b.arg(TensorType((), DType.I32))
    op = b.insert(OneHot(label, classes=3))
    with pytest.raises(IRError, match=r"`train.one_hot` has no gradient rule"):
        gradient(op, Backward(b.block), op.result, (True,))


def test_the_builder_sums_what_was_repeated() -> None:
    b = Builder(FuncBuilder().block)
    g = b.const(np.ones((2, 3), np.float32))
    backward = Backward(b.block)
    assert backward.sum_to(g, g.type) is g
    assert backward.sum_to(g, TensorType((3,), DType.F32)).type.shape == (3,)
