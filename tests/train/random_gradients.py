"""Random float graphs with the gradients of their inputs and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.strategies import graph_case
from tinyir.diagnostics import IRError
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.clone import clone_func
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.gradients import Backward
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import Return
from tinyir.ir.ops.nn_elementwise import Add, Mul
from tinyir.ir.ops.nn_window import Sum
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.training import INIT
from tinyir.passes.build_backward import differentiate
from tinyir.passes.select_params import SelectParams

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GradientCase:
    """`forward` gives the outputs of a model for `inputs`, which are images and weights; `backward` the gradients of
    the sum of `weights` times those outputs by each input that it depends on, whose places are `wrt`."""

    forward: Func
    backward: Func
    inputs: list[Array]
    weights: list[Array]
    wrt: list[int]


def gradient_case(seed: int) -> GradientCase:
    """The case of that seed."""
    case = graph_case(seed, quantized=False)
    module = parse_tflite(case.model, "case")
    values: list[Array] = []
    try:
        SelectParams().run(module)
        values = evaluate(module.funcs[INIT], [])
    except IRError:
        pass  # a model without weights
    forward = module.main
    rng = np.random.default_rng(seed)
    weights = [np.asarray(rng.normal(size=y.type.shape), np.float32) for y in forward.outputs]
    backward, wrt = _differentiated(clone_func(forward), weights)
    return GradientCase(forward, backward, [*case.inputs, *values], weights, wrt)


def _differentiated(func: Func, weights: list[Array]) -> tuple[Func, list[int]]:
    outputs = func.outputs
    func.block.terminator.erase()
    b = Backward(func.block)
    loss = b.number(0)
    for y, weight in zip(outputs, weights, strict=True):
        term = b.add(Mul(y, b.const(weight, layout=y.type.layout)))
        loss = b.add(Add(loss, b.add(Sum(term, axes=tuple(range(weight.ndim))))))
    reaching = _reaching(loss)
    wrt = [arg for arg in func.args if arg in reaching]
    found: dict[Value, Value] = {}
    differentiate(b, func.block, loss, wrt, found.__setitem__)
    b.insert(Return(*(found[arg] for arg in wrt)))
    drop_dead_ops(func)
    func.attrs.clear()
    return func, [func.args.index(arg) for arg in wrt]


def _reaching(loss: Value) -> set[Value]:
    """The values that `loss` is computed from."""
    seen, todo = {loss}, [loss]
    while todo:
        op = todo.pop().defining_op
        for value in op.operands if op is not None else ():
            if value not in seen:
                seen.add(value)
                todo.append(value)
    return seen


def as_module(case: GradientCase) -> Module:
    """The gradients as a program."""
    return Module([case.backward], {"name": "gradients"})
