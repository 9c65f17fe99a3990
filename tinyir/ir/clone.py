"""A copy of a module that shares nothing that passes change: what a reproducer shows after a pass has failed."""

from __future__ import annotations

import copy

from tinyir.ir.core import Block, Func, Module, Op, Value


def clone_module(module: Module) -> Module:
    """An equal module. Types, attribute values and arrays are shared, for they are never changed in place.

    The IR need not be valid, but operands must be defined before they are used.
    """
    twin = Module((clone_func(func) for func in module.funcs.values()), dict(module.attrs))
    twin.kernels = dict(module.kernels)
    return twin


def clone_func(func: Func) -> Func:
    """An equal function."""
    return Func(func.name, _clone_block(func.block), dict(func.attrs))


def _clone_block(block: Block) -> Block:
    twin = Block([arg.type for arg in block.args], [arg.name for arg in block.args])
    env = dict(zip(block.args, twin.args, strict=True))
    for op in block.ops:
        twin.append(_clone_op(op, env))
    return twin


def _clone_op(op: Op, env: dict[Value, Value]) -> Op:
    """A copy of `op` that reads what `env` says; its results are added to `env`. `infer` is not run again."""
    twin = copy.copy(op)
    twin.block = None
    twin.attrs = dict(op.attrs)
    twin.operands = []
    for value in op.operands:
        twin._append_operand(env[value])
    twin.results = [Value(value.type, twin, value.index, value.name) for value in op.results]
    if op.region is not None:
        twin.region = _clone_block(op.region)
        twin.region.parent_op = twin
    env.update(zip(op.results, twin.results, strict=True))
    return twin
