"""Layouts: which ops keep their channels outermost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.tensor import Transpose
from tinyir.ir.rewrite import Pattern, drop_dead_ops, rewrite_until_stable
from tinyir.ir.types import layout_order
from tinyir.passes.registry import Pass

DEPTHWISE = frozenset({"nn.depthwise_conv2d", "int.depthwise_conv2d"})
WINDOWED = DEPTHWISE | {
    "nn.conv2d",
    "int.conv2d",
    "nn.average_pool2d",
    "int.average_pool2d",
    "nn.max_pool2d",
    "int.max_pool2d",
}
CHW, HWC = "NCHW", "NHWC"


@dataclass(frozen=True)
class HwcToChw(Pass):
    """Let the chosen ops work on N,C,H,W, and keep the filters of depthwise convolutions as O,H,W.

        %y = int.depthwise_conv2d(%x, %w)     : NHWC
        ->  %a = tensor.transpose(%x)         : NCHW
            %b = int.depthwise_conv2d(%a, %v) : NCHW      %v is %w, repacked at compile time
            %y = tensor.transpose(%b)         : NHWC

    Ops that find their axes by name (convolutions, pools, elementwise ops) then read and write either layout
    themselves, so that the transposes next to them go; opposite transposes cancel. `ops` is "filters" (activations
    stay as they are), "depthwise" or "all" (everything with a window).

    Needs: a layout on every image.  Leaves: function arguments and results as they were.  Skips ops that find their
    axes by position (reshape, pad, concat): a transpose stays in front of them.
    """

    name: ClassVar[str] = "hwc-to-chw"
    ops: Literal["filters", "depthwise", "all"] = "filters"

    def run(self, module: Module) -> dict[str, int]:
        hits: Counter[str] = Counter()
        chosen = {"filters": frozenset[str](), "depthwise": DEPTHWISE, "all": WINDOWED}[self.ops]
        for func in module.funcs.values():
            hits["repacked filters"] += _repack_filters(func)
            hits["ops in CHW"] += sum(_wrap(op) for op in list(func.ops) if op.opname in chosen)
            hits += rewrite_until_stable(func, [cancel_transposes, *_absorbing_patterns(chosen)])
            drop_dead_ops(func)
        return dict(hits)


def _repack_filters(func: Func) -> int:
    """Constant depthwise filters H,W,O -> O,H,W. Returns how many."""
    count = 0
    for op in list(func.ops):
        if op.opname in DEPTHWISE and op.operands[1].type.layout == "HWO":
            weights = constant_of(op.operands[1])
            if weights is not None:
                old = op.operands[1]
                builder = Builder(func.block, before=op, loc=op.loc)
                type = old.type.in_layout("OHW")
                packed = np.ascontiguousarray(weights.transpose(layout_order("HWO", "OHW")))
                op.set_operand(1, builder.const(packed, old.name, type.elem, "OHW"))
                count += 1
    return count


def _wrap(op: Op) -> bool:
    """Put transposes around one op. Returns whether it was in HWC."""
    if op.operands[0].type.layout != HWC or op.type.layout != HWC:
        return False
    assert op.block is not None
    builder = Builder(op.block, before=op, loc=op.loc)
    inner = type(op)(
        _transposed(builder, op.operands[0], CHW),
        *op.operands[1:],
        types=op.type.in_layout(CHW),
        loc=op.loc,
        name=op.result.name,
        **op.attrs,
    )
    builder.insert(inner)
    op.result.replace_uses(_transposed(builder, inner.result, HWC))
    op.erase()
    return True


def _transposed(builder: Builder, value: Value, layout: str) -> Value:
    perm = layout_order(value.type.layout, layout)
    return builder.add(Transpose(value, perm=perm, types=value.type.in_layout(layout)))


def cancel_transposes(op: Op, b: Builder) -> Value | None:
    """transpose(transpose(x)) that ends in the layout of x -> x"""
    match op:
        case Transpose(x=Value(owner=Transpose() as inner)):
            if op.changes_layout() and inner.changes_layout() and op.type == inner.x.type:
                return inner.x
    return None


def _finds_axes_by_name(op: Op) -> bool:
    """Whether an op gives the same result whatever the layouts of its operands and its result."""
    return op.has(Trait.ELEMENTWISE) or op.opname in WINDOWED


def _absorbing_patterns(chosen: frozenset[str]) -> list[Pattern]:
    """Patterns that let an op read or write the other layout itself; the ops in `chosen` keep their own."""

    def sink_transpose(op: Op, b: Builder) -> Value | None:
        """elementwise(transpose(x), transpose(y)) -> transpose(elementwise(x, y)), where every image is transposed
        alike"""
        if not op.has(Trait.ELEMENTWISE) or len(op.results) != 1:
            return None
        images = [value for value in op.operands if len(value.type.layout) == 4]
        sources = [_before_transpose(value) for value in images]
        layouts = {source.type.layout for source in sources if source is not None}
        if None in sources or len(layouts) != 1:
            return None
        moved = dict(zip(images, sources, strict=True))
        layout = layouts.pop()
        inner = type(op)(
            *(moved.get(value) or value for value in op.operands),
            types=op.type.in_layout(layout),
            loc=op.loc,
            name=op.result.name,
            **op.attrs,
        )
        return _transposed(b, b.add(inner), op.type.layout)

    def read_directly(op: Op, b: Builder) -> Value | None:
        """op(transpose(x)) -> op(x). An op in `chosen` reads so from arguments of the function alone."""
        if not _finds_axes_by_name(op) or len(op.results) != 1:
            return None
        sources = [_before_transpose(value) for value in op.operands]
        if op.opname in chosen:
            sources = [s if s is not None and s.defining_op is None else None for s in sources]
        if all(source is None for source in sources):
            return None
        operands = [s if s is not None else v for s, v in zip(sources, op.operands, strict=True)]
        return b.add(type(op)(*operands, types=op.type, loc=op.loc, **op.attrs))

    def write_directly(op: Op, b: Builder) -> Value | None:
        """transpose(op(x)) -> op(x), its result in the other layout. Skips an op with another reader."""
        match op:
            case Transpose(x=Value(owner=Op() as producer)) if op.changes_layout():
                if len(producer.results) != 1 or len(producer.result.uses) != 1 or producer.opname in chosen:
                    return None
                if _finds_axes_by_name(producer):
                    operands, attrs, name = producer.operands, producer.attrs, producer.result.name
                    return b.add(type(producer)(*operands, types=op.type, loc=producer.loc, name=name, **attrs))
        return None

    return [sink_transpose, read_directly, write_directly]


def _before_transpose(value: Value) -> Value | None:
    """What a change of layout was made from."""
    op = value.defining_op
    return op.x if isinstance(op, Transpose) and op.changes_layout() else None
