"""Finding passes: built in, in files, in installed packages; and the rule of names."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.passes.test_manager import PASS_FILE
from tinyir.diagnostics import UsageError
from tinyir.passes import BUILTIN, registry
from tinyir.passes.registry import UnknownPassError, find_pass, load_pass_file, pass_names


@pytest.mark.parametrize("name", BUILTIN)
def test_name_file_class_and_test_agree(name: str) -> None:
    module = importlib.import_module(f"tinyir.passes.{name.replace('-', '_')}")
    cls = find_pass(name)
    assert cls.__module__ == module.__name__
    assert cls.__name__ == "".join(part.capitalize() for part in name.split("-"))
    assert (Path(__file__).parent / f"test_{name.replace('-', '_')}.py").exists()


@pytest.mark.parametrize("name", BUILTIN)
def test_the_docstring_promises(name: str) -> None:
    doc = find_pass(name).__doc__ or ""
    assert "Needs:" in doc and "Leaves:" in doc


def test_unknown_pass() -> None:
    with pytest.raises(UnknownPassError, match="unknown pass `canonicalise`") as caught:
        find_pass("canonicalise")
    assert caught.value.help == "did you mean `canonicalize`?"


def test_unknown_pass_like_no_other() -> None:
    with pytest.raises(UnknownPassError) as caught:
        find_pass("xyzzy")
    assert caught.value.help.startswith("the passes are: add-preprocessing, replace-classifier, select-params")


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_registers_its_passes(tmp_path: Path) -> None:
    file = tmp_path / "my_pass.py"
    file.write_text(PASS_FILE.format(name="from-file"))
    (cls,) = load_pass_file(file)
    assert find_pass("from-file") is cls
    assert "from-file" in pass_names()
    assert load_pass_file(file) == [cls], "a file is imported once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no pass"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "ModuleNotFoundError"),
        (PASS_FILE.format(name="canonicalize"), "two passes are called `canonicalize`"),
    ],
)
def test_a_file_that_is_no_pass(tmp_path: Path, text: str, message: str) -> None:
    find_pass("canonicalize")
    file = tmp_path / "my_pass.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_pass_file(file)


def test_a_file_that_fails_registers_nothing(tmp_path: Path) -> None:
    file = tmp_path / "my_pass.py"
    file.write_text(PASS_FILE.format(name="half-done") + "\n1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_pass_file(file)
    assert "half-done" not in pass_names()


@pytest.mark.parametrize("name", ["missing.py", "folder"])
def test_a_path_that_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="it is not a Python file"):
        load_pass_file(tmp_path / name)


# -- installed packages -----------------------------------------------------------------------------------------------


def plug_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name=name, value=value, group=registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "_plugins", lambda: {name: point})


def test_an_entry_point_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_of_test.py").write_text(PASS_FILE.format(name="plugged"))
    monkeypatch.syspath_prepend(str(tmp_path))
    plug_in(monkeypatch, "plugged", "plugin_of_test:FromFile")
    assert "plugged" in pass_names()
    assert find_pass("plugged").__module__ == "plugin_of_test"


@pytest.mark.parametrize(
    ("value", "message"),
    [("no_such_module:X", "cannot load the entry point `bad = no_such_module:X`"), ("json:dumps", "is no subclass")],
)
def test_a_broken_entry_point(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    plug_in(monkeypatch, "bad", value)
    with pytest.raises(UsageError, match=message):
        find_pass("bad")
