"""The verifier: what every pass may assume and must leave.

Checked: each value is defined before it is used, use lists are right, types are what the op infers, `verify` of every
op holds, and the block ends in its terminator.
"""

from __future__ import annotations

from math import isfinite

from tinyir.diagnostics import UNKNOWN, IRError
from tinyir.ir.core import Block, Func, Module, Op, Symbol, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.types import TensorType


def verify_module(module: Module) -> None:
    """Raise IRError at the first op that breaks a rule."""
    for func in module.funcs.values():
        verify_func(func)
        for op in func.walk():
            _verify_symbols(module, op)


def verify_func(func: Func) -> None:
    """Raise IRError at the first op of `func` that breaks a rule."""
    if not func.ops or func.ops[-1].opname != "func.return":
        raise IRError(f"@{func.name} must end in func.return")
    for i, arg in enumerate(func.args):
        problem = _scale_problem(arg.type)
        if problem:
            raise IRError(f"argument {i} of @{func.name} {problem}")
    _verify_block(func.block)


def _verify_block(block: Block) -> None:
    defined: set[Value] = set(block.args)
    for position, op in enumerate(block.ops):
        _verify_operands(op, defined)
        _verify_types(op)
        op.verify()
        if op.region is not None:
            _verify_block(op.region)
        if op.has(Trait.TERMINATOR) and position != len(block.ops) - 1:
            raise op.fail("ends a block, but other ops follow it")
        defined.update(op.results)
    if not block.ops or not block.ops[-1].has(Trait.TERMINATOR):
        raise IRError(
            "a block must end in func.return or kernel.yield", loc=block.ops[-1].loc if block.ops else UNKNOWN
        )


def _verify_operands(op: Op, defined: set[Value]) -> None:
    for index, value in enumerate(op.operands):
        if value not in defined:
            raise op.fail(f"reads operand {index} before it is defined, or from another block")
        assert any(use.op is op and use.index == index for use in value.uses), f"stale use list at {op!r}"
    for value in op.results:
        for use in value.uses:
            assert use.op.operands[use.index] is value, f"stale use list of the result of {op!r}"


def _verify_types(op: Op) -> None:
    inferred = op.inferred_types()
    actual = tuple(value.type for value in op.results)
    if inferred != actual:
        have = ", ".join(str(t) for t in actual)
        want = ", ".join(str(t) for t in inferred)
        raise op.fail(f"has the type {have}, but its operands and attributes give {want}")
    for type in actual:
        problem = _scale_problem(type)
        op.require(not problem, problem)


def _scale_problem(type: TensorType) -> str:
    """What is wrong with the scales and zero points of a type; "" if they are scales and zero points, one for the
    tensor or one for each index of the axis."""
    quant = type.quant
    if quant is None:
        return ""
    if not all(isfinite(scale) and scale > 0 for scale in quant.scales):
        return f"has a scale that is not a finite number above 0: {type}"
    least, most = quant.storage.limits
    if not all(least <= zero_point <= most for zero_point in quant.zero_points):
        return f"has a zero point outside of {quant.storage}: {type}"
    if quant.axis is None:
        return ""
    if quant.axis >= len(type.shape):
        return f"has scales along axis {quant.axis}, which {type} does not have"
    if len(quant.scales) != type.shape[quant.axis]:
        return f"has {len(quant.scales)} scales for the {type.shape[quant.axis]} indices of axis {quant.axis} of {type}"
    return ""


def _verify_symbols(module: Module, op: Op) -> None:
    for value in op.attrs.values():
        if isinstance(value, Symbol) and value.name not in module.kernels:
            raise op.fail(f"refers to {value}, which the module does not define")
