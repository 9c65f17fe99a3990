"""Small networks to train."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Op
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.types import DType, TensorType


def dense_network(
    sizes: Sequence[int], activation: type[Op] = Logistic, *, last: type[Op] | None = None, seed: int = 0
) -> Module:
    """Dense layers with an `activation` between them and perhaps one at the end. Parameters are w0, b0, w1, ..."""
    rng = np.random.default_rng(seed)
    b = FuncBuilder()
    value = b.arg(TensorType((1, sizes[0]), DType.F32), "x")
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        w = rng.normal(scale=inputs**-0.5, size=(outputs, inputs)).astype(np.float32)
        bias = np.zeros(outputs, np.float32)
        value = b.add(Dense(value, b.const(w, f"w{k}"), b.const(bias, f"b{k}"), name=f"fc{k}"))
        if k + 2 < len(sizes):
            value = b.add(activation(value, name=f"act{k}"))
    return Module([b.ret(b.add(last(value, name="y")) if last else value)], {"name": "mlp"})
