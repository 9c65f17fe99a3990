"""Recorded steps, their replay, and what every step refuses."""

from __future__ import annotations

import pytest

from tests.loops.kernels import kernel, refuses
from tinyir.loops.schedule import PRIMITIVES, ScheduleError, apply, split, unroll

COPY = """
kernel @copy(in x: i8[4, 6], out y: i8[4, 6]) {
  for i in 4 {
    for j in 6 {
      y[i, j] = x[i, j]
    }
  }
}
"""


def test_steps_are_recorded_and_replayed() -> None:
    plain = kernel(COPY)
    scheduled = unroll(split(plain, "j", 2, "jo", "ji"), "ji")
    assert scheduled.schedule == ("split(j, 2, jo, ji)", "unroll(ji)")
    assert apply(plain, scheduled.schedule) == scheduled
    assert plain.schedule == ()


def test_a_step_that_consists_of_others_is_recorded_once() -> None:
    assert apply(kernel(COPY), ("tile(i, j, 2, 3)",)).schedule == ("tile(i, j, 2, 3)",)


def test_spaces_do_not_matter() -> None:
    assert apply(kernel(COPY), (" split( i,2 ,io,  ii ) ",)).schedule == ("split(i, 2, io, ii)",)


@pytest.mark.parametrize("step", ["vanish(i)", "split", "split i 2", "", "split(i, 2, a, b"])
def test_what_is_no_step(step: str) -> None:
    with pytest.raises(ScheduleError, match="is no schedule step") as caught:
        apply(kernel(COPY), (step,))
    assert "collapse, fill, flatten, fuse" in caught.value.help


@pytest.mark.parametrize(
    "step",
    [
        "split(i)",
        "split(i, 2, io, ii, more)",
        "simplify(i)",
        "split(i, two, io, ii)",
        "peel(i, half, rest)",
        "tile(i, j, 2)",
    ],
)
def test_arguments_that_do_not_fit(step: str) -> None:
    with pytest.raises(ScheduleError):
        apply(kernel(COPY), (step,))


@pytest.mark.parametrize(
    "step",
    [
        "split(k, 2, a, b)", "fuse(k, j, f)", "reorder(k, i)", "tile(k, j, 2, 2)", "unroll(k)",
        "peel(k, 1, r)", "jam(k)", "stage(x, k, xs, i8)", "pad_sum(k, 4)", "tensorize(k)", "tensorize(j, k)",
        "hoist(k)", "unswitch(k)", "lift(k, i)", "lift(j, k)",
    ],
)  # fmt: skip
def test_a_loop_that_is_not_there(step: str) -> None:
    refuses(COPY, step, "cannot find the loop `k`: there are i, j")


@pytest.mark.parametrize("step", ["stage(z, i, zs, i8)", "flatten(z, 0)", "pack(z, i)", "interleave(z)"])
def test_a_buffer_that_is_not_there(step: str) -> None:
    refuses(COPY, step, "cannot find the buffer `z`: there are x, y")


@pytest.mark.parametrize(
    "step",
    [
        "split(i, 2, j, ii)",
        "split(i, 2, x, ii)",
        "split(i, 2, a, a)",
        "fuse(i, j, y)",
        "peel(i, 1, j)",
        "stage(x, i, y, i8)",
    ],
)
def test_names_that_are_taken(step: str) -> None:
    refuses(COPY, step, "the name is taken")


def test_every_primitive_has_a_docstring() -> None:
    assert all(primitive.__doc__ for primitive in PRIMITIVES.values())
