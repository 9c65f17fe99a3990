"""Graph IR to a Python module with one NumPy statement per op.

The folder: NAME.py (the program), NAME_weights.npz (its constants), NAME_kernels/ (the functions it calls: the files of
`tinyir.ir.semantics` that it needs, and program.py, which is `numpy_support.py` of this package). It runs alone with
NumPy: the shortest way to see what a model computes, step by step, and the reference of the other executors.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from tinyir import __version__
from tinyir.backends.base import Files
from tinyir.backends.numpy_names import module_name
from tinyir.backends.numpy_source import program_text
from tinyir.backends.numpy_statements import Array, Shared, Statements
from tinyir.ir import semantics
from tinyir.ir.core import Module, Value
from tinyir.ir.training import entries

SUPPORT = "program"
"""The file of the kernels' folder that holds no kernels."""


@dataclass(frozen=True)
class NumpyBackend:
    """Readable Python for any machine that has NumPy."""

    name: str = "numpy"

    def emit(self, module: Module) -> Files:
        """The program's files: @main at the `nn` level on floats, or at the integer level, grouped or not.

        Raises IRError for quantised `nn` ops (`legalize-quant` replaces them), for kernel calls, and for ops that no
        function of `tinyir.ir.semantics` defines.
        """
        name = module_name(str(module.attrs.get("name", "")))
        shared = Shared()
        printed = [Statements(func, shared) for func in entries(module)]
        emitted: Files = {
            f"{name}.py": program_text(name, module, printed),
            f"{name}_weights.npz": npz_bytes(shared.constants),
        }
        for path, text in kernel_files(shared.functions).items():
            emitted[f"{name}_kernels/{path}"] = text
        return emitted


def value_names(module: Module) -> dict[Value, str]:
    """The variable of the printed program that holds each value of @main, groups' inner values included; constants have
    none. With it, what `NumpyProgram.run` observes can be matched with the IR."""
    return Statements(module.main, Shared()).names


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """An .npz file that depends on the arrays alone: no dates, nothing of the machine, no compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, _npy_bytes(array))
    return buffer.getvalue()


def _npy_bytes(array: Array) -> bytes:
    buffer = io.BytesIO()
    little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def kernel_files(functions: Iterable[str]) -> dict[str, str]:
    """The folder of kernels: the files that define `functions` of `tinyir.ir.semantics`, what these import, and an
    `__init__.py` that offers the functions."""
    homes = defaultdict(list)
    for function in sorted(functions):
        homes[_module_of(function)].append(function)
    emitted = {"__init__.py": _init_text(homes)}
    for module in _with_imports(homes):
        emitted[f"{module}.py"] = _semantics_text(module)
    assert f"{SUPPORT}.py" not in emitted
    emitted[f"{SUPPORT}.py"] = files("tinyir.backends").joinpath("numpy_support.py").read_text(encoding="utf-8")
    return emitted


def _module_of(function: str) -> str:
    """The file of `tinyir.ir.semantics` that defines `function`."""
    found: Any = getattr(semantics, function)
    return str(found.__module__.rpartition(".")[2])


def _semantics_text(module: str) -> str:
    return files("tinyir.ir.semantics").joinpath(f"{module}.py").read_text(encoding="utf-8")


def _with_imports(modules: Iterable[str]) -> list[str]:
    """`modules` and all that they import of their own folder, sorted."""
    found: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            tree = ast.walk(ast.parse(_semantics_text(module)))
            pending += [node.module for node in tree if isinstance(node, ast.ImportFrom) and node.level and node.module]
    return sorted(found)


def _init_text(homes: Mapping[str, list[str]]) -> str:
    """What the folder offers: each function from its file."""
    lines = [f'"""The ops of the program beside this folder, as NumPy functions. From tinyir {__version__}."""', ""]
    lines += [f"from .{module} import {', '.join(homes[module])}" for module in sorted(homes)]
    names = sorted(name for functions in homes.values() for name in functions)
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in names), "]"]
    return "\n".join(lines) + "\n"
