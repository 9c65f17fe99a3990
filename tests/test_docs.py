"""The generated pages are current, and say something about everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyir.docs import DIALECTS, all_ops, pages, summary

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", pages())
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run `python -m tinyir.docs`"


def test_every_op_has_a_dialect_and_a_summary() -> None:
    for cls in all_ops():
        assert cls.opname.split(".")[0] in DIALECTS
        assert summary(cls.spec.doc), cls.opname


@pytest.mark.parametrize(
    ("doc", "first"),
    [
        ("One. Two.", "One."),
        ("First, ... of each\n    axis; `size` of them. More.", "First, ... of each axis; `size` of them."),
        ("No dot\n\nSecond paragraph.", "No dot"),
        (None, ""),
    ],
)
def test_summary(doc: str | None, first: str) -> None:
    assert summary(doc) == first
