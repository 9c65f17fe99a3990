"""What the ops of gradients and training refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.nn_activation import Softplus
from tinyir.ir.ops.nn_window import LogSoftmax, Sum
from tinyir.ir.ops.tensor import Broadcast
from tinyir.ir.ops.train import Accept, OneHot, Sgd, Turn
from tinyir.ir.types import DType, TensorType

F32, I32 = DType.F32, DType.I32


@pytest.mark.parametrize(
    ("make", "types", "message"),
    [
        (DenseInput, [((2, 3), F32), ((4, 5), F32)], "has 3 elements against 4"),
        (DenseInput, [((3,), F32), ((3, 5), F32)], "needs matrices"),
        (DenseWeight, [((2, 3), F32), ((4, 5), F32)], "has 2 elements against 4"),
        (DenseWeight, [((2, 3), I32), ((2, 5), I32)], "needs a gradient of f32, i8 or i16"),
        (lambda v: OneHot(v, classes=3), [((1,), I32)], "needs one i32"),
        (lambda v: OneHot(v, classes=3), [((), F32)], "needs one i32"),
        (Sgd, [((3,), F32), ((1, 3), F32), ((), F32)], "has a gradient of another shape"),
        (Sgd, [((3,), F32), ((3,), F32), ((1,), F32)], "needs one f32 as rate"),
        (lambda v: Accept(v, states=1), [((3,), F32)], "needs old values, new values and probes"),
        (lambda *v: Accept(*v, states=1), [((3,), F32), ((3,), I32), ((3,), F32)], "has new values of other types"),
        (lambda *v: Accept(*v, states=1), [((3,), F32), ((3,), F32), ((1,), F32)], "has operands of several shapes"),
        (lambda *v: Accept(*v, states=1), [((3,), I32), ((3,), I32), ((3,), I32)], "has probes that are not f32"),
        (lambda *v: Turn(*v, at=0), [((), I32), ((3,), F32), ((3,), I32)], "chooses from"),
        (Softplus, [((3,), I32)], "works on f32"),
        (LogSoftmax, [((3,), I32)], "works on f32"),
        (LogSoftmax, [((), F32)], "needs an axis"),
        (lambda v: Sum(v, axes=(0,)), [((3,), I32)], "works on f32"),
        (lambda v: Sum(v, axes=(1,)), [((3,), F32)], r"cannot reduce the axes \[1\]"),
        (lambda v: Broadcast(v, shape=(2, 4)), [((3,), F32)], "extent 3 does not broadcast to 4"),
    ],
)
def test_refusals(make: Callable[..., Op], types: list[tuple[tuple[int, ...], DType]], message: str) -> None:
    b = FuncBuilder()
    values: list[Value] = [b.arg(TensorType(shape, elem)) for shape, elem in types]
    with pytest.raises(IRError, match=message):
        make(*values).verify()


def test_no_classes() -> None:
    b = FuncBuilder()
    op = OneHot(b.arg(TensorType((), I32)), classes=0)
    with pytest.raises(IRError, match="has 0 classes"):
        op.verify()
