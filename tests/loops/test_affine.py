"""Affine expressions against what they evaluate to, point by point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyir.loops.affine import Affine, Guard, flatten

NAMES = ("i", "j", "k")
numbers = st.integers(-6, 6)
affines = st.builds(Affine.build, st.dictionaries(st.sampled_from(NAMES), numbers, max_size=3), numbers)
extents = st.fixed_dictionaries({name: st.integers(1, 4) for name in NAMES})
quick = settings(max_examples=150, deadline=None, derandomize=True)


def value(expr: Affine, point: Mapping[str, int]) -> int:
    return expr.const + sum(c * point[v] for v, c in expr.terms)


def points(sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    for at in product(*(range(n) for n in sizes.values())):
        yield dict(zip(sizes, at, strict=True))


def values(expr: Affine, sizes: Mapping[str, int]) -> list[int]:
    return [value(expr, point) for point in points(sizes)]


@quick
@given(affines, affines, numbers, extents)
def test_arithmetic(a: Affine, b: Affine, factor: int, sizes: dict[str, int]) -> None:
    for point in points(sizes):
        x, y = value(a, point), value(b, point)
        assert value(a + b, point) == x + y
        assert value(a - b, point) == x - y
        assert value(a * factor, point) == x * factor
        assert value(a + 3, point) == x + 3
        assert value(a - "i", point) == x - point["i"]


@quick
@given(affines, affines)
def test_equal_expressions_are_equal_values(a: Affine, b: Affine) -> None:
    """Terms are sorted and none is zero, so that whatever way leads to it, an expression is the same object."""
    assert a + b == b + a
    assert a - a == Affine()
    assert a * 0 == Affine()
    assert list(a.vars) == sorted(set(a.vars))
    assert all(c for _, c in a.terms)
    assert {v: a.coef(v) for v in a.vars} == a.coefs


@quick
@given(affines, st.dictionaries(st.sampled_from(NAMES), affines, max_size=3), extents)
def test_substitute(expr: Affine, replaced: dict[str, Affine], sizes: dict[str, int]) -> None:
    """All at once: what comes in is not replaced again."""
    new = expr.substitute(replaced)
    for point in points(sizes):
        moved = {v: value(replaced.get(v, Affine.of(v)), point) for v in NAMES}
        assert value(new, point) == value(expr, moved)


@quick
@given(affines, extents)
def test_range(expr: Affine, sizes: dict[str, int]) -> None:
    found = values(expr, sizes)
    assert expr.range(sizes) == (min(found), max(found))


@quick
@given(affines, st.integers(1, 6), extents)
def test_multiple_of(expr: Affine, n: int, sizes: dict[str, int]) -> None:
    """Exact where every variable takes two values; never wrongly true."""
    always = all(v % n == 0 for v in values(expr, sizes))
    assert always or not expr.multiple_of(n)
    if min(sizes.values()) > 1:
        assert expr.multiple_of(n) == always


@quick
@given(affines, st.sets(st.sampled_from(NAMES)), extents)
def test_part(expr: Affine, some: set[str], sizes: dict[str, int]) -> None:
    rest = [v for v in NAMES if v not in some]
    for point in points(sizes):
        assert value(expr.part(some), point) + value(expr.part(rest), point) + expr.const == value(expr, point)


@quick
@given(affines, st.integers(-4, 8), extents)
def test_guards_decide(expr: Affine, bound: int, sizes: dict[str, int]) -> None:
    """True and False are proofs; None only where the interval of the values leaves it open."""
    holds = {0 <= v < bound for v in values(expr, sizes)}
    verdict = Guard(expr, bound).decide(sizes)
    assert verdict is None or holds == {verdict}
    if holds == {True}:
        assert verdict is True


@quick
@given(affines, st.integers(-4, 8), affines, extents)
def test_guards_substitute(expr: Affine, bound: int, new: Affine, sizes: dict[str, int]) -> None:
    guard = Guard(expr, bound).substitute({"i": new})
    assert guard == Guard(expr.substitute({"i": new}), bound)


@quick
@given(st.lists(st.integers(1, 4), min_size=0, max_size=4))
def test_flatten_is_row_major(shape: list[int]) -> None:
    names = [f"v{d}" for d in range(len(shape))]
    at = flatten(tuple(Affine.of(v) for v in names), tuple(shape))
    found = values(at, dict(zip(names, shape, strict=True)))
    np.testing.assert_array_equal(np.reshape(found, shape), np.arange(len(found)).reshape(shape))


def test_what_an_affine_is_made_from() -> None:
    assert Affine.of(3) == Affine((), 3)
    assert Affine.of("i") == Affine((("i", 1),))
    assert Affine.of(Affine.of("i")) == Affine.of("i")
    assert Affine.build({"j": 0, "i": 2}, 1) == Affine((("i", 2),), 1)


def test_text() -> None:
    assert str(Affine()) == "0"
    assert str(Affine.of("i")) == "i"
    assert str(Affine.of("i") * -1 + 2) == "-1*i + 2"
    assert str(Affine.of("j") + Affine.of("i") * 3 - 1) == "3*i + j + -1"
    assert str(Guard(Affine.of("i") - 1, 4)) == "0 <= i + -1 < 4"
