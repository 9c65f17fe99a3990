"""Facts about kernels: what is parallel, in which order loops may stand, and when each access happens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from tests.loops.cases import case
from tests.loops.kernels import data_for, kernel
from tests.loops.random_kernels import random_kernel
from tests.loops.traces import Event, trace
from tinyir.loops.affine import Affine
from tinyir.loops.analysis import (
    Access,
    accesses,
    assigned_locals,
    duration,
    extents_of,
    free_locals,
    loaded_buffers,
    stored_buffers,
    why_not_parallel,
    why_not_permutable,
)
from tinyir.loops.ir import Body, Cond, For, Gather, If, Kernel
from tinyir.loops.recipes import schedule
from tinyir.loops.walk import all_exprs, loops_of, walk

# -- parallel loops ---------------------------------------------------------------------------------------------------

FRAME = """
kernel @k(in x: i8[8], scratch s: i32[8, 4], out y: i32[64], out z: i8[64]) {{
  var acc: i32 = 0
  for o in 2 {{
    for i in 4 {{
      {}
    }}
  }}
}}
"""


def reason(body: str, var: str = "i") -> str:
    one = kernel(FRAME.format(body))
    return why_not_parallel(loops_of(one.body)[var], {p.name: p.shape for p in one.params})


@pytest.mark.parametrize(
    "body",
    [
        "y[i] = 1",
        "y[-1*i + 3] = 1",
        "y[4*o + i] = y[i + 4*o]",
        "y[2*i] = 1 y[2*i + 1] = 2",
        "y[4*i] = y[4*i + 3]",
        "for j in 2 { y[2*i + j] = 1 }",
        "for j in 3 { for k in 4 { y[16*i + 4*j + k] = 1 } }",
        "z[4*i] = x[4*o] as i8x4",  # a word fills the step
        "s[i, 0] = 1 y[i] = s[i, 3]",
        "s[o, i] = 1 y[i] = s[o, i]",
        "s[i, o] = 1 y[i] = s[i, o + 1]",
        "var a: i32 = 0 for k in 2 { a = (a + 1) } y[i] = a",
        "let a: i32 = acc y[i] = a",
        "y[i] = i32(x[[index(i)]])",
    ],
)
def test_iterations_that_are_apart(body: str) -> None:
    assert reason(body) == ""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("acc = (acc + 1)", "`i` carries the local `acc` from one iteration to the next"),
        ("for k in 2 { acc = 1 }", "`i` carries the local `acc` from one iteration to the next"),
        ("y[o] = 1", "iterations of `i` may touch the same element of `y`"),
        ("y[i] = y[i + 1]", "iterations of `i` may touch the same element of `y`"),
        ("y[2*i] = 1 y[i] = 2", "iterations of `i` may touch the same element of `y`"),
        ("y[i] = 1 y[3] = 2", "iterations of `i` may touch the same element of `y`"),
        ("for j in 3 { y[2*i + j] = 1 }", "iterations of `i` may touch the same element of `y`"),
        ("y[i + o] = 1 y[i] = 2", "iterations of `i` may touch the same element of `y`"),
        ("z[i] = x[4*o] as i8x4", "iterations of `i` may touch the same element of `z`"),
        ("s[i, o] = 1 y[i] = s[o, i]", "iterations of `i` may touch the same element of `s`"),
        ("s[i, o] = 1 y[i] = s[[0]]", "any iteration of `i` may look up what another stores in `s`"),
        ("y[i] = 1 y[-1*i + 3] = 1", "iterations of `i` may touch the same element of `y`"),
    ],
)
def test_iterations_that_may_meet(body: str, why: str) -> None:
    assert reason(body) == why


def test_a_loop_is_judged_in_its_place() -> None:
    """For each o the elements are apart; from o to o they are not."""
    assert reason("y[i + o] = 1") == ""
    assert reason("y[i + o] = 1", "o") == "iterations of `o` may touch the same element of `y`"


def nest_of(body: str) -> tuple[list[For], Kernel]:
    one = kernel(FRAME.format(body))
    return [loops_of(one.body)[v] for v in ("o", "i")], one


@pytest.mark.parametrize(
    "body", ["y[4*o + i] = 1", "y[i] = 1", "y[o] = 1", "s[o, i] = s[o, i]", "s[i, o + 1] = s[i, o]"]
)
def test_loops_in_any_order(body: str) -> None:
    loops, one = nest_of(body)
    assert why_not_permutable(loops, {p.name: p.shape for p in one.params}) == ""


@pytest.mark.parametrize("body", ["y[o + i] = index(o)", "acc = (acc + 1)", "y[0] = index(i)", "y[2*o + i] = index(i)"])
def test_loops_in_their_order(body: str) -> None:
    loops, one = nest_of(body)
    assert why_not_permutable(loops, {p.name: p.shape for p in one.params}) != ""


def instances(
    access: Access, fixed: dict[str, int], extents: dict[str, int]
) -> Iterator[tuple[dict[str, int], set[int]]]:
    """Every execution of an access with some loops fixed: where all loops stand, and the elements touched."""
    assert access.at is not None
    free = [v for v in access.loops if v not in fixed]
    for values in product(*(range(extents[v]) for v in free)):
        point = fixed | dict(zip(free, values, strict=True))
        at = access.at.substitute({v: Affine.of(n) for v, n in point.items()}).const
        yield point, set(range(at, at + access.lanes))


def meetings(one: Kernel, loop: For) -> str:
    """A buffer of which two iterations of a loop touch the same element, one of them storing; found by trying all,
    whatever guards say."""
    extents = extents_of(one)
    inside = [a for a in accesses(one) if loop.var in a.loops]
    outer = [v for a in inside[:1] for v in a.loops[: a.loops.index(loop.var)]]
    for buffer in sorted(stored_buffers(loop.body)):
        mine = [a for a in inside if a.buffer == buffer]
        if any(a.at is None for a in mine):
            return buffer
        for place in product(*(range(extents[v]) for v in outer)):
            touched: list[tuple[set[int], set[int]]] = []
            for i in range(loop.extent):
                fixed = dict(zip(outer, place, strict=True)) | {loop.var: i}
                stored = {e for a in mine if a.is_store for _, some in instances(a, fixed, extents) for e in some}
                every = {e for a in mine for _, some in instances(a, fixed, extents) for e in some}
                touched.append((stored, every))
            for i, j in product(range(loop.extent), repeat=2):
                if i != j and touched[i][0] & touched[j][1]:
                    return buffer
    return ""


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_what_is_called_parallel_never_meets(first: int) -> None:
    for seed in range(first, first + 30):
        one = random_kernel(seed)
        shapes = {p.name: p.shape for p in one.params}
        for loop in loops_of(one.body).values():
            if not why_not_parallel(loop, shapes):
                assert meetings(one, loop) == "", f"{loop.var} in\n{one.text()}"


# -- times ------------------------------------------------------------------------------------------------------------


def predicted(one: Kernel) -> list[list[Event]]:
    """Every execution of every access, those of one time together, in order of time."""
    extents = extents_of(one)
    by_time: dict[int, list[Event]] = {}
    for access in accesses(one):
        for point, elements in instances(access, {}, extents):
            time = access.time.substitute({v: Affine.of(n) for v, n in point.items()}).const
            event = Event(access.buffer, min(elements), access.lanes, access.is_store)
            by_time.setdefault(time, []).append(event)
    return [by_time[time] for time in sorted(by_time)]


def has(one: Kernel, *kinds: type) -> bool:
    return any(isinstance(node, kinds) for node in (*walk(one.body), *all_exprs(one.body)))


def in_order(groups: list[list[Event]], events: list[Event]) -> bool:
    """Whether `events` happen in the order of `groups`, some of which may not happen."""
    pending = iter(groups)
    left = list(next(pending, []))
    for event in events:
        while event not in left:
            following = next(pending, None)
            if following is None:
                return False
            left = list(following)
        left.remove(event)
    return True


def assert_times(one: Kernel, events: list[Event]) -> None:
    groups = predicted(one)
    assert in_order(groups, events), one.text()
    if not has(one, If, Cond):
        assert len(events) == sum(map(len, groups))


@pytest.mark.parametrize(
    "kind", ["conv", "depthwise", "dense", "sum_int", "concat", "slice", "max_pool", "float_softmax"]
)
def test_times_are_those_of_the_execution(kind: str) -> None:
    for seed in range(6):
        plain = case(kind, seed, 3)
        for one in (plain.kernel, schedule(plain.kernel)):
            if not has(one, Gather):
                assert_times(one, trace(one, plain.arrays))


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_times_of_any_kernel(first: int) -> None:
    for seed in range(first, first + 25):
        one = random_kernel(seed)
        if not has(one, Gather):
            assert_times(one, trace(one, data_for(one, seed)))


def test_a_table_is_read_anywhere() -> None:
    one = kernel("kernel @k(const t: i8[4], out y: i8[1]) { y[0] = t[[3]] }")
    assert accesses(one) == [
        Access("t", None, 1, Affine(), (), False),
        Access("y", Affine(), 1, Affine.of(1), (), True),
    ]


@pytest.mark.parametrize("first", range(0, 50, 25))
def test_accesses_of_some_buffers(first: int) -> None:
    for seed in range(first, first + 25):
        one = random_kernel(seed)
        for name in (p.name for p in one.params):
            assert accesses(one, name) == [a for a in accesses(one) if a.buffer == name]


# -- names ------------------------------------------------------------------------------------------------------------

BODY = """
kernel @k(in x: i8[4], const t: i8[4], scratch s: i32[4], out y: i32[4]) {
  var a: i32 = 0
  for i in 4 {
    let b: i32 = (a + i32(x[i]))
    if 0 <= i < 2 { a = b s[i] = (a + 1) } else { y[i] = i32(t[[index(i)]]) }
  }
  y[0] = s[0]
}
"""


def body(*path: int) -> Body:
    """The whole body, or that of the loop in it."""
    one = kernel(BODY)
    loop = one.body[1]
    assert isinstance(loop, For)
    return loop.body if path else one.body


def test_buffers_and_locals() -> None:
    assert stored_buffers(body()) == {"s", "y"}
    assert loaded_buffers(body()) == {"x", "s", "t"}
    assert free_locals(body()) == assigned_locals(body()) == set()
    assert free_locals(body(1)) == assigned_locals(body(1)) == {"a"}
    assert extents_of(body()) == extents_of(kernel(BODY)) == {"i": 4}


def test_durations() -> None:
    """Two steps for a plain statement; both sides of a condition, one after the other."""
    assert duration(body(1)) == 2 + 2 * 2 + 2
    assert duration(body()) == 2 + 4 * 8 + 2
