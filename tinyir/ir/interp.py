"""Evaluating the graph: each op by its declared reference, or by its expansion. The meaning of the IR, executable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Block, Func, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Fused, Return
from tinyir.ir.shapes import broadcast_axes
from tinyir.ir.types import TensorType, layout_order

Array = npt.NDArray[Any]
Observer = Callable[[Value, Array], None]


def evaluate(
    func: Func, inputs: Sequence[Array], numerics: str = "tflm", observe: Observer | None = None
) -> list[Array]:
    """The outputs of `func` for `inputs` (stored integers, or floats), in NumPy.

    `observe` is called with every value of the function and what it holds. Raises IRError for inputs of the wrong
    number, shape or type, and for ops that have no reference (kernel calls).
    """
    check_inputs(func, inputs)
    return _run_block(func.block, list(inputs), numerics, observe)


def check_inputs(func: Func, inputs: Sequence[Array]) -> None:
    """Raise IRError unless `inputs` are what `func` takes."""
    if len(inputs) != len(func.args):
        raise IRError(f"@{func.name} takes {len(func.args)} inputs, {len(inputs)} given")
    for i, (arg, array) in enumerate(zip(func.args, inputs, strict=True)):
        if array.shape != arg.type.shape or array.dtype != arg.type.storage.numpy:
            raise IRError(
                f"input {i} of @{func.name} is {arg.type.storage} {list(arg.type.shape)}, "
                f"but the array given is {array.dtype} {list(array.shape)}"
            )


def _run_block(block: Block, args: list[Array], numerics: str, observe: Observer | None) -> list[Array]:
    env: dict[Value, Array] = dict(zip(block.args, args, strict=True))
    for op in block.ops:
        operands = [env[value] for value in op.operands]
        if op.has(Trait.TERMINATOR):
            return operands
        results = evaluate_op(op, operands, numerics)
        for value, array in zip(op.results, results, strict=True):
            env[value] = array
            if observe is not None:
                observe(value, array)
    raise AssertionError("a block without a terminator")


def evaluate_op(op: Op, operands: Sequence[Array], numerics: str = "tflm") -> list[Array]:
    """The results of one op for arrays in the layouts of its operands."""
    if isinstance(op, Fused):
        assert op.region is not None
        return _run_block(op.region, list(operands), numerics, None)
    expansion = expanded(op, numerics)
    if expansion is not None:
        return _run_block(expansion.block, list(operands), numerics, None)
    reference = op.reference()
    if reference is None:
        raise op.fail("has no reference to evaluate")
    arrays = prepare_operands(op, operands)
    result = reference.function(*arrays, **reference.kwargs)
    results = list(result) if isinstance(result, tuple) else [result]
    return [
        _from_canonical(array, canonical, value.type)
        for array, canonical, value in zip(results, result_layouts(op), op.results, strict=True)
    ]


def expanded(op: Op, numerics: str) -> Func | None:
    """The expansion of `op` as a function of its operands, or None for a primitive op."""
    func = Func("expansion")
    twins = []
    for value in op.operands:
        constant = value.defining_op
        arg = func.block.add_arg(value.type, value.name)
        twins.append(_copy_constant(func, constant) if constant is not None and constant.opname == "nn.const" else arg)
    builder = Builder(func.block, loc=op.loc, numerics=numerics)
    twin = type(op)(*twins, types=[v.type for v in op.results], loc=op.loc, name=op.results[0].name, **op.attrs)
    values = twin.expand(builder)
    if values is None:
        return None
    twin.drop_operands()
    builder.insert(Return(values))
    return func


def _copy_constant(func: Func, constant: Op) -> Value:
    copy = type(constant)(types=constant.type, name=constant.result.name, loc=constant.loc, **constant.attrs)
    return func.block.append(copy).result


def operand_layouts(op: Op) -> Sequence[str]:
    """The canonical layout of each operand; "" where the reference takes any."""
    canonical = op.canonical_layouts()
    if canonical is None:
        return [""] * len(op.operands)
    return canonical[: len(op.operands)]


def result_layouts(op: Op) -> Sequence[str]:
    """The canonical layout of each result; "" where the reference gives any."""
    canonical = op.canonical_layouts()
    return [""] * len(op.results) if canonical is None else canonical[len(canonical) - len(op.results) :]


def prepare_operands(op: Op, operands: Sequence[Array]) -> list[Array]:
    """Arrays as the reference takes them: in canonical layouts; aligned with the result's axes if elementwise."""
    if op.has(Trait.ELEMENTWISE):
        return [_aligned(a, v.type, op.results[0].type) for a, v in zip(operands, op.operands, strict=True)]
    return [
        a if not layout else a.transpose(layout_order(v.type.layout, layout))
        for a, v, layout in zip(operands, op.operands, operand_layouts(op), strict=True)
    ]


def _aligned(array: Array, operand: TensorType, result: TensorType) -> Array:
    if operand.layout == result.layout and len(operand.shape) == len(result.shape):
        return array
    if not (operand.layout and result.layout):
        return array
    axes = broadcast_axes(operand, result)
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    shape = [1] * len(result.shape)
    for i in order:
        shape[axes[i]] = operand.shape[i]
    return array.transpose(order).reshape(shape)


def _from_canonical(array: Array, canonical: str, type: TensorType) -> Array:
    if canonical and canonical != type.layout:
        array = array.transpose(layout_order(canonical, type.layout))
    return np.asarray(array, order="C")
