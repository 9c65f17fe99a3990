"""Pipelines as text: what they mean, what comes back, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from tinyir.diagnostics import UsageError
from tinyir.ir.core import Module
from tinyir.passes import registry
from tinyir.passes.pipeline_text import parse_pipeline, pipeline_text
from tinyir.passes.registry import Pass, find_pass


@pytest.fixture(autouse=True)
def sample_passes() -> Iterator[None]:
    """Passes with options of every type."""
    find_pass("canonicalize")
    before = dict(registry._registered)

    @dataclass(frozen=True)
    class Sample(Pass):
        """An option of every type."""

        name: ClassVar[str] = "sample"
        count: int = 3
        ratio: float = 0.5
        fast: bool = False
        mode: Literal["one", "two"] = "one"
        limit: int | None = None
        label: str = ""
        tiles: tuple[int, ...] = ()
        pair: tuple[int, str] = (1, "a")

        def run(self, module: Module) -> dict[str, int]:
            return {}

    @dataclass(frozen=True)
    class Strict(Pass):
        """An option without a default."""

        name: ClassVar[str] = "strict"
        needed: int

        def run(self, module: Module) -> dict[str, int]:
            return {}

    class Plain(Pass):
        """No options at all."""

        name: ClassVar[str] = "plain"

        def run(self, module: Module) -> dict[str, int]:
            return {}

    yield
    registry._registered.clear()
    registry._registered.update(before)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sample",
        "sample,plain,sample",
        "sample{count=4}",
        "sample{count=-4,ratio=1e-05,fast=true,mode=two,limit=7,label=a/b.c,tiles=[1,2,3],pair=[2,b]}",
        'sample{label="with, } and \\" in it"},strict{needed=0}',
        'sample{label="none"}',
    ],
)
def test_text_comes_back(text: str) -> None:
    passes = parse_pipeline(text)
    assert pipeline_text(passes) == text
    assert [vars(p) for p in parse_pipeline(pipeline_text(passes))] == [vars(p) for p in passes]


def test_spaces_and_defaults_do_not_matter() -> None:
    passes = parse_pipeline(" sample { count = 3 , tiles = [ 1 , 2 ] } ,\n plain ")
    assert pipeline_text(passes) == "sample{tiles=[1,2]},plain"


def test_options_have_their_types() -> None:
    (sample,) = parse_pipeline("sample{ratio=2,limit=none,tiles=[]}")
    assert vars(sample) | {"ratio": 2.0, "limit": None, "tiles": ()} == vars(sample)


@pytest.mark.parametrize(
    ("text", "message", "under", "help"),
    [
        ("plain,sampel", "unknown pass `sampel`", "sampel", "did you mean `sample`?"),
        ("sample{cuont=1}", "`sample` has no option `cuont`", "cuont", "did you mean `count`?"),
        ("plain{x=1}", "`plain` has no option `x`", "x", "it has none"),
        ("sample{count=four}", "must be int, not `four`", "four", ""),
        ("sample{count=1.5}", "must be int, not `1.5`", "1.5", ""),
        ("sample{fast=yes}", "must be bool, not `yes`", "yes", ""),
        ("sample{mode=three}", "must be one | two, not `three`", "three", ""),
        ("sample{limit=x}", "must be int | none, not `x`", "x", ""),
        ("sample{tiles=[1,x]}", "must be [int, ...], not `[1,x]`", "[1,x]", ""),
        ("sample{pair=[1]}", "must be [int, str], not `[1]`", "[1]", ""),
        ("sample{tiles=1}", "must be [int, ...], not `1`", "1", ""),
        ("sample{count=1,count=2}", "is given twice", "count=2", ""),
        ("sample{count}", "expected an option of `sample`", "count", "an option looks like `max_ops=4`"),
        ("plain,strict", "`strict` needs the option `needed`", "strict", ""),
        ("plain,sample{count=1", "`{` is not closed", "{", ""),
        ("sample{tiles=[1}", "`[` is not closed", "[", ""),
        ('sample{label="x}', '`"` is not closed', '"', ""),
        ("plain,,sample", "expected a pass", "", "a pipeline looks like `canonicalize,fuse-ops{max_ops=4}`"),
        ("plain sample", "expected a pass", "plain sample", "a pipeline looks like"),
    ],
)
def test_mistakes_are_pointed_at(text: str, message: str, under: str, help: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_pipeline(text)
    error = caught.value
    assert message in error.message
    assert help in error.help
    place = error.loc.text
    assert place is not None and place.file == "--passes"
    assert text[place.column - 1 :].startswith(under)
    assert place.width == max(1, len(under))
