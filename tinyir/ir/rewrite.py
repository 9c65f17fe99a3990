"""Rewriting: patterns, and the driver that applies them until nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Block, Func, Op, Value
from tinyir.ir.opdef import Trait

Pattern = Callable[[Op, Builder], Value | Sequence[Value] | None]
"""A local rewrite: looks at an op; returns None, or values to use in place of the op's results, building what they
need with the Builder, which inserts before the op. A pattern changes nothing itself."""

MAX_ROUNDS = 1000


def blocks_of(func: Func) -> Iterator[Block]:
    """The function's block, then the region of each group in it."""
    yield func.block
    for op in list(func.ops):
        if op.region is not None:
            yield op.region


def rewrite_until_stable(func: Func, patterns: Sequence[Pattern], numerics: str = "tflm") -> Counter[str]:
    """Apply `patterns` to every op until none fires. Returns how often each fired.

    Raises IRError with the counts if they do not come to rest, which is a mistake of the patterns.
    """
    hits: Counter[str] = Counter()
    for _ in range(MAX_ROUNDS):
        before = hits.total()
        for block in blocks_of(func):
            for op in list(block.ops):
                if op.block is block:
                    hits.update(_apply_first(op, patterns, numerics))
        if hits.total() == before:
            return hits
    raise IRError(f"rewriting @{func.name} did not come to rest after {MAX_ROUNDS} rounds: {dict(hits)}")


def _apply_first(op: Op, patterns: Sequence[Pattern], numerics: str) -> list[str]:
    assert op.block is not None
    builder = Builder(op.block, before=op, loc=op.loc, numerics=numerics)
    for pattern in patterns:
        replacement = pattern(op, builder)
        if replacement is not None:
            replace_op(op, [replacement] if isinstance(replacement, Value) else list(replacement))
            return [pattern.__name__]
    return []


def replace_op(op: Op, values: Sequence[Value]) -> None:
    """Let `values` stand for the results of `op`, and remove it."""
    for old, new in zip(op.results, values, strict=True):
        if not new.name:
            new.name = old.name
        old.replace_uses(new)
    op.erase()


def drop_dead_ops(func: Func) -> int:
    """Remove pure ops whose results nobody reads. Returns how many."""
    dropped = 0
    for block in blocks_of(func):
        for op in reversed(list(block.ops)):
            if op.has(Trait.PURE) and not any(value.uses for value in op.results):
                op.erase()
                dropped += 1
    return dropped
