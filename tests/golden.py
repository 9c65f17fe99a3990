"""Golden files: tests/golden/<test module>/<name> pins a text. `pytest --update-golden` writes them anew.

A missing golden fails its test. A golden that no test reads fails the session: judged for each test module of which
every test ran and passed, so that partial runs stay quiet. With xdist, tests report the goldens they read to the
controller as user properties.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
FOLDER = ROOT / "golden"
READ, TESTS_IN_MODULE = "golden-read", "golden-tests-in-module"


def folder_of(test_file: Path) -> Path:
    """Where the goldens of a test module are: tests/passes/test_x.py has tests/golden/passes/test_x/."""
    return FOLDER / test_file.relative_to(ROOT).with_suffix("")


class Golden:
    """The goldens of one test."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.node: pytest.Item = request.node
        self.update = bool(request.config.getoption("--update-golden"))
        self.folder = folder_of(request.path)

    def check(self, text: str, name: str = "") -> None:
        """Fail with a diff unless the golden `name` (by default the test's own) holds `text`."""
        path = self.folder / (name or f"{self.node.name}.txt")
        self.node.user_properties.append((READ, str(path)))
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"there is no {path}; `pytest --update-golden` writes it", pytrace=False)
        elif path.read_text(encoding="utf-8") != text:
            old = path.read_text(encoding="utf-8").splitlines()
            lines = difflib.unified_diff(old, text.splitlines(), str(path), "found", lineterm="")
            pytest.fail("\n".join(lines), pytrace=False)


class GoldenPlugin:
    """Finds goldens that no test reads."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")
        self.read: dict[str, set[str]] = defaultdict(set)
        self.passed: dict[str, set[str]] = defaultdict(set)
        self.total: dict[str, int] = {}
        self.orphans: list[Path] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Before anything is deselected: note on each test how many its module has."""
        if self._selects_single_tests():
            return
        counts = Counter(item.path for item in items)
        for item in items:
            if item.path.is_relative_to(ROOT) and folder_of(item.path).is_dir():
                item.user_properties.append((TESTS_IN_MODULE, (str(item.path), counts[item.path])))

    def _selects_single_tests(self) -> bool:
        """Whether modules may have been collected in part."""
        options = ("lf", "failedfirst", "stepwise")
        return any("::" in arg for arg in self.config.args) or any(self.config.getoption(o, False) for o in options)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.is_worker or report.when != "call" or not report.passed:
            return
        properties = list(report.user_properties)
        for name, value in properties:
            if name == TESTS_IN_MODULE:
                assert isinstance(value, (tuple, list))
                module, count = value
                self.total[module] = count
                self.passed[module].add(report.nodeid)
                self.read[module] |= {str(v) for n, v in properties if n == READ}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for module, count in self.total.items():
            if len(self.passed[module]) == count:
                files = (path for path in folder_of(Path(module)).rglob("*") if path.is_file())
                self.orphans += sorted(path for path in files if str(path) not in self.read[module])
        if self.orphans:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.orphans:
            terminalreporter.section("golden files that no test reads: delete them", red=True)
            for path in self.orphans:
                terminalreporter.line(str(path))
