"""Steps that change buffers: stage, flatten, pack, pad_sum."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.kernels import becomes, kernel, refuses, run, same_results
from tinyir.loops.schedule import apply

# -- stage ------------------------------------------------------------------------------------------------------------

WINDOWS = """
kernel @windows(in x: i8[8, 5, 3], out y: i32[3, 5]) {
  for h in 3 {
    for w in 5 {
      var acc: i32 = 0
      for kh in 3 {
        for kw in 3 {
          for c in 3 {
            acc = (acc + i32(where [0 <= 2*h + kh + -1 < 8, 0 <= kw + w + -1 < 5]
                               x[2*h + kh + -1, kw + w + -1, c] else i8(7)))
          }
        }
      }
      y[h, w] = acc
    }
  }
}
"""


def test_stage_of_integers_as_floats_stages_their_conversion() -> None:
    becomes(
        """
        kernel @k(in x: i8[6], in g: f32[2, 3], out y: f32[2, 3]) {
          for i in 2 {
            for j in 3 {
              y[i, j] = (g[i, j] * where [0 <= i + j + -1 < 6] f32((i32(x[i + j + -1]) - 3)) else f32(0.0))
            }
          }
        }
        """,
        "stage(x, i, xs, f32)",
        """
        kernel @k(in x: i8[6], in g: f32[2, 3], out y: f32[2, 3], scratch xs: f32[3]) {
          for i in 2 {
            for xs_0 in 3 {
              xs[xs_0] = where [0 <= i + xs_0 + -1 < 6] f32((i32(x[i + xs_0 + -1]) - 3)) else f32(0.0)
            }
            for j in 3 {
              y[i, j] = (g[i, j] * xs[j])
            }
          }
        }
        """,
    )


def test_stage_takes_the_guards_along() -> None:
    becomes(
        WINDOWS,
        "stage(x, h, xs, i16)",
        """
        kernel @windows(in x: i8[8, 5, 3], out y: i32[3, 5], scratch xs: i16[3, 7, 3]) {
          for h in 3 {
            for xs_0 in 3 {
              for xs_1 in 7 {
                for xs_2 in 3 {
                  xs[xs_0, xs_1, xs_2] = i16(where [0 <= 2*h + xs_0 + -1 < 8, 0 <= xs_1 + -1 < 5]
                                               x[2*h + xs_0 + -1, xs_1 + -1, xs_2] else i8(7))
                }
              }
            }
            for w in 5 {
              var acc: i32 = 0
              for kh in 3 {
                for kw in 3 {
                  for c in 3 {
                    acc = (acc + i32(xs[kh, kw + w, c]))
                  }
                }
              }
              y[h, w] = acc
            }
          }
        }
        """,
    )


def test_stage_in_the_innermost_loop_keeps_one_element() -> None:
    becomes(
        "kernel @k(in x: i8[4], out y: i8[4]) { for i in 4 { y[i] = x[-1*i + 3] } }",
        "stage(x, i, xs, i8)",
        """
        kernel @k(in x: i8[4], out y: i8[4], scratch xs: i8[1]) {
          for i in 4 { xs[0] = x[-1*i + 3] y[i] = xs[0] }
        }
        """,
    )


def test_stage_of_a_strided_window_that_runs_backwards() -> None:
    becomes(
        """
        kernel @k(in x: i8[12], out y: i32[2]) {
          for i in 2 {
            var acc: i32 = 0
            for k in 3 { acc = (acc + i32(x[-3*k + 5*i + 6])) }
            y[i] = acc
          }
        }
        """,
        "stage(x, i, xs, i32)",
        """
        kernel @k(in x: i8[12], out y: i32[2], scratch xs: i32[7]) {
          for i in 2 {
            for xs_0 in 7 { xs[xs_0] = i32(x[5*i + xs_0]) }
            var acc: i32 = 0
            for k in 3 { acc = (acc + xs[-3*k + 6]) }
            y[i] = acc
          }
        }
        """,
    )


@pytest.mark.parametrize("at", ["h", "w", "kh", "kw", "c"])
@pytest.mark.parametrize("dtype", ["i8", "i16", "i32"])
def test_stage_anywhere(at: str, dtype: str) -> None:
    plain = kernel(WINDOWS)
    same_results(plain, apply(plain, (f"stage(x, {at}, xs, {dtype})",)))


def test_stage_of_a_staged_buffer() -> None:
    plain = kernel(WINDOWS)
    steps = ("stage(x, h, xs, i16)", "stage(xs, w, ws, i16)", "stage(ws, kh, vs, i32)")
    same_results(plain, apply(plain, steps))


def test_stage_keeps_a_conversion_that_cuts_off_bits() -> None:
    plain = kernel("kernel @k(const x: i16[4], out y: i32[4]) { for i in 4 { y[i] = i32(i8(x[i])) } }")
    for dtype in ("i16", "i32"):
        same_results(plain, apply(plain, (f"stage(x, i, xs, {dtype})",)))


def test_stage_guards_each_dimension_with_the_same_index() -> None:
    plain = kernel(
        """
        kernel @k(in x: i8[3, 3], out y: i8[5]) {
          for i in 5 { y[i] = where [0 <= i + -1 < 3] x[i + -1, i + -1] else i8(0) }
        }
        """
    )
    staged = apply(plain, ("split(i, 5, o, n)", "stage(x, o, xs, i8)"))
    same_results(plain, staged)


COPY = "kernel @k(in x: {ty}[8], in z: {ty}[8], out y: {ty}[8]) {{ for i in 8 {{ for j in 1 {{ {body} }} }} }}"


@pytest.mark.parametrize(
    ("ty", "body", "dtype", "reason"),
    [
        ("i8", "y[i] = i8((i32(x[i]) + i32(x[-1*i + 7])))", "i8", "it is read in 2 ways"),
        ("i8", "y[i] = z[i]", "i8", "it is read in 0 ways"),
        ("i8", "y[i] = x[[index(i)]]", "i8", "it is read in 0 ways"),
        ("i8", "y[i] = where [0 <= i < 7] x[i] else x[i + -1]", "i8", "it is read in 2 ways"),
        ("i16", "y[i] = x[i]", "i8", "not every i16 fits"),
        ("i8", "y[i] = x[i]", "u8", "not every i8 fits"),
        ("u8", "y[i] = x[i]", "i8", "not every u8 fits"),
        ("i32", "y[i] = x[i]", "f32", "it is read in 0 ways"),
        ("f32", "y[i] = x[i]", "i32", "an f32 is none"),
        ("i8", "y[i] = x[i]", "i9", "an i8 is none"),
        ("i8", "y[i] = where [0 <= i + j < 7] x[i] else i8(0)", "i8", "the guard 0 <= i . j < 7 is no index of it"),
        ("i8", "y[i] = where [0 <= i + 1 < 8] x[i + 1] else z[i]", "i8", "no constant where its guards fail"),
        ("i8", "y[i] = where [0 <= i + 1 < 9] x[i + 1] else i8(0)", "i8", "would read it at 1..8 of 8"),
        ("i8", "if 0 <= i + -1 < 8 { y[i] = x[i + -1] }", "i8", "would read it at -1..6 of 8"),
        ("i8", "y[i] = i8(where [0 <= i + 1 < 8] i32(x[i + 1]) else 5)", "i8", "would read it at 1..8 of 8"),
    ],
)
def test_stage_refuses(ty: str, body: str, dtype: str, reason: str) -> None:
    refuses(COPY.format(ty=ty, body=body), f"stage(x, j, xs, {dtype})", reason)


def test_stage_refuses_what_changes() -> None:
    text = """
    kernel @k(in x: i8[4], scratch s: i8[4], out y: i8[4]) {
      for i in 4 { for j in 4 { s[j] = x[i] y[j] = s[-1*j + 3] } for l in 4 { y[l] = y[l] } }
    }
    """
    refuses(text, "stage(s, i, q, i8)", "what it holds changes while it is read")
    refuses(text, "stage(y, i, q, i8)", "what it holds changes while it is read")


def test_stage_refuses_words_and_single_elements() -> None:
    refuses(
        "kernel @k(in x: i8[8], out y: i8[8]) { for i in 2 { y[4*i] = x[4*i] as i8x4 } }", "stage(x, i, q, i8)", "words"
    )
    refuses("kernel @k(in x: i8[], out y: i8[2]) { for i in 2 { y[i] = x[] } }", "stage(x, i, q, i8)", "one element")


# -- flatten ----------------------------------------------------------------------------------------------------------


def test_flatten() -> None:
    becomes(
        """
        kernel @k(in x: i8[2, 3, 4], out y: i8[2, 3, 4]) {
          for a in 2 { for b in 3 { for c in 4 { y[a, b, c] = x[a, b, c] } } }
        }
        """,
        """
        flatten(x, 0)
        flatten(y, 1)
        """,
        """
        kernel @k(in x: i8[24], out y: i8[2, 12]) {
          for a in 2 { for b in 3 { for c in 4 { y[a, 4*b + c] = x[12*a + 4*b + c] } } }
        }
        """,
    )


def test_flatten_of_a_single_element() -> None:
    becomes(
        "kernel @k(in x: i8[], out y: i8[]) { y[] = x[] }",
        "flatten(x, 0)",
        "kernel @k(in x: i8[1], out y: i8[]) { y[] = x[0] }",
    )


def test_flatten_of_words_and_guarded_reads() -> None:
    plain = kernel(
        """
        kernel @k(in x: i8[2, 8], out y: i8[3, 8]) {
          for a in 3 { for b in 8 { y[a, b] = where [0 <= a + -1 < 2] x[a + -1, b] else i8(1) } }
          for a4 in 2 { for b4 in 2 { y[a4, 4*b4] = x[a4, 4*b4] as i8x4 } }
        }
        """
    )
    same_results(plain, apply(plain, ("flatten(x, 0)", "flatten(y, 0)")))


@pytest.mark.parametrize("first", [-1, 2, 5])
def test_flatten_refuses_dimensions_that_are_not_there(first: int) -> None:
    refuses("kernel @k(in x: i8[2, 3], out y: i8[1]) { y[0] = x[0, 0] }", f"flatten(x, {first})", "it has 2 dimensions")


# -- pack -------------------------------------------------------------------------------------------------------------

WEIGHTS = """
kernel @k(in x: i8[6], const w: i8[4, 6], out y: i32[4]) {
  for oo in 2 {
    for oi in 2 {
      var acc: i32 = 0
      for k in 6 {
        acc = (acc + (i32(x[k]) * i32(w[oi + 2*oo, k])))
      }
      y[oi + 2*oo] = acc
    }
  }
}
"""


def test_pack() -> None:
    packed = becomes(
        WEIGHTS,
        "pack(w, oo, k, oi)",
        WEIGHTS.replace("w: i8[4, 6]", "w: i8[2, 6, 2]").replace("w[oi + 2*oo, k]", "w[oo, k, oi]"),
    )
    packing = packed.param("w").packing
    assert packing is not None
    old = np.arange(24, dtype=np.int8).reshape(4, 6)
    np.testing.assert_array_equal(packing.apply(old), old.reshape(2, 2, 6).transpose(0, 2, 1))


def test_pack_twice_then_flatten() -> None:
    plain = kernel(WEIGHTS)
    steps = ("pack(w, oo, k, oi)", "split(k, 3, ko, ki)", "pack(w, oo, ko, oi, ki)", "flatten(w, 1)")
    same_results(plain, apply(plain, steps))


def test_pack_repeats_what_is_read_again() -> None:
    """w[i + j] takes 4 elements, packed by i and j it takes 3 * 2."""
    plain = kernel("kernel @k(const w: i8[4], out y: i8[3, 2]) { for i in 3 { for j in 2 { y[i, j] = w[i + j] } } }")
    same_results(plain, apply(plain, ("pack(w, j, i)",)))


def test_pack_of_a_guarded_constant() -> None:
    plain = kernel(
        "kernel @k(const w: i8[3], out y: i8[5]) { for i in 5 { y[i] = where [0 <= i + -1 < 3] w[i + -1] else i8(8) } }"
    )
    same_results(plain, apply(plain, ("pack(w, i)",)))


@pytest.mark.parametrize(
    ("body", "order", "reason"),
    [
        ("y[i, k] = w[k, i]", "k", "it is indexed by i, k"),
        ("y[i, k] = w[k, i]", "k, i, i", "it is indexed by i, k"),
        ("y[i, k] = w[k, i]", "k, j", "it is indexed by i, k"),
        ("y[i, k] = i8((i32(w[k, i]) + i32(w[i, k])))", "k, i", "it is read in 2 ways"),
        ("y[i, k] = i8((i32(w[k, i]) + i32(w[[index(k)]])))", "k, i", "as a table"),
        ("y[i, 0] = w[i, 0] as i8x4", "i", "it is read by words"),
    ],
)
def test_pack_refuses(body: str, order: str, reason: str) -> None:
    text = f"kernel @k(const w: i8[4, 4], out y: i8[4, 4]) {{ for i in 4 {{ for k in 4 {{ {body} }} }} }}"
    refuses(text, f"pack(w, {order})", reason)


def test_pack_refuses_an_input() -> None:
    refuses(WEIGHTS, "pack(x, k)", "it is no constant")


def test_pack_refuses_after_flattening_a_packed_constant() -> None:
    text = "kernel @k(const w: i8[2, 3], out y: i8[2, 3]) { for i in 2 { for k in 3 { y[i, k] = w[i, k] } } }"
    packed = apply(kernel(text), ("pack(w, k, i)", "flatten(w, 0)"))
    with pytest.raises(Exception, match="it was packed and flattened"):
        apply(packed, ("pack(w, i, k)",))


# -- pad_sum ----------------------------------------------------------------------------------------------------------

SUM = """
kernel @k(in x: i8[5], const w: i8[2, 5], scratch s: i16[7], out y: i32[2]) {{
  for j in 5 {{
    s[j] = i16(x[j])
  }}
  for o in 2 {{
    var acc: i32 = 3
    for k in 5 {{
      {body}
    }}
    y[o] = acc
  }}
}}
"""
PRODUCT = "acc = (acc + (i32(s[k]) * i32(w[o, k])))"


def test_pad_sum() -> None:
    before = SUM.format(body=PRODUCT)
    after = (
        before.replace("w: i8[2, 5]", "w: i8[2, 8]")
        .replace("s: i16[7]", "s: i16[8]")
        .replace("for k in 5", "for k in 8")
    )
    becomes(before, "pad_sum(k, 4)", after)


def test_pad_sum_of_a_sum_that_fits_changes_nothing() -> None:
    before = SUM.format(body=PRODUCT)
    becomes(before, "pad_sum(k, 5)", before)


def test_what_scratch_holds_beside_the_row_is_multiplied_by_zero() -> None:
    plain = kernel(SUM.format(body=PRODUCT))
    arrays = {"x": np.full(5, 127, np.int8), "w": np.full((2, 5), -128, np.int8)}
    wanted = run(plain, arrays)["y"]
    for seed in range(5):
        np.testing.assert_array_equal(run(apply(plain, ("pad_sum(k, 8)",)), arrays, seed)["y"], wanted)


@pytest.mark.parametrize(
    "body",
    [
        "acc = (i32(s[k]) * i32(w[o, k]))",  # the last product counts
        "acc = (i32(x[k]) + (i32(s[k]) * i32(w[o, k])))",
        "acc = (acc + (i32(x[k]) * i32(w[o, k])))",  # no room behind an input
        "acc = (acc + (i32(s[k]) * (i32(w[o, k]) + 1)))",  # the factor is not 0 where the weight is
        "acc = (acc + i32(w[o, k]))",
        "acc = (acc + (i32(s[k]) * i32(s[k])))",
        "acc = (acc + (i32(s[k]) * i32(w[o, k]))) acc = (acc + 1)",
        "acc = (acc - (i32(s[k]) * i32(w[o, k])))",
    ],
)
def test_pad_sum_refuses_what_is_no_such_sum(body: str) -> None:
    refuses(SUM.format(body=body), "pad_sum(k, 4)", "it is no integer sum of scratch times constant")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("acc = (acc + (i32(s[k + 1]) * i32(w[o, -1*k + 4])))", "does not run along one dimension of `w`"),
        ("acc = (acc + (i32(s[-1*k + 4]) * i32(w[o, k])))", "does not run along one dimension of `s`"),
        ("acc = (acc + (i32(s[0]) * i32(w[o, k])))", "does not run along one dimension of `s`"),
    ],
)
def test_pad_sum_refuses_other_directions(body: str, reason: str) -> None:
    refuses(SUM.format(body=body), "pad_sum(k, 4)", reason)


def test_pad_sum_refuses_a_packed_constant_and_an_offset() -> None:
    packed = apply(kernel(SUM.format(body=PRODUCT)), ("pack(w, o, k)",))
    with pytest.raises(Exception, match="`w` is packed"):
        apply(packed, ("pad_sum(k, 4)",))
    refuses(
        SUM.format(body=PRODUCT).replace("w[o, k]", "w[o, k + 1]").replace("k in 5", "k in 3"),
        "pad_sum(k, 4)",
        "is indexed by k . 1",
    )


@pytest.mark.parametrize("multiple", [0, -4])
def test_pad_sum_refuses_no_multiple(multiple: int) -> None:
    refuses(SUM.format(body=PRODUCT), f"pad_sum(k, {multiple})", "is no number of elements")
