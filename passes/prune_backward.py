"""Only what the gradients need is kept from the forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.grad import mask_words
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.training import STEP, Signature, forward_ops
from tinyir.ir.views import view_root
from tinyir.passes.bit_masks import asks_for_bits
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class PruneBackward(Pass):
    """Narrow what lives from the forward pass of @train_step to its gradients.

        %y = nn.dense(%x, %w)                            %y = nn.dense(%x, %w)
        ...                                              %part = tensor.slice(%x)
        %loss = ...                                  ->  ...
        %part = tensor.slice(%x)                         %loss = ...
        %dw = grad.dense_weight(%g, %part)               %dw = grad.dense_weight(%g, %part)

    Where all that reads a value behind the loss are ops on forward values alone, and their results are smaller than it,
    they are computed behind its last forward reader: the trained channels of an input are kept instead of the input.
    A clamp that asks of int8 elements whether they were limited is no hindrance: `bit-masks` comes next.

    Needs: build-backward, whose rules ask for nothing that nobody wants.  Leaves: no op without a way to an output.
    Skips values that other gradients read whole.
    """

    name: ClassVar[str] = "prune-backward"

    def run(self, module: Module) -> dict[str, int]:
        func = module.funcs.get(STEP)
        if func is None:
            return {}
        dropped = drop_dead_ops(func)
        before = saved_bytes(func)
        moved = sum(_narrow(func, value) for value in saved_values(func))
        return {"dropped ops": dropped, "moved ops": moved, "saved bytes less": before - saved_bytes(func)}


def saved_values(func: Func) -> list[Value]:
    """The tensors that live from the forward pass of @train_step to its gradients: inputs, and what is computed up to
    the loss, with a reader behind it. Parameters, constants and numbers passed by value are not among them."""
    ahead = forward_ops(func)
    apart = {func.args[i] for i in (*Signature.of(func).state, *Signature.of(func).by_value)}
    values = [*func.args, *(v for op in func.ops if op in ahead and not isinstance(op, Const) for v in op.results)]
    roots = [view_root(v) for v in values if any(op not in ahead for op in _readers(v))]
    loss = func.outputs[0]
    return [v for v in dict.fromkeys(roots) if v not in apart and v is not loss and not _is_const(v)]


def saved_bytes(func: Func) -> int:
    """The bytes of `saved_values`."""
    return sum(value.type.bytes for value in saved_values(func))


def _is_const(value: Value) -> bool:
    return isinstance(value.defining_op, Const)


def _readers(value: Value) -> list[Op]:
    """The ops that read the value; for a view of it, the readers of the view."""
    found: list[Op] = []
    for op in value.users:
        found += _readers(op.results[0]) if op.has(Trait.VIEW) else [op]
    return found


def _narrow(func: Func, value: Value) -> int:
    """Compute what the gradients want of `value` ahead of the loss, if that is less. Returns how many ops moved."""
    ahead = forward_ops(func)
    masking = [op for op in _readers(value) if op not in ahead and asks_for_bits(op, value)]
    late = [op for op in _readers(value) if op not in ahead and op not in masking]
    forward = {*func.args, *(v for op in ahead for v in op.results)}
    alone = all(v in forward or _is_const(v) for op in late for v in op.operands)
    bits = 4 * mask_words(value.type) if masking else 0
    one_mask = len({(op.attrs["lo"], op.attrs["hi"]) for op in masking}) <= 1
    if not alone or not one_mask or sum(op.type.bytes for op in late) + bits >= value.type.bytes:
        return 0
    for op in late:
        _move_up(func, op, [reader for v in op.operands for reader in _readers(v) if reader in ahead])
    return len(late)


def _move_up(func: Func, op: Op, behind: list[Op]) -> None:
    """Put `op`, and the constants it reads, behind `behind` and what defines its operands."""
    ops = func.block.ops
    consts = [v.defining_op for v in op.operands if v.defining_op is not None and _is_const(v)]
    makers = [v.defining_op for v in op.operands if v.defining_op is not None and not _is_const(v)]
    moved = [*(const for const in consts if len(const.result.users) == 1), op]
    for each in moved:
        ops.remove(each)
    place = 1 + max((ops.index(each) for each in (*behind, *makers)), default=-1)
    ops[place:place] = moved
