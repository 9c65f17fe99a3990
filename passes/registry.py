"""What a pass is, and where passes are found: in this package, in installed packages, in files of the user's."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from tinyir.diagnostics import UsageError, did_you_mean
from tinyir.ir.core import Module
from tinyir.passes import BUILTIN

ENTRY_POINT_GROUP = "tinyir.passes"

_registered: dict[str, type[Pass]] = {}
_loaded_files: dict[Path, ModuleType] = {}


class UnknownPassError(UsageError):
    """A name that no pass has."""


class Pass(ABC):
    """IR to IR. A subclass is a frozen dataclass whose fields are its options, and sets `name`.

    `run` may assume IR that the verifier accepts and leaves such IR; in between it may do as it likes. The docstring
    says what the pass needs, what it leaves, and what it skips. Defining a subclass with a `name` registers it.
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in vars(cls):
            _register(cls)

    @abstractmethod
    def run(self, module: Module) -> dict[str, int]:
        """Change `module` in place. Returns how often each thing was done, for --stats."""


def _register(cls: type[Pass]) -> None:
    other = _registered.setdefault(cls.name, cls)
    if other is not cls:
        raise UsageError(
            f"two passes are called `{cls.name}`: {other.__module__}.{other.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}",
            help="give one of them another name",
        )


def find_pass(name: str) -> type[Pass]:
    """The pass called `name`. Raises UnknownPassError with a suggestion."""
    if name not in _registered and name in BUILTIN:
        importlib.import_module(f"tinyir.passes.{name.replace('-', '_')}")
    if name not in _registered and name in _plugins():
        _load_plugin(_plugins()[name])
    if name not in _registered:
        known = pass_names()
        suggestion = did_you_mean(name, known) or f"the passes are: {', '.join(known)}"
        raise UnknownPassError(f"unknown pass `{name}`", help=suggestion)
    return _registered[name]


def pass_names() -> list[str]:
    """Every pass that `find_pass` knows: those of this package in their usual order, then the others by name."""
    return [*BUILTIN, *sorted({*_registered, *_plugins()} - {*BUILTIN})]


def file_of(a_pass: type[Pass]) -> Path | None:
    """The file that `load_pass_file` read the pass from, or None for one that is installed."""
    return next((path for path, module in _loaded_files.items() if module.__name__ == a_pass.__module__), None)


def load_pass_file(path: Path) -> list[type[Pass]]:
    """Import a Python file and register the passes it defines; a file is imported once. Raises UsageError."""
    path = path.resolve()
    if path not in _loaded_files:
        _loaded_files[path] = _import_file(path)
    module = _loaded_files[path]
    passes = [cls for cls in _registered.values() if cls.__module__ == module.__name__]
    if not passes:
        raise UsageError(f"{path} defines no pass", help="a pass is a subclass of tinyir.passes.registry.Pass")
    return passes


def _import_file(path: Path) -> ModuleType:
    name = f"tinyir_pass_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"cannot load passes from {path}: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        _forget(name)
        raise _load_error(f"cannot load passes from {path}", error) from error
    return module


def _forget(module_name: str) -> None:
    """Take back what a file registered before it failed."""
    for name in [name for name, cls in _registered.items() if cls.__module__ == module_name]:
        del _registered[name]


@cache
def _plugins() -> dict[str, EntryPoint]:
    """Passes that installed packages declare as entry points, by name."""
    return {point.name: point for point in _sorted(entry_points(group=ENTRY_POINT_GROUP))}


def _sorted(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    return sorted(points, key=lambda point: (point.name, point.value))


def _load_plugin(point: EntryPoint) -> None:
    origin = f"the entry point `{point.name} = {point.value}`"
    try:
        cls = point.load()
    except Exception as error:
        raise _load_error(f"cannot load {origin}", error) from error
    if not (isinstance(cls, type) and issubclass(cls, Pass)):
        raise UsageError(f"{origin} is no subclass of tinyir.passes.registry.Pass")
    if cls.name != point.name:
        raise UsageError(f"{origin} is a pass called `{cls.name}`", help="call the entry point as the pass")


def _load_error(message: str, error: Exception) -> UsageError:
    if isinstance(error, UsageError):
        return error
    return UsageError(f"{message}: {type(error).__name__}: {error}")
