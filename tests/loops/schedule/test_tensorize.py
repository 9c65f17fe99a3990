"""Steps that turn loops into instructions: tensorize, interleave."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.kernels import becomes, kernel, refuses, same_results
from tinyir.loops.schedule import apply

DOT = """
kernel @dot(in x: i8[8], const w: i8[4, 8], out y: i32[4]) {{
  for o in 4 {{
    var acc: i32 = 0
    for k in 2 {{
      for a in 2 {{
        for b in 2 {{
          {body}
        }}
      }}
    }}
    y[o] = acc
  }}
}}
"""


def test_a_sum_of_products_becomes_smlad() -> None:
    becomes(
        DOT.format(body="acc = (acc + (i32(x[4*k + 2*b + a]) * i32(w[o, 4*k + 2*b + a])))"),
        "tensorize(b, a)",
        """
        kernel @dot(in x: i8[8], const w: i8[4, 8], out y: i32[4]) {
          for o in 4 {
            var acc: i32 = 0
            for k in 2 {
              acc = smlad(sxtb16(x[4*k] as i8x4), sxtb16(w[o, 4*k] as i8x4), acc)
              acc = smlad(sxtb16_ror8(x[4*k] as i8x4), sxtb16_ror8(w[o, 4*k] as i8x4), acc)
            }
            y[o] = acc
          }
        }
        """,
    )


PICKS = """
kernel @picks(in g: i16[8], const w: i8[4, 8], out y: i32[1]) {{
  var acc: i32 = 0
  for l in 2 {{
    acc = (acc + (i32(g[l + 2]) * i32({weight})))
  }}
  y[0] = acc
}}
"""


@pytest.mark.parametrize(
    ("weight", "pair"),
    [
        ("w[1, l + 4]", "pkhbt(sxtb16(w[1, 4] as i8x4), sxtb16_ror8(w[1, 4] as i8x4))"),
        ("w[1, l + 2]", "pkhtb(sxtb16(w[1, 0] as i8x4), sxtb16_ror8(w[1, 0] as i8x4))"),
        ("w[l + 1, 4]", "pkhbt(sxtb16(w[1, 4] as i8x4), sxtb16(w[2, 4] as i8x4))"),
        ("w[2*l, 7]", "pkhtb(sxtb16_ror8(w[0, 4] as i8x4), sxtb16_ror8(w[2, 4] as i8x4))"),
    ],
)
def test_halves_of_words_are_picked(weight: str, pair: str) -> None:
    after = f"""
        kernel @picks(in g: i16[8], const w: i8[4, 8], out y: i32[1]) {{
          var acc: i32 = 0
          acc = smlad(g[2] as i16x2, {pair}, acc)
          y[0] = acc
        }}
        """
    becomes(PICKS.format(weight=weight), "tensorize(l)", after)


@pytest.mark.parametrize("weight", ["w[0, l + 1]", "w[0, 3*l]", "w[l, 2*l]"])
def test_bytes_of_different_halves_are_not_picked(weight: str) -> None:
    refuses(PICKS.format(weight=weight), "tensorize(l)", "no instruction fetches i8 of `w`")


PAIRS = """
kernel @pairs(in x: i16[8], const w: i16[9], out y: i32[4]) {{
  for o in 4 {{
    var acc: i32 = index(o)
    var other: i32 = 0
    for l in 2 {{
      {body}
    }}
    y[o] = acc
  }}
}}
"""


def test_neighbours_of_int16_are_read_as_a_word() -> None:
    becomes(
        PAIRS.format(body="acc = (acc + (i32(x[2*o + l]) * i32(w[l + o])))"),
        "tensorize(l)",
        """
        kernel @pairs(in x: i16[8], const w: i16[9], out y: i32[4]) {
          for o in 4 {
            var acc: i32 = index(o)
            var other: i32 = 0
            acc = smlad(x[2*o] as i16x2, w[o] as i16x2, acc)
            y[o] = acc
          }
        }
        """,
    )


def test_smlad_wraps_as_the_sum_does() -> None:
    plain = kernel(PAIRS.format(body="acc = (acc + (i32(x[2*o + l]) * i32(w[l + o])))"))
    arrays = {"x": np.full(8, -32768, np.int16), "w": np.full(9, -32768, np.int16)}
    same_results(plain, apply(plain, ("tensorize(l)",)), arrays)


def test_several_sums_become_as_many_instructions() -> None:
    becomes(
        PAIRS.format(
            body="""
            acc = (acc + (i32(x[2*o + l]) * i32(w[l + o])))
            other = (other + (i32(x[2*o + l]) * i32(w[l])))
            acc = (acc + (i32(x[l]) * i32(w[l + 2])))
            """
        ).replace("= acc", "= (acc + other)"),
        "tensorize(l)",
        """
        kernel @pairs(in x: i16[8], const w: i16[9], out y: i32[4]) {
          for o in 4 {
            var acc: i32 = index(o)
            var other: i32 = 0
            acc = smlad(x[2*o] as i16x2, w[o] as i16x2, acc)
            other = smlad(x[2*o] as i16x2, w[0] as i16x2, other)
            acc = smlad(x[0] as i16x2, w[2] as i16x2, acc)
            y[o] = (acc + other)
          }
        }
        """,
    )


def test_several_sums_over_both_halves_of_words() -> None:
    sums = (f"{s} = ({s} + (i32(x[4*k + 2*b + a]) * i32(w[{o}, 4*k + 2*b + a])))" for s, o in (("acc", "o"), ("t", 0)))
    text = DOT.format(body=" ".join(sums)).replace("var acc", "var t: i32 = 0 var acc").replace("= acc", "= (acc - t)")
    after = apply(kernel(text), ("tensorize(b, a)",))
    assert after.text().count("smlad") == 4
    same_results(kernel(text), after)


@pytest.mark.parametrize(
    "second",
    [
        "other = (acc + (i32(x[l]) * i32(w[l])))",  # the first sum, half of it
        "other = (other + acc)",
        "other = (other + (i32(x[l]) * acc))",
    ],
)
def test_tensorize_refuses_sums_of_each_other(second: str) -> None:
    body = f"acc = (acc + (i32(x[2*o + l]) * i32(w[l + o]))) {second}"
    refuses(PAIRS.format(body=body), "tensorize(l)", "adds products|not read from a buffer")


COPY = """
kernel @k(in x: i8[8], in z: i16[8], scratch s: i16[8], out y: i32[8]) {{
  for v in 8 {{ s[v] = i16(3) }} for k in 2 {{ for l in 2 {{ {body} }} }} for i in 8 {{ y[i] = i32(s[i]) }}
}}
"""


def test_a_copy_becomes_a_store_of_a_word() -> None:
    becomes(
        COPY.format(body="s[4*k + l] = i16(x[4*k + 2*l + 1])"),
        "tensorize(l)",
        """
        kernel @k(in x: i8[8], in z: i16[8], scratch s: i16[8], out y: i32[8]) {
          for v in 8 { s[v] = i16(3) }
          for k in 2 { s[4*k] = sxtb16_ror8(x[4*k] as i8x4) }
          for i in 8 { y[i] = i32(s[i]) }
        }
        """,
    )


@pytest.mark.parametrize(
    "body",
    [
        "acc = (other + (i32(x[l]) * i32(w[l])))",  # the last product counts
        "acc = (acc - (i32(x[l]) * i32(w[l])))",
        "acc = (acc + i32(x[l]))",
        "acc = ((i32(x[l]) * i32(w[l])) + acc)",
        "acc = max(acc, i32(x[l]))",
        "y[l] = i32(x[l])",  # int32
    ],
)
def test_tensorize_refuses_other_statements(body: str) -> None:
    refuses(PAIRS.format(body=body), "tensorize(l)", "it neither adds products nor stores int16")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("acc = (acc + (i32(x[2*l]) * i32(w[l])))", "no instruction fetches i16 of `x` 2 apart"),
        ("acc = (acc + (i32(x[0]) * i32(w[l])))", "no instruction fetches i16 of `x` 0 apart"),
        ("acc = (acc + (i32(x[-1*l + 4]) * i32(w[l])))", "no instruction fetches i16 of `x` -1 apart"),
        ("acc = (acc + (other * i32(w[l])))", "an operand is not read from a buffer"),
        ("acc = (acc + (i32(x[[index(l)]]) * i32(w[l])))", "an operand is not read from a buffer"),
        ("acc = (acc + (i32(i8(x[l])) * i32(w[l])))", "an operand is not read from a buffer"),
        (
            "acc = (acc + (i32(where [0 <= l < 1] x[l] else i16(0)) * i32(w[l])))",
            "an operand is not read from a buffer",
        ),
        ("acc = (acc + 1) other = 2", "it neither adds products nor stores int16"),
        ("acc = (acc + 1) y[l] = 2", "no loop of two iterations over one statement, or sums"),
    ],
)
def test_tensorize_refuses_operands(body: str, reason: str) -> None:
    refuses(PAIRS.format(body=body), "tensorize(l)", reason)


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ("16", "o + 2*b + a"),  # starts at any byte
        ("16", "4*k + 2*b + a + 2"),
        ("16", "4*k + 2*b + a + 1"),  # bytes 1, 3 and then 2, 4
        ("4, 10", "o, 4*k + 2*b + a"),  # rows of 10 bytes
        ("16", "b + a"),
        ("2, 16", "b, 2*b + 4*k + a"),  # along two dimensions
    ],
)
def test_tensorize_refuses_bytes_that_are_no_word(shape: str, index: str) -> None:
    text = DOT.format(body=f"acc = (acc + (i32(x[{index}]) * i32(w[o, 4*k + 2*b + a])))").replace(
        "x: i8[8]", f"x: i8[{shape}]"
    )
    refuses(text, "tensorize(b, a)", "no instruction fetches i8 of `x`")


def test_tensorize_refuses_a_word_that_ends_outside() -> None:
    """Bytes 0 and 2 of the last three elements: the word would read one more."""
    text = """
    kernel @k(in x: i8[7], in w: i16[2], out y: i32[1]) {
      var acc: i32 = 0
      for k in 2 { for b in 2 { acc = (acc + (i32(x[4*k + 2*b]) * i32(w[b]))) } }
      y[0] = acc
    }
    """
    refuses(text, "tensorize(b)", "no instruction fetches i8 of `x`")
    wider = text.replace("x: i8[7]", "x: i8[8]")
    same_results(kernel(wider), apply(kernel(wider), ("tensorize(b)",)))


def test_tensorize_refuses_other_loops() -> None:
    text = DOT.format(body="acc = (acc + (i32(x[4*k + 2*b + a]) * i32(w[o, 4*k + 2*b + a])))")
    refuses(text, "tensorize(o)", "no loop of two iterations over one statement")
    refuses(text, "tensorize(a)", "it neither adds products")
    refuses(text, "tensorize(b, o)", "`o` is no loop of two iterations over it")
    refuses(text, "tensorize(b, k)", "`k` is no loop of two iterations over it")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("s[4*k + 2*l] = z[4*k + l]", "it does not store side by side in `s`"),
        ("s[-1*l + 4] = z[l]", "it does not store side by side in `s`"),
        ("s[l + 1] = s[l]", "it reads `s`, which it stores"),
        ("s[l] = i16(y[l])", "no instruction fetches i32"),
        ("s[l] = i16(7)", "an operand is not read from a buffer"),
    ],
)
def test_tensorize_refuses_stores(body: str, reason: str) -> None:
    refuses(COPY.format(body=body), "tensorize(l)", reason)


# -- interleave -------------------------------------------------------------------------------------------------------

STAGED = """
kernel @k(in x: i8[2, 8], const w: i8[8], scratch s: i16[2, {size}], out y: i32[2]) {{
  {fill}
  for r in 2 {{
    for jo in 2 {{
      for ja in 2 {{
        for jb in 2 {{
          s[r, ja + 2*jb + 4*jo] = i16(x[r, ja + 2*jb + 4*jo])
        }}
      }}
    }}
  }}
  for o in 2 {{
    var acc: i32 = 0
    for ko in 2 {{
      for ka in 2 {{
        for kb in 2 {{
          acc = (acc + (i32(s[o, {read}]) * i32(w[ka + 2*kb + 4*ko])))
        }}
      }}
    }}
    y[o] = acc
  }}
}}
"""


def staged(read: str = "ka + 2*kb + 4*ko", fill: str = "", size: int = 8) -> str:
    return STAGED.format(read=read, fill=fill, size=size)


def test_interleave() -> None:
    after = staged("2*ka + kb + 4*ko").replace("s[r, ja + 2*jb + 4*jo]", "s[r, 2*ja + jb + 4*jo]")
    becomes(staged(), "interleave(s)", after)


def test_interleaved_copies_and_products_become_words() -> None:
    plain = kernel(staged(fill="for z in 8 { s[1, z] = i16(5) }"))
    steps = ("interleave(s)", "tensorize(jb, ja)", "tensorize(kb, ka)")
    words = apply(plain, steps)
    assert "s[r, 4*jo + 2] = sxtb16_ror8(x[r, 4*jo] as i8x4)" in words.text()
    assert "acc = smlad(s[o, 4*ko + 2] as i16x2, sxtb16_ror8(w[4*ko] as i8x4), acc)" in words.text()
    same_results(plain, words)


@pytest.mark.parametrize(
    "fill",
    ["for z in 4 { s[1, z] = i16(5) }", "s[0, 0] = i16(5)", "for z in 2 { s[1, z + 1] = i16(5) }", "s[1, 7] = i16(5)"],
)
def test_interleave_keeps_fills_of_whole_words(fill: str) -> None:
    plain = kernel(staged(fill=fill))
    same_results(plain, apply(plain, ("interleave(s)",)))


@pytest.mark.parametrize(
    "fill", ["s[0, 1] = i16(5)", "for z in 2 { s[1, z] = i16(5) }", "for z in 4 { s[0, z + 2] = i16(5) }"]
)
def test_interleave_refuses_fills_that_split_a_word(fill: str) -> None:
    refuses(staged(fill=fill), "interleave(s)", "splits a word")


@pytest.mark.parametrize(
    "read", ["2*kb + 2*ko + ka", "2*kb + ko + ka", "ko", "2*kb + 3*ko + ka", "ka + 2*kb + 3", "2*kb + 4*ko"]
)
def test_interleave_refuses_other_indices(read: str) -> None:
    refuses(staged(read), "interleave(s)", "is not split by 4 into 2 and 2")


def test_interleave_refuses_rows_of_other_lengths_and_tables() -> None:
    refuses(staged(size=10), "interleave(s)", "its rows are not all words of four")
    refuses(staged(fill="y[0] = i32(s[[3]])"), "interleave(s)", "read as a table")
    refuses(staged(), "interleave(x)", "it is no scratch of int16")
    refuses(staged(), "interleave(y)", "it is no scratch of int16")
