"""Every gradient rule against central differences of the op in double precision, written here from its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder, FuncBuilder
from tinyir.ir.core import Op, Value
from tinyir.ir.gradients import Backward, gradient
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.nn_activation import Logistic, Relu, Softplus, Tanh
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_elementwise import Add, Clamp, Mul, Sub
from tinyir.ir.ops.nn_window import LogSoftmax, Mean, Softmax, Sum
from tinyir.ir.ops.tensor import Broadcast, Reshape, ResizeNearest
from tinyir.ir.types import DType, TensorType
from tinyir.passes.build_backward import differentiate

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """An op on operands of `shapes`, and the same function in NumPy."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    make: Callable[..., Op]
    oracle: Callable[..., Array]


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
    Case("broadcast", ((3, 1),), lambda x: Broadcast(x, shape=(2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4))),
]


def gradients(make: Callable[..., Op], arrays: list[Array], weights: Array) -> list[Array]:
    """The gradients of sum(weights * op(arrays)), by the rules."""
    b = FuncBuilder()
    args = [b.arg(TensorType(array.shape, DType.F32)) for array in arrays]
    y = b.add(make(*args))
    weighted = b.add(Mul(y, b.const(weights)))
    loss = b.add(Sum(weighted, axes=tuple(range(weights.ndim)))) if weights.ndim else weighted
    found: dict[Value, Value] = {}
    differentiate(Backward(b.block), b.block, loss, args, found.__setitem__)
    func = b.ret(*(found[arg] for arg in args))
    return evaluate(func, arrays)


def differences(function: Callable[..., Array], arrays: list[Array], weights: Array, at: int) -> Array:
    """Central differences of sum(weights * function(arrays)) by each element of one array."""
    step = 1e-5
    result = np.zeros(arrays[at].shape)
    for index in np.ndindex(result.shape):
        sides = []
        for sign in (1, -1):
            moved = [array.astype(np.float64) for array in arrays]
            moved[at][index] += sign * step
            sides.append(float((weights * function(*moved)).sum()))
        result[index] = (sides[0] - sides[1]) / (2 * step)
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule_agrees_with_differences(case: Case) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in case.shapes]
    weights = np.asarray(rng.normal(size=np.shape(case.oracle(*arrays))), np.float32)
    for at, found in enumerate(gradients(case.make, arrays, weights)):
        wanted = differences(case.oracle, arrays, weights, at)
        assert found.shape == arrays[at].shape and found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


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
    x = b.arg(TensorType((1, 2, 2, 1), DType.F32, "NHWC"))
    op = b.insert(ResizeNearest(x, size=(4, 4)))
    with pytest.raises(IRError, match=r"`tensor.resize_nearest` has no gradient rule"):
        gradient(op, Backward(b.block), op.result, (True,))


def test_the_builder_sums_what_was_repeated() -> None:
    b = Builder(FuncBuilder().block)
    g = b.const(np.ones((2, 3), np.float32))
    backward = Backward(b.block)
    assert backward.sum_to(g, g.type) is g
    assert backward.sum_to(g, TensorType((3,), DType.F32)).type.shape == (3,)
