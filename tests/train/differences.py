"""Gradients by rule, and by central differences of functions in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op, Value
from tinyir.ir.gradients import Backward
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.nn_elementwise import Mul
from tinyir.ir.ops.nn_window import Sum
from tinyir.ir.types import DType, TensorType
from tinyir.passes.build_backward import differentiate

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """An op on operands of `shapes`, in `layouts` where axes have names, and the same function in NumPy."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    make: Callable[..., Op]
    oracle: Callable[..., Array]
    layouts: tuple[str, ...] = ()


def gradients(
    make: Callable[..., Op], arrays: list[Array], weights: Array, layouts: tuple[str, ...] = ()
) -> list[Array]:
    """The gradients of sum(weights * op(arrays)), by the rules."""
    b = FuncBuilder()
    named = layouts or ("",) * len(arrays)
    args = [b.arg(TensorType(a.shape, DType.F32, n)) for a, n in zip(arrays, named, strict=True)]
    y = b.add(make(*args))
    weighted = b.add(Mul(y, b.const(weights, layout=y.type.layout)))
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


def assert_rule_agrees(case: Case) -> None:
    """Gradients of all operands at random ones, against differences."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in case.shapes]
    weights = np.asarray(rng.normal(size=np.shape(case.oracle(*arrays))), np.float32)
    for at, found in enumerate(gradients(case.make, arrays, weights, case.layouts)):
        wanted = differences(case.oracle, arrays, weights, at)
        assert found.shape == arrays[at].shape and found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=4e-6)
