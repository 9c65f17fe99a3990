"""The picture of the arena: pinned whole for small cases, checked for size and content for large ones."""

from __future__ import annotations

import pytest

from tests.golden import Golden
from tests.passes.arena_cases import network, random_case
from tinyir.passes.arena import Buffer, Overlap, Plan, plan
from tinyir.passes.arena_picture import describe, picture

VWW_HEAD = [
    Buffer("image", 27_648, 8, 0, 1),
    Buffer("conv1", 18_432, 8, 1, 2),
    Buffer("conv1.scratch", 972, 8, 1, 1),
    Buffer("dw1", 18_432, 8, 2, 3),
    Buffer("pw1", 36_864, 8, 3, 4),
    Buffer("dw2", 9_216, 8, 4, 5),
    Buffer("pw2", 18_432, 8, 5, 6),
]
VWW_OVERLAPS = [
    Overlap("conv1", "dw1", -18_431, 18_431, True),
    Overlap("dw1", "pw1", -18_431, 18_431, False),
]


def test_small_network(golden: Golden) -> None:
    golden.check(picture(VWW_HEAD, plan(VWW_HEAD, VWW_OVERLAPS)))


def test_sixty_steps(golden: Golden) -> None:
    buffers, overlaps = network(3, 80)
    golden.check(picture(buffers, plan(buffers, overlaps)))


def test_many_steps_are_drawn_a_few_to_a_column(golden: Golden) -> None:
    buffers, overlaps = network(1, 140)
    text = picture(buffers, plan(buffers, overlaps), width=40, rows=12)
    golden.check(text)
    assert all(len(line) <= 50 for line in text.splitlines()[:15])


def columns_of(text: str) -> list[str]:
    rows = [line.split("|")[1] for line in text.splitlines() if "|" in line]
    return ["".join(column) for column in zip(*reversed(rows), strict=True)]


def test_rows_and_columns_show_what_lies_where() -> None:
    buffers = [Buffer("a", 4, 1, 0, 1), Buffer("b", 2, 1, 1, 2), Buffer("c", 6, 1, 2, 2)]
    found = Plan({"a": 0, "b": 6, "c": 0}, 8, 8, 2, "by hand")
    columns = columns_of(picture(buffers, found, width=3))
    assert columns == ["aaaa....", "aaaa..bb", "ccccccbb"]


def test_bytes_of_two_buffers_are_marked() -> None:
    buffers = [Buffer("a", 4, 1, 0, 1), Buffer("b", 6, 1, 1, 2)]
    text = picture(buffers, Plan({"a": 4, "b": 0}, 8, 8, 1, "by hand"), width=3)
    assert columns_of(text) == ["....aaaa", "bbbb##aa", "bbbbbb.."]
    assert "b  b  6 B at 0  steps 1 to 2  over a\n" in text


def test_a_small_buffer_is_seen_beside_large_ones() -> None:
    buffers = [Buffer("large", 10_000, 1, 0, 1), Buffer("small", 3, 1, 1, 1)]
    columns = columns_of(picture(buffers, plan(buffers), width=2))
    assert columns[0] == "a" * 24 and columns[1] == "a" * 23 + "b"


@pytest.mark.parametrize("seed", range(20))
def test_buffers_of_two_rows_or_more_are_drawn_and_all_are_listed(seed: int) -> None:
    buffers = [b for b in random_case(seed, 14, 10, 100)[0] if b.bytes]
    found = plan(buffers)
    text = picture(buffers, found)
    letters = {line.split()[1]: line[0] for line in text.splitlines() if " B at " in line}
    drawn = set("".join(columns_of(text)))
    assert sorted(letters) == sorted(b.name for b in buffers)
    assert {letters[b.name] for b in buffers if b.bytes * 24 >= 2 * found.peak + 24} <= drawn


def test_more_buffers_than_letters() -> None:
    buffers = [Buffer(f"t{i}", 100 - i, 1, i, i) for i in range(60)]
    text = picture(buffers, plan(buffers), rows=4)
    assert columns_of(text)[51:53] == ["ZZ..", "**.."]
    assert "*  8 smaller buffers, of at most 48 B\n" in text


def test_empty_arena() -> None:
    assert picture([], plan([])) == "the arena is empty\n"


def test_the_bound_is_told() -> None:
    assert describe(Plan({}, 55_296, 55_296, 3, "")) == "peak 55,296 B = lower bound, proven"
    assert describe(Plan({}, 51_250, 50_000, 3, "")) == "peak 51,250 B, lower bound 50,000 B, gap 2.5 %"
