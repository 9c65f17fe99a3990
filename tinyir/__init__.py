"""tinyir: a graph compiler for microcontrollers.

    import tinyir
    person = tinyir.compile("person.tflite", target="stm32f746g-disco")
    person.write("out/")                 # person.h, person.c, ...
    scores = person.run(image)           # the same C, on this machine

Nothing heavy is imported until something is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Compiled", "Module", "TinyIRError", "compile", "load"]

if TYPE_CHECKING:
    from tinyir.api import Compiled, compile, load
    from tinyir.diagnostics import TinyIRError
    from tinyir.ir.core import Module

_HOMES = {
    "Compiled": "tinyir.api",
    "compile": "tinyir.api",
    "load": "tinyir.api",
    "TinyIRError": "tinyir.diagnostics",
    "Module": "tinyir.ir.core",
}


def __getattr__(name: str) -> Any:
    """The names of `__all__`, imported when they are first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinyir' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
