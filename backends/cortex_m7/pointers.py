"""The pointers through which the words of a block are loaded, at constant distances.

Where the loop around the block does nothing else with its variable, the pointers move and the variable goes away: the
inner loop needs no register but for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinyir.backends.cortex_m7.cnames import affine, element_type, identifier
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.slots import Slots
from tinyir.loops.affine import Affine, flatten
from tinyir.loops.ir import Body, Cond, For, Index, Let, Load, Param, Set
from tinyir.loops.walk import exprs_of, subexprs

REACH = 4095
"""Bytes that an LDR reaches behind its pointer."""


def is_walk(loop: For) -> bool:
    """Whether a loop over plain statements uses its variable for nothing but to load words, each into a local."""
    moved = False
    for stmt in loop.body:
        if not isinstance(stmt, (Let, Set)):
            return False
        is_word = isinstance(stmt, Let) and isinstance(stmt.value, Load) and stmt.value.ty.lanes > 1
        for expr in (e for value in exprs_of(stmt) for e in subexprs(value)):
            if isinstance(expr, Index) and expr.at.coef(loop.var):
                return False
            if isinstance(expr, Cond) and any(guard.expr.coef(loop.var) for guard in expr.guards):
                return False
            if isinstance(expr, Load) and any(at.coef(loop.var) for at in expr.index):
                if not is_word:
                    return False
                moved = True
    return moved


@dataclass
class _Pointer:
    """A pointer to the element `start` of a buffer, by `step` further on each time round; "" until it is declared."""

    buffer: str
    start: Affine
    step: int
    name: str = ""


class Pointers:
    """One pointer for each way through a buffer that words of a block take, and as many more as lie out of reach of
    the first. `var` is the loop that they are moved on in, if any."""

    def __init__(
        self, params: Mapping[str, Param], body: Body, slots: Slots, fresh: Callable[[str], str], var: str = ""
    ) -> None:
        self.params, self.slots, self.fresh, self.var = params, slots, fresh, var
        self.sums = any(isinstance(stmt, Set) for stmt in body)
        places: dict[tuple[str, Affine], set[int]] = {}
        for stmt in body:
            if isinstance(stmt, Let) and isinstance(stmt.value, Load) and stmt.value.ty.lanes > 1:
                at = self._place(stmt.value)
                places.setdefault((stmt.value.buffer, at - at.const), set()).add(at.const)
        self.pointers = {
            key: [self._pointer(*key, start) for start in _covering(sorted(consts), self._reach(key[0]))]
            for key, consts in places.items()
        }

    def _place(self, load: Load) -> Affine:
        return flatten(load.index, self.params[load.buffer].shape)

    def _reach(self, buffer: str) -> int:
        return REACH // self.params[buffer].dtype.bytes

    def _pointer(self, buffer: str, moving: Affine, start: int) -> _Pointer:
        return _Pointer(buffer, moving.substitute({self.var: Affine()}) + start, moving.coef(self.var))

    def declared(self, load: Load, c: CWriter) -> str:
        """The pointer for a word and how many bytes behind it the word lies; declared here if it is not yet."""
        at = self._place(load)
        here = [p for p in self.pointers[load.buffer, at - at.const] if p.start.const <= at.const]
        pointer = here[-1]
        if not pointer.name:
            self._declare(pointer, c)
        distance, size = at.const - pointer.start.const, self.params[load.buffer].dtype.bytes
        if self.sums or not distance:
            return f"{pointer.name}, {distance * size}"
        return pointer.name + self.slots.put_behind(distance, size, f"{pointer.name}_next")

    def declare(self, c: CWriter) -> None:
        """Declare all of them."""
        for pointer in self._all():
            self._declare(pointer, c)

    def _declare(self, pointer: _Pointer, c: CWriter) -> None:
        pointer.name = self.fresh(f"{identifier(pointer.buffer)}_at")
        const = "" if pointer.step else "const "
        buffer = identifier(pointer.buffer)
        element = f"&{buffer}[{affine(pointer.start, self.slots, buffer)}]"
        c.line(f"{element_type(self.params[pointer.buffer])} *{const}{pointer.name} = {element};")

    def _all(self) -> list[_Pointer]:
        return [pointer for pointers in self.pointers.values() for pointer in pointers]

    @property
    def steps(self) -> list[tuple[str, int]]:
        """The pointers that move and by how many elements, once all are declared."""
        return [(pointer.name, pointer.step) for pointer in self._all() if pointer.step]

    def type_of(self, name: str) -> str:
        """What the pointer called `name` points to."""
        return next(element_type(self.params[pointer.buffer]) for pointer in self._all() if pointer.name == name)


def _covering(places: list[int], reach: int) -> list[int]:
    """The fewest of the sorted `places` from which all are in reach."""
    starts: list[int] = []
    for place in places:
        if not starts or place - starts[-1] > reach:
            starts.append(place)
    return starts
