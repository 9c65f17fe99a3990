"""A hash by which checkpoints know the model they belong to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.core import Func, Module
from tinyir.ir.ops.func import Const
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class StampParams(Pass):
    """Note what the trained parameters belong to: attribute `state_sha256` of the module.

    It is the hash of the ops of all functions, their types, and every constant, frozen or the initial value of a
    parameter. A checkpoint of another model, another choice of parameters or another seed thus differs. What comes
    later (the numerics, the loss, the optimiser, the schedules) does not count: it leaves the meaning of weights alone.

    Needs: select-params, right before it.  Leaves: the graph as it was.
    """

    name: ClassVar[str] = "stamp-params"

    def run(self, module: Module) -> dict[str, int]:
        found = hashlib.sha256()
        for func in module.funcs.values():
            _add(found, func)
        module.attrs["state_sha256"] = found.hexdigest()
        return {}


def _add(found: hashlib._Hash, func: Func) -> None:
    number = {value: i for i, value in enumerate(func.args)}
    lines = [func.name, *(f"{arg.name} {arg.type}" for arg in func.args)]
    for op in func.ops:
        attrs = {name: value for name, value in sorted(op.attrs.items()) if not isinstance(op, Const)}
        types = [str(value.type) for value in op.results]
        lines.append(f"{op.opname} {[number[value] for value in op.operands]} {attrs} {types}")
        if isinstance(op, Const):
            lines.append(hashlib.sha256(op.value.tobytes()).hexdigest())
        for value in op.results:
            number[value] = len(number)
    found.update("\n".join(lines).encode())
