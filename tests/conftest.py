"""Fixtures and collectors of every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import Golden, GoldenPlugin
from tests.passcheck import PassChecker
from tests.tirfile import TirFile


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew; then read the diff")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(GoldenPlugin(config), "golden-files")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A `.tir` file with a RUN line is a test."""
    if file_path.suffix == ".tir" and "golden" not in file_path.parts:
        collector: pytest.Collector = TirFile.from_parent(parent, path=file_path)
        return collector
    return None


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden.check(text, name)` compares with tests/golden/<test module>/<name>."""
    return Golden(request)


@pytest.fixture
def check_pass() -> PassChecker:
    """`check_pass(before, passes, after)` compares whole texts, and what both compute."""
    return PassChecker()
