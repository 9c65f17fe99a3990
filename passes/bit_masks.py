"""What gradients of clamps need of a result, as bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.ops.grad import Inside, Mask, Masked, mask_words
from tinyir.ir.rewrite import drop_dead_ops, replace_op
from tinyir.ir.training import STEP, forward_ops
from tinyir.ir.types import DType
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class BitMasks(Pass):
    """Keep one bit of each element of an int8 result, where gradients only ask whether it was limited.

        %y = int.requantize(%acc, ...)       %y = int.requantize(%acc, ...)
        ...                                  %m = grad.mask(%y) {lo = -128, hi = 127}
        %loss = ...                    ->    ...
        %d = grad.inside(%g, %y)             %loss = ...
                                             %d = grad.masked(%g, %m)

    Needs: build-backward.  Leaves: masks right behind what they are of.  Skips results that other gradients read, and
    those that are no larger than their masks.
    """

    name: ClassVar[str] = "bit-masks"

    def run(self, module: Module) -> dict[str, int]:
        func = module.funcs.get(STEP)
        if func is None:
            return {}
        ahead = forward_ops(func)
        made = [_keep_bits(func, value, ahead) for op in func.ops if op in ahead for value in op.results]
        drop_dead_ops(func)
        return {"masks": sum(saved > 0 for saved in made), "bytes less": sum(made)}


def _keep_bits(func: Func, value: Value, ahead: set[Op]) -> int:
    """Let gradients read a mask of `value`. Returns how many bytes less are kept."""
    late = [op for op in value.users if op not in ahead]
    less = value.type.bytes - 4 * mask_words(value.type) if value.type.shape else 0
    if not late or less <= 0 or not all(asks_for_bits(op, value) for op in late):
        return 0
    first, *others = (op for op in late if isinstance(op, Inside))
    if any((op.lo, op.hi) != (first.lo, first.hi) for op in others):
        return 0
    maker = value.defining_op
    assert maker is not None
    b = Builder(func.block, before=func.ops[func.ops.index(maker) + 1], loc=maker.loc)
    bits = b.add(Mask(value, lo=int(first.lo), hi=int(first.hi), name=f"{value.name}.bits" if value.name else ""))
    for op in (first, *others):
        here = Builder(func.block, before=op, loc=op.loc)
        replace_op(op, [here.add(Masked(op.g, bits, types=op.type, name=op.dx.name))])
    return less


def asks_for_bits(op: Op, value: Value) -> bool:
    """Whether `op` only asks where `value`, int8 and of the shape of the gradient, was limited by whole numbers."""
    if not isinstance(op, Inside) or op.y is not value or op.g is value or value.type.elem != DType.I8:
        return False
    whole = op.lo.is_integer() and op.hi.is_integer()
    return whole and op.g.type.shape == value.type.shape and op.g.type.layout == value.type.layout
