"""Steps that clean up: simplify, collapse, share, hoist, unswitch, lift."""

from __future__ import annotations

import pytest

from tests.loops.kernels import becomes, kernel, refuses, same_results
from tinyir.loops.schedule import apply

# -- simplify ---------------------------------------------------------------------------------------------------------


def test_simplify_decides_guards() -> None:
    becomes(
        """
        kernel @k(in x: i8[4], out y: i8[4], out z: i8[4]) {
          for i in 4 {
            y[i] = where [0 <= i < 4, 0 <= i + -1 < 9] x[i] else i8(0)
            z[i] = where [0 <= i < 9] x[i] else i8(0)
            y[i] = where [0 <= i + 4 < 4, 0 <= i < 2] x[i] else i8(5)
            if 0 <= i < 4 { z[i] = i8(1) }
            if 0 <= i + -4 < 4 { z[i] = i8(2) }
            if 0 <= i + -4 < 4 { z[i] = i8(3) } else { z[i] = i8(4) }
            if 0 <= i < 4, 0 <= i < 3 { z[i] = i8(6) }
          }
        }
        """,
        "simplify()",
        """
        kernel @k(in x: i8[4], out y: i8[4], out z: i8[4]) {
          for i in 4 {
            y[i] = where [0 <= i + -1 < 9] x[i] else i8(0)
            z[i] = x[i]
            y[i] = i8(5)
            z[i] = i8(1)
            z[i] = i8(4)
            if 0 <= i < 3 { z[i] = i8(6) }
          }
        }
        """,
    )


def test_simplify_drops_loops_that_do_nothing() -> None:
    becomes(
        "kernel @k(out y: i8[1]) { y[0] = i8(2) for i in 4 { for j in 3 { if 0 <= i + -9 < 2 { y[0] = i8(3) } } } }",
        "simplify()",
        "kernel @k(out y: i8[1]) { y[0] = i8(2) }",
    )


def test_simplify_of_conversions_of_numbers() -> None:
    becomes(
        """
        kernel @k(out y: i8[2], out z: i32[2]) {
          y[0] = i8(i16(7)) y[1] = i8(i16(300)) z[0] = i32(f32(1.75)) z[1] = i32(i8(-3))
        }
        """,
        "simplify()",
        "kernel @k(out y: i8[2], out z: i32[2]) { y[0] = i8(7) y[1] = i8(i16(300)) z[0] = i32(f32(1.75)) z[1] = -3 }",
    )


@pytest.mark.parametrize(("step", "head"), [("simplify()", "if 0 <= 0 < 1"), ("collapse()", "for i in 1")])
def test_blocks_that_are_given_up_keep_their_names_apart(step: str, head: str) -> None:
    plain = kernel(
        f"""
        kernel @k(out y: i32[3]) {{
          {head} {{ let a: i32 = 1 let b: i32 = 5 y[0] = (a + b) }}
          {head.replace("i in", "j in")} {{ let a: i32 = 2 y[1] = a }}
          let a: i32 = 3
          y[2] = a
        }}
        """
    )
    same_results(plain, apply(plain, (step,)))


# -- collapse ---------------------------------------------------------------------------------------------------------


def test_collapse() -> None:
    becomes(
        """
        kernel @k(in x: i8[3], out y: i8[1, 3]) {
          for a in 1 { for b in 3 { for c in 1 { y[a, b + c] = x[b + 4*c] } } }
        }
        """,
        "collapse()",
        "kernel @k(in x: i8[3], out y: i8[1, 3]) { for b in 3 { y[0, b] = x[b] } }",
    )


# -- share ------------------------------------------------------------------------------------------------------------


def test_share() -> None:
    becomes(
        """
        kernel @k(in x: i8[4], out y: i32[2, 4]) {
          for i in 4 {
            y[0, i] = (i32(x[i]) * i32(x[i]))
            y[1, i] = (i32(x[i]) + 1)
          }
        }
        """,
        "share()",
        """
        kernel @k(in x: i8[4], out y: i32[2, 4]) {
          for i in 4 {
            let x_0: i8 = x[i]
            y[0, i] = (i32(x_0) * i32(x_0))
            y[1, i] = (i32(x_0) + 1)
          }
        }
        """,
    )


def test_share_in_one_loop() -> None:
    text = """
        kernel @k(in x: i8[4], out y: i32[2, 4]) {
          for i in 4 { y[0, i] = (i32(x[i]) * i32(x[i])) }
          for j in 4 { y[1, j] = (i32(x[j]) + i32(x[j])) }
        }
        """
    becomes(
        text,
        "share(j)",
        text.replace("{ y[1, j] = (i32(x[j]) + i32(x[j]))", "{ let x_0: i8 = x[j] y[1, j] = (i32(x_0) + i32(x_0))"),
    )
    refuses(text, "share(k)", "cannot find the loop `k`")


def test_share_of_instructions_and_their_operands() -> None:
    becomes(
        """
        kernel @k(in x: i8[4], out y: i32[2]) {
          y[0] = smlad(sxtb16(x[0] as i8x4), sxtb16(x[0] as i8x4), 0)
          y[1] = smlad(sxtb16(x[0] as i8x4), sxtb16_ror8(x[0] as i8x4), 0)
        }
        """,
        "share()",
        """
        kernel @k(in x: i8[4], out y: i32[2]) {
          let x_0: i8x4 = x[0] as i8x4
          let sxtb16_0: i16x2 = sxtb16(x_0)
          y[0] = smlad(sxtb16_0, sxtb16_0, 0)
          y[1] = smlad(sxtb16_0, sxtb16_ror8(x_0), 0)
        }
        """,
    )


def test_share_uses_a_local_that_is_there() -> None:
    becomes(
        "kernel @k(in x: i8[1], out y: i8[2]) { let a: i8 = x[0] y[0] = x[0] y[1] = a }",
        "share()",
        "kernel @k(in x: i8[1], out y: i8[2]) { let a: i8 = x[0] y[0] = a y[1] = a }",
    )


@pytest.mark.parametrize(
    "body",
    [
        "y[0] = x[0] y[1] = x[1]",  # nothing twice
        "y[0] = (s[0] + 1) s[0] = y[0] y[1] = s[0]",  # stored in between
        "s[0] = (s[0] + 1) y[0] = s[0] y[1] = 7",
        "y[0] = x[0] for i in 1 { y[1] = x[1] } y[1] = x[0]",  # a loop in between
        "y[0] = x[0] if 0 <= 0 < 1 { y[1] = x[1] } y[1] = x[0]",
        "y[0] = where [0 <= 0 < 1] x[0] else 1 y[1] = where [0 <= 0 < 1] x[0] else 1",  # under a guard
        "y[0] = ssat8(x[0]) y[1] = (ssat8(x[1]) + 1)",
        "y[0] = where [0 <= 1 < 1] x[0] else 1 y[1] = x[0]",
        "var v: i32 = 1 y[0] = ssat8(v) v = 3 y[1] = ssat8(v)",
        "var v: i32 = x[0] v = (v + 1) y[0] = v y[1] = v",
    ],
)
def test_share_leaves(body: str) -> None:
    text = f"kernel @k(in x: i32[2], scratch s: i32[1], out y: i32[2]) {{ s[0] = 4 {body} }}"
    becomes(text, "share()", text)


def test_share_of_a_variable_that_changes_later() -> None:
    plain = kernel(
        """
        kernel @k(in x: i32[4], out y: i32[6]) {
          var v: i32 = x[0]
          y[0] = ssat8(v)
          y[1] = ssat8(v)
          for i in 3 { v = (v + x[i]) y[2] = ssat8(v) y[3] = ssat8(v) }
          y[4] = ssat8(v)
          y[5] = (ssat8(v) + ssat8(v))
        }
        """
    )
    shared = apply(plain, ("share()",))
    assert shared.text().count("ssat8(v)") == 3
    same_results(plain, shared)


def test_share_finds_names_that_neither_locals_nor_loops_have() -> None:
    becomes(
        "kernel @k(in x: i8[2], out y: i8[2, 2]) { for x_0 in 2 { y[0, x_0] = x[x_0] y[1, x_0] = x[x_0] } }",
        "share()",
        """
        kernel @k(in x: i8[2], out y: i8[2, 2]) {
          for x_0 in 2 { let x_1: i8 = x[x_0] y[0, x_0] = x_1 y[1, x_0] = x_1 }
        }
        """,
    )


# -- hoist ------------------------------------------------------------------------------------------------------------


def test_hoist() -> None:
    becomes(
        """
        kernel @k(in x: i8[4], const w: i32[3], const b: i32[3], out y: i32[3, 4]) {
          for c in 3 {
            for i in 4 {
              for j in 1 { y[c, i] = ((i32(x[i]) * w[c]) + b[c]) }
              y[c, i] = (y[c, i] + w[c])
            }
          }
        }
        """,
        "hoist(i)",
        """
        kernel @k(in x: i8[4], const w: i32[3], const b: i32[3], out y: i32[3, 4]) {
          for c in 3 {
            let w_h0: i32 = w[c]
            let b_h1: i32 = b[c]
            for i in 4 {
              for j in 1 { y[c, i] = ((i32(x[i]) * w_h0) + b_h1) }
              y[c, i] = (y[c, i] + w_h0)
            }
          }
        }
        """,
    )


@pytest.mark.parametrize(
    "body",
    [
        "y[i] = i32(w[i])",
        "for k in 4 { y[i] = i32(w[k]) }",
        "y[i] = i32(x[0])",  # only constants
        "y[i] = i32(w[[2]])",
        "y[i] = i32(where [0 <= c + -1 < 4] w[c + -1] else i8(0))",  # outside but for its guard
        "if 0 <= c + 3 < 4 { y[i] = i32(w[c + 3]) } else { y[i] = 2 }",
    ],
)
def test_hoist_leaves(body: str) -> None:
    text = f"kernel @k(in x: i8[4], const w: i8[4], out y: i32[4]) {{ for c in 2 {{ for i in 4 {{ {body} }} }} }}"
    becomes(text, "hoist(i)", text)


def test_hoist_of_guarded_constants_that_lie_inside() -> None:
    plain = kernel(
        """
        kernel @k(in x: i8[1], const w: i8[4], out y: i8[4]) {
          for c in 4 { for i in 1 { y[c] = where [0 <= c < 2] w[c] else w[3] } }
        }
        """
    )
    hoisted = apply(plain, ("hoist(i)",))
    assert "let w_h0: i8 = w[c]" in hoisted.text()
    same_results(plain, hoisted)


def test_hoist_finds_new_names() -> None:
    plain = kernel(
        """
        kernel @k(const w: i8[4], out y: i8[4]) {
          let w_h0: i8 = i8(1) for c in 2 { for i in 2 { y[2*c + i] = w[c] } } y[0] = w_h0
        }
        """
    )
    same_results(plain, apply(plain, ("hoist(i)", "hoist(c)")))


# -- unswitch ---------------------------------------------------------------------------------------------------------


def test_unswitch() -> None:
    becomes(
        """
        kernel @k(in x: i8[3, 4], out y: i8[4, 4]) {
          for r in 4 {
            for c in 4 {
              let v: i8 = where [0 <= r + -1 < 3, 0 <= c + 1 < 4] x[r + -1, c + 1] else i8(5)
              y[r, c] = v
            }
          }
        }
        """,
        "unswitch(c)",
        """
        kernel @k(in x: i8[3, 4], out y: i8[4, 4]) {
          for r in 4 {
            if 0 <= r + -1 < 3 {
              for c in 4 {
                let v: i8 = where [0 <= c + 1 < 4] x[r + -1, c + 1] else i8(5)
                y[r, c] = v
              }
            } else {
              for c_out in 4 {
                let v_out: i8 = i8(5)
                y[r, c_out] = v_out
              }
            }
          }
        }
        """,
    )


def test_unswitch_leaves_guards_that_move() -> None:
    plain = kernel(
        """
        kernel @k(in x: i8[4], out y: i32[3, 4]) {
          for r in 3 {
            for c in 4 {
              var a: i32 = 0
              for k in 2 { a = (a + i32(where [0 <= c + k + -1 < 4] x[c + k + -1] else i8(3))) }
              y[r, c] = (a + i32(where [0 <= r < 2] x[r] else i8(1)))
            }
          }
        }
        """
    )
    same_results(plain, apply(plain, ("unswitch(c)",)))


def test_unswitch_refuses() -> None:
    text = "kernel @k(in x: i8[4], out y: i8[4, 4]) {{ for r in 4 {{ for c in 4 {{ {} }} }} }}"
    refuses(text.format("y[r, c] = where [0 <= c < 3] x[c] else i8(1)"), "unswitch(c)", "every guard in it moves")
    refuses(text.format("y[r, c] = x[c]"), "unswitch(c)", "every guard in it moves")
    two = "y[r, c] = where [0 <= r < 3] x[r] else i8(1) y[r, c] = where [0 <= r < 2] x[r] else i8(1)"
    refuses(text.format(two), "unswitch(c)", "different guards")


# -- lift -------------------------------------------------------------------------------------------------------------

ROWS = """
kernel @rows(in x: i8[3, 4], scratch s: i8[6], out y: i32[3, 6]) {{
  {before}
  for h in 3 {{
    {body}
    for c in 4 {{ s[c + 1] = x[h, c] }}
    for d in 6 {{ y[h, d] = i32(s[d]) }}
  }}
}}
"""


def rows(body: str, before: str = "") -> str:
    return ROWS.format(body=body, before=before)


@pytest.mark.parametrize(
    "loop",
    [
        "for m in 1 { s[5*m] = i8(7) }",
        "for m in 2 { s[5*m] = i8(7) }",
        "for m in 2 { for n in 1 { s[5*m + n] = i8(index(m)) } }",
        "for m in 2 { if 0 <= m < 1 { s[5*m] = i8(7) } else { s[5*m] = where [0 <= m < 1] i8(3) else i8(4) } }",
    ],
)
def test_lift(loop: str) -> None:
    fill = "for z in 6 { s[z] = i8(1) }"
    becomes(rows(loop, fill), "lift(m, h)", rows("", f"{fill} {loop}"))


@pytest.mark.parametrize(
    ("loop", "reason"),
    [
        ("for m in 2 { s[m] = i8(7) }", "other statements write the same elements"),
        ("for m in 2 { s[h] = i8(7) }", "it moves with `h`"),
        ("for m in 2 { s[5*m] = i8(index(h)) }", "it moves with `h`"),
        ("for m in 2 { if 0 <= h < 1 { s[5*m] = i8(7) } }", "it moves with `h`"),
        ("for m in 2 { s[5*m] = where [0 <= h < 2] i8(1) else i8(2) }", "it moves with `h`"),
        ("for m in 2 { s[5*m] = x[0, m] }", "it reads values that may change"),
        ("for m in 2 { s[5*m] = x[[2]] }", "it reads values that may change"),
        ("for m in 2 { s[5*m] = i8(v) }", "it reads values that may change"),
        ("for m in 2 { let l: i8 = i8(3) s[5*m] = l }", "it reads values that may change"),
        ("for m in 2 { v = 3 }", "it reads values that may change"),
        ("let l: i8 = s[5] for m in 2 { s[5*m] = i8(3) }", "what it writes is read before"),
        ("for m in 2 { y[m, 0] = 4 }", "other statements write the same elements"),
    ],
)
def test_lift_refuses(loop: str, reason: str) -> None:
    fill = "for z in 6 { s[z] = i8(1) } var v: i32 = 2"
    refuses(rows(loop, fill), "lift(m, h)", reason)


def test_lift_refuses_a_loop_that_stands_elsewhere() -> None:
    refuses(rows("for g in 1 { for m in 1 { s[5*m] = i8(7) } }"), "lift(m, h)", "it does not stand directly in `h`")
    refuses(
        rows("for m in 1 { s[5*m] = i8(7) }", "for z in 6 { s[z] = i8(1) }"), "lift(z, h)", "does not stand directly"
    )
