"""State of a program that trains, added by passes behind `build-backward`."""

from __future__ import annotations

from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.func import Return
from tinyir.ir.ops.random import NextStep, Random
from tinyir.ir.training import rng_index, state_args
from tinyir.passes.build_backward import add_rng


def add_update(func: Func, value: Value) -> None:
    """Let `func` give `value` as the new value of its last parameter."""
    ret = func.block.terminator
    func.attrs["updates"] = (*func.attrs["updates"], len(ret.operands))
    Builder(func.block, before=ret).insert(Return(*ret.operands, value))
    ret.erase()


def random_state(module: Module, step: Func) -> Value:
    """The state of random words; made, with its update, where the step draws none yet."""
    index = rng_index(step)
    if index is not None:
        return state_args(step)[index]
    rng = add_rng(module, step)
    add_update(step, Builder(step.block, before=step.block.terminator).add(NextStep(rng, name=f"{rng.name}.new")))
    return rng


def next_salt(step: Func) -> int:
    """The number of a further draw of the step."""
    return 1 + max((op.salt for op in step.ops if isinstance(op, Random)), default=-1)
