"""The golden fixture itself, run on a small project: missing, differing, orphaned, updated; whole and in part."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import pytest
from tests.golden import Golden, GoldenPlugin

def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true")

def pytest_configure(config):
    config.pluginmanager.register(GoldenPlugin(config), "golden-files")

@pytest.fixture
def golden(request):
    return Golden(request)
"""

TESTS = """
import os
import pytest

@pytest.mark.parametrize("i", range(4))
def test_text(golden, i):
    golden.check(f"text {i}", f"{i}.txt")

def test_other(golden):
    if os.environ.get("SKIP_OTHER"):
        pytest.skip("as told")
    golden.check("other")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with five goldens, all as they should be."""
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(Path(__file__).parent / "golden.py", tests / "golden.py")
    (tests / "__init__.py").touch()
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_x.py").write_text(TESTS)
    status, _ = run(tmp_path, "--update-golden")
    assert status == 0
    return tmp_path


def run(project: Path, *words: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", *words]
    environment |= {"PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout


def test_goldens_are_written_and_then_hold(project: Path) -> None:
    folder = project / "tests" / "golden" / "test_x"
    assert sorted(path.name for path in folder.iterdir()) == ["0.txt", "1.txt", "2.txt", "3.txt", "test_other.txt"]
    assert run(project)[0] == 0


def test_another_text_fails_with_a_diff(project: Path) -> None:
    (project / "tests" / "golden" / "test_x" / "1.txt").write_text("old text")
    status, out = run(project)
    assert status == 1
    assert "-old text" in out and "+text 1" in out


def test_a_missing_golden_fails(project: Path) -> None:
    (project / "tests" / "golden" / "test_x" / "1.txt").unlink()
    status, out = run(project)
    assert status == 1
    assert "there is no" in out and "--update-golden" in out


@pytest.mark.parametrize("words", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_an_orphan_fails_the_session(project: Path, words: list[str]) -> None:
    orphan = project / "tests" / "golden" / "test_x" / "orphan.txt"
    orphan.touch()
    status, out = run(project, *words)
    assert status == 1
    assert "golden files that no test reads" in out and str(orphan) in out


@pytest.mark.parametrize("words", [["-k", "text"], ["tests/test_x.py::test_other"], ["-x", "-n", "2", "-k", "other"]])
def test_partial_runs_do_not_judge(project: Path, words: list[str]) -> None:
    (project / "tests" / "golden" / "test_x" / "orphan.txt").touch()
    assert run(project, *words)[0] == 0


def test_a_skipped_test_may_have_read_it(project: Path) -> None:
    (project / "tests" / "golden" / "test_x" / "orphan.txt").touch()
    assert run(project, SKIP_OTHER="1")[0] == 0


def test_every_golden_folder_has_its_test_module() -> None:
    """Of the real project: what is left when a test module goes."""
    root = Path(__file__).parent
    for path in (root / "golden").rglob("*"):
        if path.is_file():
            module = root / path.parent.relative_to(root / "golden")
            assert module.with_suffix(".py").exists(), f"{path} belongs to no test module"
