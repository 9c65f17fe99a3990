"""Random schedule steps for a kernel, as text: most of them nearly fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from tinyir.loops.ir import For, Kernel, Load
from tinyir.loops.schedule import PRIMITIVES
from tinyir.loops.walk import all_exprs, loops_of

NAMES = ("q", "q_0", "q_1", "r", "u", "v", "i_0", "k_0", "acc_0")
T = TypeVar("T")


class Steps:
    """Draws steps for a kernel."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def number(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def pick(self, items: Sequence[T]) -> T:
        return items[self.number(0, len(items) - 1)]

    def step(self, kernel: Kernel) -> str:
        """One step, such as `split(i, 2, q, r)`; whether it can be done is another matter."""
        name = self.pick(sorted(PRIMITIVES))
        words = getattr(self, f"_{name}")(_Shape(kernel))
        return f"{name}({', '.join(map(str, words))})"

    def disturbed(self, recipe: Sequence[str]) -> Iterator[str]:
        """The steps of a recipe, some left out or done twice; "" where a step of any kind is to come in between."""
        for step in recipe:
            chance = self.number(1, 12)
            if chance <= 2:
                yield ""
            if chance != 12:
                yield step
            if chance == 11:
                yield step

    def shuffled(self, items: Sequence[str]) -> list[str]:
        return [str(item) for item in self.rng.permutation(list(items))]

    def _divisor(self, extent: int) -> int:
        return self.pick([n for n in range(1, extent + 1) if extent % n == 0])

    def _split(self, k: _Shape) -> list[object]:
        var = self.pick(k.loops)
        return [var, self._divisor(k.extent(var)), self.pick(NAMES), self.pick(NAMES)]

    def _fuse(self, k: _Shape) -> list[object]:
        return [*self.pick(k.pairs), self.pick(NAMES)]

    def _reorder(self, k: _Shape) -> list[object]:
        chain = k.chain(self.pick(k.loops))
        return [*self.shuffled(chain[: self.number(1, len(chain))])]

    def _tile(self, k: _Shape) -> list[object]:
        outer, inner = self.pick(k.pairs)
        return [outer, inner, self._divisor(k.extent(outer)), self._divisor(k.extent(inner))]

    def _var(self, k: _Shape) -> list[object]:
        return [self.pick(k.loops)]

    _unroll = _jam = _unswitch = _var

    def _hoist(self, k: _Shape) -> list[object]:
        return [self.pick(k.loops), *self.shuffled(k.buffers)[: self.number(0, 2)]]

    def _order(self, k: _Shape) -> list[object]:
        return [self.pick([*k.loops, "all"])]

    def _nothing(self, k: _Shape) -> list[object]:
        return []

    _simplify = _collapse = _chain = _nothing

    def _share(self, k: _Shape) -> list[object]:
        return [*self.shuffled(k.loops)[: self.number(0, 1)]]

    def _peel(self, k: _Shape) -> list[object]:
        var = self.pick(k.loops)
        return [var, self.number(0, k.extent(var)), self.pick(NAMES)]

    def _lift(self, k: _Shape) -> list[object]:
        return [*reversed(self.pick(k.pairs))]

    def _stage(self, k: _Shape) -> list[object]:
        buffer = self.pick(k.buffers)
        dtypes = ("i8", "i16", "i32", "f32", str(k.kernel.param(buffer).dtype))
        return [buffer, self.pick([*k.loops, "all"]), self.pick(NAMES), self.pick(dtypes)]

    def _flatten(self, k: _Shape) -> list[object]:
        buffer = self.pick(k.buffers)
        return [buffer, self.number(0, len(k.kernel.param(buffer).shape))]

    def _pack(self, k: _Shape) -> list[object]:
        buffer = self.pick(k.buffers)
        return [buffer, *self.shuffled(k.index_vars(buffer))]

    def _pad_sum(self, k: _Shape) -> list[object]:
        return [self.pick(k.loops), self.number(2, 4)]

    def _permute(self, k: _Shape) -> list[object]:
        buffer = self.pick(k.scratch)
        return [buffer, *self.rng.permutation(len(k.kernel.param(buffer).shape))]

    def _unflatten(self, k: _Shape) -> list[object]:
        buffer = self.pick(k.scratch)
        inner = self._divisor(k.kernel.param(buffer).elements)
        return [buffer, k.kernel.param(buffer).elements // inner, inner]

    def _fill(self, k: _Shape) -> list[object]:
        return [self.pick(k.scratch), self.pick(NAMES)]

    def _pad_rows(self, k: _Shape) -> list[object]:
        return [self.pick(k.scratch), self.number(0, 3), self.number(1, 4)]

    def _widen(self, k: _Shape) -> list[object]:
        return [self.pick(k.buffers), self.pick(("i8", "i16", "i16", "i32"))]

    def _transpose(self, k: _Shape) -> list[object]:
        return [*self.pick(k.pairs)]

    def _pair_products(self, k: _Shape) -> list[object]:
        return [self.pick(k.buffers)]

    _read_pairs = _pair_products

    def _interleave(self, k: _Shape) -> list[object]:
        return [self.pick(k.buffers)]

    def _tensorize(self, k: _Shape) -> list[object]:
        outer, inner = self.pick(k.pairs)
        return [inner, outer] if self.number(0, 1) else [inner]


class _Shape:
    """What steps are drawn from."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.by_var = loops_of(kernel.body)
        self.loops = list(self.by_var) or ["none"]
        self.buffers = [p.name for p in kernel.params]
        self.scratch = [p.name for p in kernel.by_role("scratch")] or self.buffers
        nested = [(v, s.var) for v, loop in self.by_var.items() for s in loop.body if isinstance(s, For)]
        self.pairs = nested or [(self.loops[0], self.loops[-1])]

    def extent(self, var: str) -> int:
        return self.by_var[var].extent if var in self.by_var else 1

    def chain(self, var: str) -> list[str]:
        """Loops each of which is all that the one before holds."""
        chain = [var]
        while (loop := self.by_var.get(chain[-1])) and len(loop.body) == 1 and isinstance(loop.body[0], For):
            chain.append(loop.body[0].var)
        return chain

    def index_vars(self, buffer: str) -> list[str]:
        """The loops that the first load of a buffer moves with."""
        for e in all_exprs(self.kernel.body):
            if isinstance(e, Load) and e.buffer == buffer:
                return sorted({v for at in e.index for v in at.vars})
        return []
