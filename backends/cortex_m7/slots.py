"""Text with numbers left open, so that kernels which differ in nothing but numbers can share a C function.

While a function is printed, each number that may be a variable is put into a slot. Functions whose text is equal but
for the slots are one function; a number in which they differ is an argument of it (as in LLVM's IROutliner, "Structural
similarity").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_SLOT = re.compile("\x02(\\d+)(?: (\\d+))?\x03")


class Slots:
    """The numbers of one function, in the order in which they were printed, each with a hint for its name."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.hints: list[str] = []

    def put(self, value: int, hint: str) -> str:
        """The text that stands for `value` until `fill`."""
        self.values.append(value)
        self.hints.append(hint)
        return f"\x02{len(self.values) - 1}\x03"

    def put_behind(self, elements: int, size: int, hint: str) -> str:
        """The text that stands behind a pointer, for the word `elements` of `size` bytes further on: an instruction
        reaches it if the number is known, else the pointer moves."""
        return self.put(elements, hint).replace("\x03", f" {size}\x03")


def fill(text: str, values: Sequence[int], names: Mapping[int, str]) -> str:
    """`text` with each slot replaced by its name in `names`, else by its value."""

    def filled(slot: re.Match[str]) -> str:
        index, size = int(slot[1]), slot[2]
        name = names.get(index)
        if size is None:
            return name or (str(values[index]) if values[index] >= 0 else f"({values[index]})")
        return f" + {name}, 0" if name else f", {values[index] * int(size)}"

    return _SLOT.sub(filled, text)
