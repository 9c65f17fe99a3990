"""One normal form for the graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyir.diagnostics import fuse_locs
from tinyir.ir.builder import Builder
from tinyir.ir.core import Block, Func, Module, Op, Value
from tinyir.ir.interp import evaluate_op, expanded
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.rewrite import Pattern, blocks_of, drop_dead_ops, replace_op, rewrite_until_stable
from tinyir.passes.arithmetic_patterns import ARITHMETIC_PATTERNS
from tinyir.passes.movement_patterns import MOVEMENT_PATTERNS
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Compute what is constant, merge what is equal, drop what is unused, and undo what cancels.

    Constants: a pure op on constants becomes a constant, unless that is more than `max_growth` bytes larger than they
    are (a padded or repeated constant is cheaper to make than to store). Quantised `nn` ops stay: what they compute
    depends on the numerics that `legalize-quant` chooses.
    Equal ops: pure ops with the same operands, attributes and types become one.
    Patterns: movement_patterns.py (reshape, transpose, pad, slice, concat, changes between quantised and plain types)
    and arithmetic_patterns.py (clamps, conversions, tables, order of operands).

    Needs: nothing.  Leaves: none of these patterns, no unused pure op, every op with all the sources it stands for.
    Skips: ops with a region.
    """

    name: ClassVar[str] = "canonicalize"
    max_growth: int = 1024

    def run(self, module: Module) -> dict[str, int]:
        hits: Counter[str] = Counter()
        for func in module.funcs.values():
            hits += canonicalize(func, self.max_growth)
        return dict(hits)


def canonicalize(func: Func, max_growth: int = 1024) -> Counter[str]:
    """Bring `func` to its normal form. Returns how often each pattern fired."""
    patterns = [_fold_constants(max_growth), *MOVEMENT_PATTERNS, *ARITHMETIC_PATTERNS]
    hits: Counter[str] = Counter()
    while True:
        round_hits = _round(func, patterns)
        if not round_hits:
            return hits
        hits += round_hits


def _round(func: Func, patterns: list[Pattern]) -> Counter[str]:
    """Everything once. Dead ops go before the next round, because patterns count uses."""
    hits = rewrite_until_stable(func, patterns)
    hits["merged_equal_ops"] += sum(_merge_equal_ops(block) for block in blocks_of(func))
    hits["dropped_dead_ops"] += drop_dead_ops(func)
    return +hits


# -- constants --------------------------------------------------------------------------------------------------------


def _fold_constants(max_growth: int) -> Pattern:
    """The pattern op(constants) -> constant."""

    def fold_constants(op: Op, b: Builder) -> list[Value] | None:
        if not _is_foldable(op) or _growth(op) > max_growth:
            return None
        arrays = evaluate_op(op, [value.defining_op.value for value in op.operands])  # type: ignore[union-attr]
        return [
            b.add(Const(value=array, types=old.type, loc=op.loc, name=old.name))
            for array, old in zip(arrays, op.results, strict=True)
        ]

    return fold_constants


def _is_foldable(op: Op) -> bool:
    """Whether `op` is pure, reads constants only, and means the same under every numerics."""
    constant = bool(op.operands) and all(isinstance(value.defining_op, Const) for value in op.operands)
    return constant and op.has(Trait.PURE) and op.region is None and expanded(op, "tflm") is None


def _growth(op: Op) -> int:
    """Bytes that the results are larger than the operands."""
    return sum(v.type.bytes for v in op.results) - sum(v.type.bytes for v in op.operands)


# -- equal ops --------------------------------------------------------------------------------------------------------


def _merge_equal_ops(block: Block) -> int:
    """Replace each pure op by an earlier equal one. Returns how many went.

    The one that stays keeps the sources of both; constants keep their own, for one zero may serve every layer.
    """
    seen: dict[tuple[Any, ...], Op] = {}
    merged = 0
    for op in list(block.ops):
        if not op.has(Trait.PURE) or op.region is not None:
            continue
        first = seen.setdefault(_identity(op), op)
        if first is not op:
            if not isinstance(op, Const):
                first.loc = fuse_locs([first.loc, op.loc])
            replace_op(op, first.results)
            merged += 1
    return merged


def _identity(op: Op) -> tuple[Any, ...]:
    """Equal for ops that compute the same."""
    attrs = tuple(_hashable(value) for value in op.attrs.values())
    return type(op), tuple(op.operands), attrs, tuple(value.type for value in op.results)


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return repr(value) if isinstance(value, float) else value
