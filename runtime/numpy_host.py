"""Run a program that the NumPy backend printed, in this process, and look at each of its statements."""

from __future__ import annotations

import ast
import copy
import functools
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinyir.diagnostics import UsageError
from tinyir.runtime.program import Array, Inputs, ProgramError, TensorInfo

StatementObserver = Callable[[str, Array], None]
"""Called after each statement of a function with the variable it sets and the array."""

_FUNCTIONS = ("run", "train_step", "params_init")
_OBSERVED, _OBSERVER = "_observed_", "_observe"
_imports = threading.RLock()


class NumpyProgram:
    """A program printed as Python. Making one executes its files: load only what you would run.

    program = NumpyProgram(NumpyBackend().emit(module))
    (y,) = program.run([x], observe=lambda name, array: print(name, array.shape))
    """

    def __init__(self, source: Path | str | Mapping[str, str | bytes]) -> None:
        """`source` is a folder with one program in it, the path of a NAME.py, or the files themselves by path.
        Raises ProgramError where there is no program, or it cannot be loaded."""
        if isinstance(source, Mapping):
            with tempfile.TemporaryDirectory(prefix="tinyir-", ignore_cleanup_errors=True) as folder:
                _write(Path(folder), source)
                module = _load(_script_in(Path(folder)))
        else:
            module = _load(_script_in(Path(source)))
        self.name = module.__name__
        self.inputs = tuple(_tensor_info(tensor) for tensor in module.INPUTS)
        self.outputs = tuple(_tensor_info(tensor) for tensor in module.OUTPUTS)
        self._module = module

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions of the program by name: `run`, and for one that trains `train_step` and `params_init`."""
        return {name: getattr(self._module, name) for name in _FUNCTIONS if hasattr(self._module, name)}

    def observed(self, function: str, observe: StatementObserver) -> Callable[..., Any]:
        """One of the functions, made to tell `observe` the result of every statement."""
        return functools.partial(getattr(self._module, _OBSERVED + function), **{_OBSERVER: observe})

    @property
    def classes(self) -> int | None:
        """How many labels a program that trains on labels has."""
        return getattr(self._module, "CLASSES", None)

    @property
    def rng(self) -> int | None:
        """Which parameter holds the seed of random numbers, where training draws any."""
        return getattr(self._module, "RNG", None)

    @property
    def state_sha256(self) -> str:
        """The hash of the model that the parameters of a program that trains belong to."""
        return str(getattr(self._module, "STATE_SHA256", ""))

    def run(self, inputs: Inputs, observe: StatementObserver | None = None) -> list[Array]:
        """The outputs for `inputs`, which are in the order of the program or by name.

        `observe` is given the result of every statement, in order; the arrays are those the program works on, not to be
        written. Raises UsageError for inputs of the wrong number, names, shapes or types.
        """
        arrays = self._bind(inputs)
        run = self._module.run if observe is None else self.observed("run", observe)
        results = run(*arrays)
        return [results] if len(self.outputs) == 1 else list(results)

    def _bind(self, inputs: Inputs) -> list[Array]:
        if isinstance(inputs, Mapping):
            names = [tensor.name for tensor in self.inputs]
            if sorted(inputs) != sorted(names):
                raise UsageError(f"inputs are named {', '.join(names)}, not {', '.join(inputs) or 'nothing'}")
            inputs = [inputs[name] for name in names]
        arrays = [np.asarray(array) for array in inputs]
        try:
            self._module.check(self._module.INPUTS, *arrays)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return arrays


def _tensor_info(tensor: Any) -> TensorInfo:
    size = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
    return TensorInfo(tensor.name, tensor.dtype, tensor.shape, size, tensor.scale, tensor.zero_point)


def _write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _script_in(path: Path) -> Path:
    """The NAME.py of the one program in the folder `path`, or `path` itself where it is that file."""
    if path.is_file():
        return path
    kernels = sorted(path.glob("*_kernels/program.py"))
    scripts = [path / f"{program.parent.name.removesuffix('_kernels')}.py" for program in kernels]
    if len(scripts) != 1:
        count = "no program" if not scripts else f"{len(scripts)} programs"
        raise ProgramError(f"{path}: {count} of the NumPy backend here", help="name the folder or the NAME.py of one")
    return scripts[0]


def _load(script: Path) -> ModuleType:
    """Execute a NAME.py, with a second version of its functions that reports each statement."""
    module = ModuleType(script.stem)
    module.__file__ = str(script)
    try:
        with _imports:  # CPython 3.11 mixes up the depths of syntax trees that threads make (gh-106905)
            tree = _with_observed(ast.parse(script.read_bytes(), str(script)))
            code = compile(tree, str(script), "exec")
        with _importable(script.parent / f"{script.stem}_kernels"):
            exec(code, module.__dict__)
    except ProgramError:
        raise
    except Exception as error:  # whatever a damaged program raises
        raise ProgramError(f"{script}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _with_observed(tree: ast.Module) -> ast.Module:
    """The module with copies of its functions that call the observer after each assignment."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in _FUNCTIONS]
    if [node.name for node in found].count("run") != 1:
        raise ProgramError("not a program of the NumPy backend: it has no function `run`")
    for function in found:
        observed = copy.deepcopy(function)
        observed.name = _OBSERVED + function.name
        observed.args.kwonlyargs.append(ast.arg(_OBSERVER))
        observed.args.kw_defaults.append(None)
        observed.body = [node for statement in observed.body for node in (statement, *_reports(statement))]
        tree.body.append(observed)
    return ast.fix_missing_locations(tree)


def _reports(statement: ast.stmt) -> list[ast.stmt]:
    """Calls of the observer for the variables that a statement sets."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [call for name in names for call in ast.parse(f"{_OBSERVER}({name!r}, {name})").body]


@contextmanager
def _importable(package: Path) -> Iterator[None]:
    """Inside, the folder `package` can be imported by its name; afterwards `sys.modules` is as it was, so that programs
    of the same name do not meet."""
    with _imports:
        hidden = _forget(package.name)
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            _import_package(package)
            yield
        finally:
            sys.dont_write_bytecode = written
            _forget(package.name)
            sys.modules.update(hidden)
            sys.path_importer_cache.pop(str(package), None)


def _import_package(package: Path) -> None:
    locations = [str(package)]
    spec = importlib.util.spec_from_file_location(
        package.name, package / "__init__.py", submodule_search_locations=locations
    )
    assert spec is not None and spec.loader is not None
    sys.modules[package.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _forget(name: str) -> dict[str, ModuleType]:
    """Take the package `name` and its modules out of `sys.modules`."""
    mine = [key for key in sys.modules if key == name or key.startswith(f"{name}.")]
    return {key: sys.modules.pop(key) for key in mine}
