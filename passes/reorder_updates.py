"""Parameters are updated as early as their old values allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.training import updated_outputs, zip_updates
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class ReorderUpdates(Pass):
    """Put the op that makes a parameter's new value behind the last one that reads the old value, and no later.

    The new value then takes the place of the old one, and the gradient it is made of dies at once. Outputs that are no
    parameters (the loss) are computed before any update, so that a step can be given up with nothing changed.

    Needs: fuse-ops, which may have moved readers.  Leaves: every update after all readers of its parameter, and after
    the loss.
    """

    name: ClassVar[str] = "reorder-updates"

    def run(self, module: Module) -> dict[str, int]:
        moved = 0
        for func in module.funcs.values():
            moved += sum(_place(func, chain, old) for chain, old in _updates(func))
        return {"moved updates": moved}


def _updates(func: Func) -> list[tuple[list[Op], list[Value]]]:
    """The ops that make new values, each with the views from its results to them, and the old values they replace."""
    found: dict[Op, tuple[list[Op], list[Value]]] = {}
    for old, new in zip_updates(func):
        chain = _with_views(new)
        if old is not None and chain:
            views, replaced = found.setdefault(chain[0], (chain[:1], []))
            views += chain[1:]
            replaced.append(old)
    return list(found.values())


def _place(func: Func, moved: list[Op], old: Sequence[Value]) -> bool:
    """Move an update and its views, behind its operands and the other readers of all of `old`. Returns whether they
    moved."""
    update = moved[0]
    ops = func.block.ops
    before = [ops.index(op) for op in moved]
    readers = [op for value in old for op in _readers(value)]
    needed = [op for op in readers if op is not update and op is not func.block.terminator]
    updates = updated_outputs(func)
    needed += [v.defining_op for v in func.outputs if v not in updates and v.defining_op is not None]
    needed += [value.defining_op for value in update.operands if value.defining_op is not None]
    for op in moved:
        ops.remove(op)
    place = 1 + max((ops.index(op) for op in needed), default=-1)
    ops[place:place] = moved
    return [ops.index(op) for op in moved] != before


def _with_views(value: Value) -> list[Op]:
    """The op that computes `value`, and the views from its result to `value`."""
    chain: list[Op] = []
    op = value.defining_op
    while op is not None:
        chain.insert(0, op)
        op = op.operands[0].defining_op if op.has(Trait.VIEW) else None
    return chain


def _readers(value: Value) -> list[Op]:
    """The ops that read `value`, or a view of it."""
    found: list[Op] = []
    for op in value.users:
        found += [op, *_readers(op.result)] if op.has(Trait.VIEW) else [op]
    return found
