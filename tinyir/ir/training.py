"""The functions of a module that trains, and what their attributes say.

A module for training holds three functions over the same list of parameters, its *state*:

    @main(x, p0, p1, ...) -> y                              {state = [1, 2, ...]}
    @train_step(x, target, lr, p0, p1, ...) -> loss, q0, q1, ...
                                {state = [3, 4, ...], updates = [1, 2, ...], by_value = [1, 2], classes = 10, rng = 1}
    @params_init() -> p0, p1, ...                           {updates = [0, 1, ...]}

`state[k]` is the argument that parameter k comes in, `updates[k]` the output that is its new value. The graph is
functional: a parameter's old and new value are two values. Memory planning puts both in the same place, the caller's.
`by_value` are the arguments that C takes by value; `classes` bounds a label, which is then the second argument; `rng`
is the parameter that random words follow from, where any are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tinyir.ir.core import Func, Module, Op, Value

Rounding = Literal["stochastic", "nearest", "truncate"]
"""How a step becomes whole numbers, where parameters are integers."""

STEP, INIT = "train_step", "params_init"
TARGET, RATE = 1, 2
"""Arguments of @train_step."""


@dataclass(frozen=True)
class Signature:
    """What the attributes of a function say of its arguments and outputs."""

    state: tuple[int, ...]
    updates: tuple[int, ...]
    by_value: tuple[int, ...]

    @staticmethod
    def of(func: Func) -> Signature:
        return Signature(*(tuple(func.attrs.get(name, ())) for name in ("state", "updates", "by_value")))


def state_args(func: Func) -> list[Value]:
    """The arguments that parameters come in, in the order of the parameters."""
    return [func.args[i] for i in Signature.of(func).state]


def rng_index(func: Func) -> int | None:
    """Which parameter holds what random words follow from (a seed, and the number of steps), if any does."""
    found = func.attrs.get("rng")
    return None if found is None else int(found)


def updated_outputs(func: Func) -> list[Value]:
    """The outputs that are new values of parameters, in the order of the parameters."""
    return [func.outputs[i] for i in Signature.of(func).updates]


def arena_args(func: Func) -> list[Value]:
    """The arguments that have a place in the arena: neither state nor passed by value."""
    signature = Signature.of(func)
    apart = {*signature.state, *signature.by_value}
    return [arg for i, arg in enumerate(func.args) if i not in apart]


def zip_updates(func: Func) -> list[tuple[Value | None, Value]]:
    """For each parameter that the function gives a new value: the old value (None in @params_init) and the new one."""
    new = updated_outputs(func)
    old: list[Value | None] = [*state_args(func)] or [None] * len(new)
    return list(zip(old, new, strict=True)) if new else []


def forward_ops(func: Func) -> set[Op]:
    """The ops of @train_step up to the one that computes the loss."""
    last = func.outputs[0].defining_op
    return set(func.ops[: 1 + func.ops.index(last)]) if last is not None else set()


def entries(module: Module) -> list[Func]:
    """The functions that a program offers its caller, @main first."""
    return [module.main, *(module.funcs[name] for name in (STEP, INIT) if name in module.funcs)]


def is_training(module: Module) -> bool:
    """Whether the module has parameters that the caller keeps."""
    return INIT in module.funcs
