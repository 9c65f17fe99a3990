"""What a backend is."""

from __future__ import annotations

from typing import Protocol

from tinyir.ir.core import Module

Files = dict[str, str | bytes]
"""Contents by path, relative to the output folder."""


class Backend(Protocol):
    """Turns a module into files. Does no I/O, so that it is easy to test; the same module gives the same bytes."""

    name: str

    def emit(self, module: Module) -> Files:
        """The files of the compiled program."""
        ...
