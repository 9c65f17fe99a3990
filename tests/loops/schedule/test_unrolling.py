"""Steps that write iterations out or apart: unroll, peel, jam."""

from __future__ import annotations

import pytest

from tests.loops.kernels import COPY, DOT, becomes, refuses

# -- unroll -----------------------------------------------------------------------------------------------------------


def test_unroll() -> None:
    becomes(
        """
        kernel @k(in x: i8[2, 3], out y: i32[2]) {
          for i in 2 {
            var acc: i32 = index(i)
            for k in 3 {
              acc = (acc + i32(x[i, k]))
            }
            y[i] = acc
          }
        }
        """,
        "unroll(i)",
        """
        kernel @k(in x: i8[2, 3], out y: i32[2]) {
          var acc_0: i32 = index(0)
          for k_0 in 3 {
            acc_0 = (acc_0 + i32(x[0, k_0]))
          }
          y[0] = acc_0
          var acc_1: i32 = index(1)
          for k_1 in 3 {
            acc_1 = (acc_1 + i32(x[1, k_1]))
          }
          y[1] = acc_1
        }
        """,
    )


def test_unroll_finds_new_names() -> None:
    becomes(
        """
        kernel @k(out y: i32[2, 2]) {
          let a_0: i32 = 7
          for k_0 in 2 { y[k_0, 1] = a_0 }
          for i in 2 { let a: i32 = index(i) for k in 1 { y[i, k] = (a + a_0) } }
        }
        """,
        "unroll(i)",
        """
        kernel @k(out y: i32[2, 2]) {
          let a_0: i32 = 7
          for k_0 in 2 { y[k_0, 1] = a_0 }
          let a_0_1: i32 = index(0)
          for k_0_1 in 1 { y[0, k_0_1] = (a_0_1 + a_0) }
          let a_1: i32 = index(1)
          for k_1 in 1 { y[1, k_1] = (a_1 + a_0) }
        }
        """,
    )


def test_unroll_keeps_the_order_of_iterations_that_depend_on_each_other() -> None:
    becomes(
        "kernel @k(out y: i32[3]) { y[0] = 5 for i in 2 { y[i + 1] = (y[i] + 1) } }",
        "unroll(i)",
        "kernel @k(out y: i32[3]) { y[0] = 5 y[1] = (y[0] + 1) y[2] = (y[1] + 1) }",
    )


# -- peel -------------------------------------------------------------------------------------------------------------


def test_peel() -> None:
    becomes(
        """
        kernel @k(in x: i8[4], out y: i32[4, 2]) {
          for i in 4 {
            let a: i32 = i32(where [0 <= i + -1 < 4] x[i + -1] else i8(9))
            for j in 2 {
              y[i, j] = (a + index(j))
            }
          }
        }
        """,
        "peel(i, 1, r)",
        """
        kernel @k(in x: i8[4], out y: i32[4, 2]) {
          for i in 1 {
            let a: i32 = i32(where [0 <= i + -1 < 4] x[i + -1] else i8(9))
            for j in 2 {
              y[i, j] = (a + index(j))
            }
          }
          for r in 3 {
            let a_r: i32 = i32(where [0 <= r < 4] x[r] else i8(9))
            for j_r in 2 {
              y[r + 1, j_r] = (a_r + index(j_r))
            }
          }
        }
        """,
    )


def test_peel_inside_peel() -> None:
    becomes(
        "kernel @k(in x: i8[6], out y: i8[6]) { for i in 6 { y[i] = x[i] } }",
        """
        peel(i, 2, r)
        peel(r, 3, s)
        """,
        """
        kernel @k(in x: i8[6], out y: i8[6]) {
          for i in 2 { y[i] = x[i] }
          for r in 3 { y[r + 2] = x[r + 2] }
          for s in 1 { y[s + 5] = x[s + 5] }
        }
        """,
    )


@pytest.mark.parametrize("at", [-1, 0, 4, 5])
def test_peel_refuses_to_leave_nothing(at: int) -> None:
    refuses(COPY, f"peel(i, {at}, r)", "it runs over 0..4")


def test_peel_refuses_names_that_inner_loops_would_share() -> None:
    text = "kernel @k(out y: i32[2, 2]) { for j_r in 2 { y[j_r, 0] = 1 } for i in 2 { for j in 2 { y[i, j] = 2 } } }"
    refuses(text, "peel(i, 1, r)", "cannot call something `j_r`")


# -- jam --------------------------------------------------------------------------------------------------------------


def test_jam() -> None:
    becomes(
        DOT,
        """
        split(i, 2, io, ii)
        jam(ii)
        """,
        """
        kernel @dot(in x: i8[4, 6], in w: i8[6], out y: i32[4]) {
          for io in 2 {
            var acc_0: i32 = 0
            var acc_1: i32 = 0
            for k in 6 {
              acc_0 = (acc_0 + (i32(x[2*io, k]) * i32(w[k])))
              acc_1 = (acc_1 + (i32(x[2*io + 1, k]) * i32(w[k])))
            }
            y[2*io] = acc_0
            y[2*io + 1] = acc_1
          }
        }
        """,
    )


def test_jam_merges_conditions_that_are_the_same() -> None:
    becomes(
        """
        kernel @k(in x: i8[2, 2], out y: i8[2, 2]) {
          for h in 2 {
            for i in 2 {
              if 0 <= h + -1 < 1 { for k in 1 { y[i, h] = x[h, i] } } else { y[i, h] = i8(3) }
            }
          }
        }
        """,
        "jam(i)",
        """
        kernel @k(in x: i8[2, 2], out y: i8[2, 2]) {
          for h in 2 {
            if 0 <= h + -1 < 1 {
              for k in 1 { y[0, h] = x[h, 0] y[1, h] = x[h, 1] }
            } else {
              y[0, h] = i8(3)
              y[1, h] = i8(3)
            }
          }
        }
        """,
    )


def test_jam_keeps_conditions_that_differ_apart() -> None:
    becomes(
        """
        kernel @k(out y: i32[2, 2]) {
          for i in 2 {
            if 0 <= i + -1 < 1 { for k in 2 { y[i, k] = 1 } } else { for l in 2 { y[i, l] = 2 } }
          }
        }
        """,
        "jam(i)",
        """
        kernel @k(out y: i32[2, 2]) {
          if 0 <= -1 < 1 { for k_0 in 2 { y[0, k_0] = 1 } } else { for l_0 in 2 { y[0, l_0] = 2 } }
          if 0 <= 0 < 1 { for k_1 in 2 { y[1, k_1] = 1 } } else { for l_1 in 2 { y[1, l_1] = 2 } }
        }
        """,
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("acc = (acc + i32(x[i]))", "carries the local `acc`"),
        ("y[i + 1] = y[i]", "the same element of `y`"),
        ("y[0] = i32(x[i])", "the same element of `y`"),
        ("for k in 2 { y[i + k] = i32(x[i]) }", "the same element of `y`"),
        ("y[i] = 1 y[-1*i + 2] = 2", "the same element of `y`"),
        ("s[i] = 1 y[i] = s[[index(i)]]", "may look up"),
    ],
)
def test_jam_refuses_iterations_that_depend_on_each_other(body: str, reason: str) -> None:
    text = f"""
    kernel @k(in x: i8[4], scratch s: i32[4], out y: i32[4]) {{
      var acc: i32 = 0
      for z in 4 {{ y[z] = 0 }}
      for i in 2 {{ {body} }}
      y[3] = acc
    }}
    """
    refuses(text, "jam(i)", reason)
