"""Steps that change the shape of loops: split, fuse, reorder, tile."""

from __future__ import annotations

import pytest

from tests.loops.kernels import COPY, DOT, becomes, refuses

FLAT_COPY = """
kernel @copy(in x: i8[24], out y: i8[24]) {
  for i in 4 {
    for j in 6 {
      y[6*i + j] = x[6*i + j]
    }
  }
}
"""


# -- split ------------------------------------------------------------------------------------------------------------


def test_split() -> None:
    becomes(
        COPY,
        "split(j, 2, jo, ji)",
        """
        kernel @copy(in x: i8[4, 6], out y: i8[4, 6]) {
          for i in 4 {
            for jo in 3 {
              for ji in 2 {
                y[i, ji + 2*jo] = x[i, ji + 2*jo]
              }
            }
          }
        }
        """,
    )


def test_split_reaches_guards_and_values() -> None:
    becomes(
        """
        kernel @k(in x: i8[3], out y: i32[4]) {
          for i in 4 {
            if 0 <= i + -1 < 3 {
              y[i] = index(2*i)
            } else {
              y[i] = i32(where [0 <= i < 3] x[i] else i8(-1))
            }
          }
        }
        """,
        "split(i, 2, o, n)",
        """
        kernel @k(in x: i8[3], out y: i32[4]) {
          for o in 2 {
            for n in 2 {
              if 0 <= n + 2*o + -1 < 3 {
                y[n + 2*o] = index(2*n + 4*o)
              } else {
                y[n + 2*o] = i32(where [0 <= n + 2*o < 3] x[n + 2*o] else i8(-1))
              }
            }
          }
        }
        """,
    )


@pytest.mark.parametrize("by", [4, 5, 7, 0, -2])
def test_split_refuses_a_remainder(by: int) -> None:
    refuses(COPY, f"split(j, {by}, jo, ji)", "6 is no multiple of it")


# -- fuse -------------------------------------------------------------------------------------------------------------


def test_fuse() -> None:
    becomes(
        FLAT_COPY,
        "fuse(i, j, p)",
        """
        kernel @copy(in x: i8[24], out y: i8[24]) {
          for p in 24 {
            y[p] = x[p]
          }
        }
        """,
    )


def test_fuse_refuses_loops_that_are_told_apart() -> None:
    refuses(COPY, "fuse(i, j, p)", "the index i tells them apart; flatten it first")


@pytest.mark.parametrize(
    "body",
    [
        "y[6*i + j] = where [0 <= j < 3] x[6*i + j] else i8(0)",
        "y[6*i + j] = i8(index(i))",
        "if 0 <= i < 2 { y[6*i + j] = x[6*i + j] }",
        "y[6*i + j] = x[[index(j)]]",
        "y[6*i + j] = x[j + 5*i]",
    ],
)
def test_fuse_looks_at_every_index(body: str) -> None:
    text = f"kernel @k(in x: i8[24], out y: i8[24]) {{ for i in 4 {{ for j in 6 {{ {body} }} }} }}"
    refuses(text, "fuse(i, j, p)", "tells them apart")


def test_fuse_refuses_a_loop_that_is_not_all_of_the_other() -> None:
    refuses(DOT, "fuse(i, k, p)", "`k` is not all of `i`'s body")
    refuses(COPY, "fuse(j, i, p)", "`i` is not all of `j`'s body")


# -- reorder ----------------------------------------------------------------------------------------------------------


def test_reorder() -> None:
    becomes(
        COPY,
        "reorder(j, i)",
        """
        kernel @copy(in x: i8[4, 6], out y: i8[4, 6]) {
          for j in 6 {
            for i in 4 {
              y[i, j] = x[i, j]
            }
          }
        }
        """,
    )


def test_reorder_to_the_same_order_changes_nothing() -> None:
    becomes(COPY, "reorder(i, j)", COPY)


SUM = """
kernel @sum(in x: {ty}[4, 6], out y: {acc}[1]) {{
  var acc: {acc} = {zero}
  for i in 4 {{
    for j in 6 {{
      {body}
    }}
  }}
  y[0] = acc
}}
"""


@pytest.mark.parametrize("op", ["(acc + i32(x[{}]))", "max(acc, i32(x[{}]))", "min(acc, i32(x[{}]))"])
def test_reorder_of_an_integer_reduction(op: str) -> None:
    before = SUM.format(ty="i8", acc="i32", zero="0", body=f"acc = {op.format('i, j')}")
    swapped = before.replace("for i in 4", "for ?").replace("for j in 6", "for i in 4").replace("for ?", "for j in 6")
    becomes(before, "reorder(j, i)", swapped)


@pytest.mark.parametrize(
    "body",
    [
        "acc = (acc - i32(x[i, j]))",  # could be, but only sums and extremes are known
        "acc = (i32(x[i, j]) + acc)",
        "acc = ((acc * 2) + i32(x[i, j]))",
        "acc = (acc + (i32(x[i, j]) * acc))",
        "acc = (acc + 1) acc = max(acc, i32(x[i, j]))",  # two operations on one sum
        "acc = i32(x[i, j])",
        "acc = (acc + 1) y[0] = acc",
    ],
)
def test_reorder_refuses_what_depends_on_the_order(body: str) -> None:
    refuses(SUM.format(ty="i8", acc="i32", zero="0", body=body), "reorder(j, i)", "carries the local `acc`")


def test_reorder_refuses_a_sum_of_floats() -> None:
    body = "acc = (acc + x[i, j])"
    refuses(SUM.format(ty="f32", acc="f32", zero="f32(0.0)", body=body), "reorder(j, i)", "carries the local `acc`")


def test_reorder_refuses_iterations_that_meet() -> None:
    """The last write to an element is another one in the other order, though each loop is parallel in its place."""
    refuses(
        """
        kernel @skewed(in x: i8[3, 4], out y: i8[6]) {
          for j in 3 { for i in 4 { y[i + j] = x[j, i] } }
        }
        """,
        "reorder(i, j)",
        "may touch the same element of `y`",
    )


def test_reorder_with_one_loop_that_must_stay_in_order() -> None:
    """Rows are apart; within a row the order of columns stays."""
    becomes(
        """
        kernel @rows(in x: i8[3, 4], out y: i8[3, 5]) {
          for j in 3 { y[j, 0] = i8(1) }
          for r in 3 { for c in 4 { y[r, c + 1] = y[r, c] } }
        }
        """,
        "reorder(c, r)",
        """
        kernel @rows(in x: i8[3, 4], out y: i8[3, 5]) {
          for j in 3 { y[j, 0] = i8(1) }
          for c in 4 { for r in 3 { y[r, c + 1] = y[r, c] } }
        }
        """,
    )


def test_reorder_of_a_mixed_radix_index() -> None:
    becomes(
        """
        kernel @k(in x: i8[24], out y: i8[24]) {
          for a in 2 { for b in 3 { for c in 4 { y[12*a + 4*b + c] = x[12*a + 4*b + c] } } }
        }
        """,
        "reorder(c, a, b)",
        """
        kernel @k(in x: i8[24], out y: i8[24]) {
          for c in 4 { for a in 2 { for b in 3 { y[12*a + 4*b + c] = x[12*a + 4*b + c] } } }
        }
        """,
    )


def test_reorder_refuses_loops_with_something_between() -> None:
    refuses(DOT, "reorder(k, i)", "is not all of")
    refuses(COPY, "reorder(i, i)", "is not all of")
    refuses(COPY, "reorder()", "no loops are named")


# -- tile -------------------------------------------------------------------------------------------------------------


def test_tile() -> None:
    becomes(
        COPY,
        "tile(i, j, 2, 3)",
        """
        kernel @copy(in x: i8[4, 6], out y: i8[4, 6]) {
          for i_o in 2 {
            for j_o in 2 {
              for i_i in 2 {
                for j_i in 3 {
                  y[i_i + 2*i_o, j_i + 3*j_o] = x[i_i + 2*i_o, j_i + 3*j_o]
                }
              }
            }
          }
        }
        """,
    )


def test_tile_refuses_what_its_steps_refuse() -> None:
    refuses(COPY, "tile(i, j, 3, 3)", "4 is no multiple of it")
    refuses(DOT, "tile(i, k, 2, 2)", "is not all of")
