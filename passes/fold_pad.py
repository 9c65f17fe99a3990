"""Padding in the convolution instead of in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.diagnostics import fuse_locs
from tinyir.ir.builder import Builder
from tinyir.ir.core import Module, Op, Value
from tinyir.ir.ops.int_contraction import IntConv2D, IntDepthwiseConv2D
from tinyir.ir.ops.nn_contraction import Conv2D, DepthwiseConv2D
from tinyir.ir.ops.tensor import Pad, Storage
from tinyir.ir.ops.windows import Pads
from tinyir.ir.rewrite import drop_dead_ops, rewrite_until_stable
from tinyir.passes.registry import Pass

Convolution = Conv2D | DepthwiseConv2D | IntConv2D | IntDepthwiseConv2D


@dataclass(frozen=True)
class FoldPad(Pass):
    """tensor.pad(x), conv2d(.) {pad = p} -> conv2d(x) {pad = p + margins}; depthwise convolutions too, and through
    quant.storage.

    Needs: nothing.  Leaves: no padded copy of an image whose only readers are convolutions that can pad.
    Skips margins along N or C; margins of another value than the convolution's own padding (the zero point,
    `pad_value`, or 0.0); and a pad with another reader, which needs the padded image in memory anyway.
    """

    name: ClassVar[str] = "fold-pad"

    def run(self, module: Module) -> dict[str, int]:
        folded = 0
        for func in module.funcs.values():
            folded += rewrite_until_stable(func, [fold_pad]).total()
            drop_dead_ops(func)
        return {"folded_pads": folded}


def fold_pad(op: Op, b: Builder) -> Value | None:
    """conv2d(pad(x)) -> conv2d(x) {pad}"""
    if not isinstance(op, Convolution):
        return None
    pad = _padding_of(op.x)
    if pad is None or not all(_can_take(reader, pad) for reader in _readers(pad.y)):
        return None
    x = pad.x if isinstance(op.x.owner, Pad) else b.add(Storage(pad.x))
    attrs = {**op.attrs, "pad": _sum(op.pad, _margins(pad))}
    loc = fuse_locs([pad.loc, op.loc])
    return b.add(type(op)(x, *op.operands[1:], types=op.type, loc=loc, name=op.y.name, **attrs))


def _padding_of(value: Value) -> Pad | None:
    """The pad that `value` is, or is the storage of."""
    match value.owner:
        case Pad() as pad:
            return pad
        case Storage(x=Value(owner=Pad() as pad)):
            return pad
    return None


def _readers(value: Value) -> list[Op]:
    """What reads `value`, looking through quant.storage."""
    return [reader for user in value.users for reader in (_readers(user.y) if isinstance(user, Storage) else [user])]


def _can_take(reader: Op, pad: Pad) -> bool:
    """Whether `reader` is a convolution of the padded image that can pad by itself."""
    if not isinstance(reader, Convolution) or _padding_of(reader.x) is not pad:
        return False
    if any(_padding_of(value) is pad for value in reader.operands[1:]):
        return False
    along = {letter for letter, margin in zip(pad.type.layout, pad.pads, strict=True) if margin != (0, 0)}
    return along <= {"H", "W"} and pad.value == _own_padding(reader)


def _own_padding(conv: Convolution) -> float | None:
    """What the margins of `conv` read as, as stored; None where that is not one number."""
    if isinstance(conv, IntConv2D | IntDepthwiseConv2D):
        return conv.pad_value
    quant = conv.x.type.quant
    if quant is None:
        return 0.0
    return None if quant.per_axis else quant.zero_point


def _margins(pad: Pad) -> Pads:
    return pad.pads[pad.type.axis("H")], pad.pads[pad.type.axis("W")]


def _sum(a: Pads, b: Pads) -> Pads:
    (top, bottom), (left, right) = a
    return (top + b[0][0], bottom + b[0][1]), (left + b[1][0], right + b[1][1])
