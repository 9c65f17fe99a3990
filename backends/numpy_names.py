"""Python names for the things of a module."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable


def identifier(text: str) -> str:
    """`text` as a Python identifier, or "" where nothing of it can be one."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    if name[:1].isdigit() or keyword.iskeyword(name):
        name = f"_{name}"
    return name


def module_name(text: str) -> str:
    """`text` as the name of a Python module that hides none of those it needs itself: a model may be called `random`,
    and the folder of a script comes first when it imports."""
    name = identifier(text) or "model"
    taken = name == "numpy" or name in sys.stdlib_module_names
    return f"{name}_model" if taken else name


class UniqueNames:
    """Gives each thing a name that no other has."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)
        self._next_number = 0

    def take(self, hint: str) -> str:
        """`hint` as an identifier with a number behind it where that is taken; `v0`, `v1`, ... for no hint."""
        name = identifier(hint)
        if not name:
            return self._numbered()
        unique, number = name, 1
        while unique in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique

    def _numbered(self) -> str:
        while (name := f"v{self._next_number}") in self._taken:
            self._next_number += 1
        self._taken.add(name)
        return name
