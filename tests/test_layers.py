"""Imports point one way: what each part of the compiler may know of the others."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "tinyir"

LAYERS = [
    {"diagnostics", "machine", "metrics", "toml_text"},
    {"checkpoint", "target"},
    {"ir"},
    {"loops", "train_plan"},
    {"frontends", "passes"},
    {"backends", "runtime"},
    {"pipeline", "summary", "tables", "docs", "training_data"},
    {"api", "fit", "plan_search", "tune", "verify"},
    {"verify_train"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up. A part may import itself and what is below it."""

FORBIDDEN = {
    "runtime": {"passes", "frontends"},
}
"""What lies below and is none of a part's business all the same."""

UTILITIES = {"tables"}
"""Know nothing of the compiler, so every part may use them."""


def part_of(module: str) -> str:
    """The part that a module of tinyir belongs to: `ir` for `tinyir.ir.core`."""
    return module.split(".")[1] if "." in module else ""


def sources() -> list[Path]:
    """Every Python file of the package; passes, backends and runtime are links to folders beside it."""
    walked = os.walk(ROOT, followlinks=True)
    return sorted(Path(folder) / name for folder, _, names in walked for name in names if name.endswith(".py"))


def module_of(path: Path) -> str:
    parts = ("tinyir", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, relative imports resolved, wherever in the file."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {module} if module != "tinyir" else {f"tinyir.{alias.name}" for alias in node.names}
    return found


def rank(part: str) -> int:
    for position, parts in enumerate(LAYERS):
        if part in parts:
            return position
    raise AssertionError(f"tinyir.{part} has no place in LAYERS")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    mine = part_of(module_of(path))
    if mine == "":
        return
    for imported in imports_of(path):
        other = part_of(imported)
        if not imported.startswith("tinyir.") or other in {mine, "__version__", *UTILITIES}:
            continue
        assert rank(other) < rank(mine), f"{path} imports {imported}"
        assert other not in FORBIDDEN.get(mine, ()), f"{path} imports {imported}"


@pytest.mark.parametrize("path", sorted((ROOT / "ir" / "semantics").glob("*.py")), ids=lambda path: path.name)
def test_semantics_import_numpy_alone(path: Path) -> None:
    """The NumPy backend ships these files beside the modules that it prints."""
    standard = {"__future__", "collections", "math", "typing", "numpy"}
    for imported in imports_of(path):
        assert imported.split(".")[0] in standard or imported.startswith("tinyir.ir.semantics"), imported


def test_the_root_imports_nothing_at_start() -> None:
    """`import tinyir` is cheap: what it offers is imported when it is asked for."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    heavy = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert all(getattr(node, "module", "") in ("__future__", "typing") for node in heavy)
