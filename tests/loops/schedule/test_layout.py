"""Steps that lay memory out for words: permute, pad_rows, widen, transpose, unflatten, fill."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.kernels import becomes, kernel, refuses, same_results
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.ir import Packing
from tinyir.loops.schedule import ScheduleError, apply

# -- permute, pad_rows ------------------------------------------------------------------------------------------------

ROWS = """
kernel @rows(in x: i8[2, 3, 5], scratch s: i16[2, 3, 5], out y: i32[2]) {{
  for a in 2 {{ for b in 3 {{ for c in 5 {{ s[a, b, c] = i16(x[a, b, c]) }} }} }}
  {extra}
  for o in 2 {{
    var acc: i32 = 0
    for k in 3 {{ for l in 4 {{ acc = (acc + i32(s[o, k, l + 1])) }} }}
    y[o] = acc
  }}
}}
"""


def rows(extra: str = "") -> str:
    return ROWS.format(extra=extra)


def test_permute() -> None:
    after = rows().replace("s: i16[2, 3, 5]", "s: i16[5, 2, 3]")
    after = after.replace("s[a, b, c]", "s[c, a, b]").replace("s[o, k, l + 1]", "s[l + 1, o, k]")
    becomes(rows(), "permute(s, 2, 0, 1)", after)


def test_permute_back() -> None:
    becomes(rows(), "permute(s, 2, 0, 1)\npermute(s, 1, 2, 0)", rows())


def test_pad_rows() -> None:
    after = rows().replace("s: i16[2, 3, 5]", "s: i16[2, 3, 8]")
    after = after.replace("s[a, b, c]", "s[a, b, c + 2]").replace("l + 1", "l + 3")
    becomes(rows(), "pad_rows(s, 2, 4)", after)


@pytest.mark.parametrize(
    ("step", "length"),
    [("pad_rows(s, 0, 1)", 5), ("pad_rows(s, 0, 2)", 6), ("pad_rows(s, 3, 4)", 8), ("pad_rows(s, 3, 9)", 9)],
)
def test_pad_rows_to_a_multiple(step: str, length: int) -> None:
    before = kernel(rows())
    after = apply(before, (step,))
    assert after.param("s").shape == (2, 3, length)
    same_results(before, after)


@pytest.mark.parametrize("step", ["permute({}, 0, 1, 2)", "pad_rows({}, 1, 2)"])
def test_only_scratch_by_elements_is_moved(step: str) -> None:
    refuses(rows(), step.format("x"), "`x`: it is no scratch, or read as a table")
    refuses(rows(), step.format("y"), "`y`: it is no scratch, or read as a table")
    refuses(rows(), step.format("n"), "cannot find the buffer `n`")
    refuses(rows("y[0] = i32(s[[7]])"), step.format("s"), "`s`: it is no scratch, or read as a table")
    read = "for o1 in 2 { var a1: i32 = 0 a1 = smlad(s[o1, 0, 0] as i16x2, s[o1, 1, 2] as i16x2, a1) y[o1] = a1 }"
    refuses(rows(read), step.format("s"), "`s`: it is read or written by words")
    write = "for o1 in 2 { s[o1, 0, 0] = sxtb16(x[o1, 0, 0] as i8x4) }"
    refuses(rows(write), step.format("s"), "`s`: it is read or written by words")


@pytest.mark.parametrize("order", ["0, 1", "0, 1, 1", "1, 2, 3", "0, 1, 2, 3", "-1, 0, 1", ""])
def test_permute_refuses_what_is_no_order(order: str) -> None:
    refuses(rows(), f"permute(s, {order})", "is no order of its 3 dimensions")


@pytest.mark.parametrize("by", ["-1, 4", "1, 0", "0, -2"])
def test_pad_rows_refuses_other_numbers(by: str) -> None:
    refuses(rows(), f"pad_rows(s, {by})", "to a multiple of")


def test_pad_rows_refuses_a_single_element() -> None:
    refuses("kernel @k(scratch s: i16[], out y: i16[1]) { s[] = i16(1) y[0] = s[] }", "pad_rows(s, 0, 2)", "by 0 to")


# -- widen ------------------------------------------------------------------------------------------------------------

DOT = """
kernel @dot(in x: i16[4, 6], const w: i8[6], out y: i32[4]) {{
  for o in 4 {{
    var acc: i32 = 0
    for k in 6 {{ acc = (acc + (i32(x[o, k]) * {w})) }}
    y[o] = acc
  }}
}}
"""


def test_widen() -> None:
    """The conversion to int8 and the one that follows it are one."""
    wide = becomes(
        DOT.format(w="i32(w[k])"),
        "widen(w, i16)",
        DOT.format(w="i32(w[k])").replace("w: i8[6]", "w: i16[6]"),
    )
    assert wide.param("w").packing == Packing((6,), (6,), (Affine.of("d0"),), DType.I16)


def test_widened_elements_stay_what_they_were() -> None:
    """Where nothing converts them further they are still int8."""
    text = "kernel @k(const w: i8[6], out y: i8[6]) {{ for k in 6 {{ y[k] = {} }} }}"
    becomes(text.format("w[k]"), "widen(w, i16)", text.format("i8(w[k])").replace("w: i8", "w: i16"))


@pytest.mark.parametrize("steps", [("pack(w, k1, k0)", "widen(w, i16)"), ("widen(w, i16)", "pack(w, k1, k0)")])
def test_widen_and_pack_in_either_order(steps: tuple[str, ...]) -> None:
    before = kernel(DOT.format(w="i32(w[k])"))
    split = apply(before, ("split(k, 2, k1, k0)", *steps, "flatten(w, 0)"))
    packing = split.param("w").packing
    assert packing is not None and packing.dtype is DType.I16 and packing.apply(np.arange(6)).dtype == np.int16
    same_results(before, split)


def test_widen_after_the_sum_is_padded() -> None:
    text = """
    kernel @k(in x: i8[5], const w: i8[5], scratch s: i16[5], out y: i32[1]) {
      for i in 5 { s[i] = i16(x[i]) }
      var acc: i32 = 0
      for k in 5 { acc = (acc + (i32(s[k]) * i32(w[k]))) }
      y[0] = acc
    }
    """
    before = kernel(text)
    same_results(before, apply(before, ("pad_sum(k, 4)", "widen(w, i16)")))
    with pytest.raises(ScheduleError, match="`w` is packed"):
        apply(before, ("widen(w, i16)", "pad_sum(k, 4)"))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("widen(x, i32)", "it is no constant of integers"),
        ("widen(y, i32)", "it is no constant of integers"),
        ("widen(w, f32)", "that is no type of integers"),
        ("widen(w, i17)", "that is no type of integers"),
        ("widen(w, i4)", "not every i8 fits"),
        ("widen(w, u8)", "not every i8 fits"),
        ("widen(n, i16)", "cannot find the buffer `n`"),
    ],
)
def test_widen_refuses(step: str, reason: str) -> None:
    refuses(DOT.format(w="i32(w[k])"), step, reason)


def test_widen_refuses_words_tables_and_floats() -> None:
    text = "kernel @k(in x: i8[4], const w: i8[4], const f: f32[4], out y: i32[1]) {{ var a: i32 = 0 {} y[0] = a }}"
    word = "a = smlad(sxtb16(x[0] as i8x4), sxtb16(w[0] as i8x4), a)"
    refuses(text.format(word), "widen(w, i16)", "it is read by words")
    refuses(text.format("a = i32(w[[i32(x[0])]])"), "widen(w, i16)", "it is read as a table")
    refuses(text.format(""), "widen(f, i32)", "it is no constant of integers")


# -- transpose --------------------------------------------------------------------------------------------------------

PLANES = """
kernel @planes(in x: i8[{image}], scratch s: i16[{scratch}], out y: i32[{outs}]) {{
  for v in {rows} {{ for u in {columns} {{ s[v, u] = i16(7) }} }}
  for q in 3 {{
    for p in 2 {{
      for c in 4 {{
        {copy}
      }}
    }}
  }}
  for i in {rows} {{ for j in {columns} {{ y[{columns}*i + j] = i32(s[i, j]) }} }}
}}
"""


def planes(copy: str, image: str = "6, 4", rows: int = 4, columns: int = 8) -> str:
    sizes = {"scratch": f"{rows}, {columns}", "outs": rows * columns, "rows": rows, "columns": columns}
    return PLANES.format(copy=copy, image=image, **sizes)


COPY = "s[c, 2*q + p] = i16(x[2*q + p, c])"


def test_transpose() -> None:
    after = """
    kernel @planes(in x: i8[6, 4], scratch s: i16[4, 8], out y: i32[32]) {
      for v in 4 { for u in 8 { s[v, u] = i16(7) } }
      for q in 3 {
        let x_0: i8x4 = x[2*q, 0] as i8x4
        let x_1: i8x4 = x[2*q + 1, 0] as i8x4
        let even_0: i16x2 = sxtb16(x_0)
        let even_1: i16x2 = sxtb16(x_1)
        let odd_0: i16x2 = sxtb16_ror8(x_0)
        let odd_1: i16x2 = sxtb16_ror8(x_1)
        s[0, 2*q] = pkhbt(even_0, even_1)
        s[1, 2*q] = pkhbt(odd_0, odd_1)
        s[2, 2*q] = pkhtb(even_0, even_1)
        s[3, 2*q] = pkhtb(odd_0, odd_1)
      }
      for i in 4 { for j in 8 { y[8*i + j] = i32(s[i, j]) } }
    }
    """
    becomes(planes(COPY), "transpose(p, c)", after)


@pytest.mark.parametrize(
    ("copy", "image"),
    [
        ("s[c, 2*q + p + 2] = i16(x[2*q + p, c])", "6, 4"),
        ("s[-1*c + 3, 2*q + p] = i16(x[2*q + p, c])", "6, 4"),  # channels from the last
        ("s[c, -2*q + p + 6] = i16(x[-2*q + -1*p + 5, c + 4])", "6, 8"),  # pixels from the last
        ("s[q, 2*c + p] = i16(x[4*p + 8*q + c])", "24"),  # one row
        ("s[q, p] = i16(x[2*q + p, c])", "6, 4"),  # the last channel stays
        ("s[c, 2*q + p] = i16(x[2*q, c])", "6, 4"),  # one pixel twice
    ],
)
def test_transposed_copies(copy: str, image: str) -> None:
    before = kernel(planes(copy, image))
    after = apply(before, ("transpose(p, c)",))
    assert "pkhtb" in after.text()
    for seed in range(3):
        arrays = {"x": np.random.default_rng(seed).integers(-128, 128, before.param("x").shape).astype(np.int8)}
        same_results(before, after, arrays)


@pytest.mark.parametrize(
    ("copy", "image"),
    [
        ("s[c, 2*q + p + 1] = i16(x[2*q + p, c])", "6, 4"),  # odd halfwords of scratch
        ("s[c, q + p] = i16(x[2*q + p, c])", "6, 4"),
        ("s[c, 2*q + p] = i16(x[2*q + p, c + 1])", "6, 8"),  # odd bytes of the image
        ("s[c, 2*q + p] = i16(x[2*q + p, c])", "6, 6"),  # rows that are no words
        ("s[c, 2*q + p] = i16(x[q, p + c])", "6, 8"),
        ("s[c, 2*q + p] = i16(x[q, 2*p + c])", "6, 8"),
        ("s[c, 2*q + p] = i16(x[2*q + p, 2*c])", "6, 8"),  # channels apart
        ("s[c, 2*q + p] = i16(x[2*q + p, -1*c + 3])", "6, 4"),
        ("s[c, 2*q + p] = i16(x[c, 2*q + p])", "6, 8"),  # channels along another dimension
        ("s[c, 2*q + p] = i16(x[c, c])", "6, 8"),
        ("s[c, q + 2*p] = i16(x[2*q + p, c])", "6, 4"),  # pixels apart
        ("s[p, c] = i16(x[2*q + p, c])", "6, 4"),
        ("s[p, 2*c + p] = i16(x[2*q + p, c])", "6, 4"),
        ("s[0, c + p] = i16(x[2*q + p, c])", "6, 4"),  # words over each other
    ],
)
def test_transpose_refuses_what_is_not_between_words(copy: str, image: str) -> None:
    refuses(planes(copy, image), "transpose(p, c)", "the copy is not between whole words")


def test_transpose_refuses_rows_of_odd_length() -> None:
    refuses(planes(COPY, columns=7), "transpose(p, c)", "the copy is not between whole words")


@pytest.mark.parametrize(
    "copy",
    [
        "s[c, 2*q + p] = i16(7)",
        "s[c, 2*q + p] = i16(where [0 <= c < 3] x[2*q + p, c] else i8(0))",
        "if 0 <= c < 3 { s[c, 2*q + p] = i16(x[2*q + p, c]) }",
        "s[c, 2*q + p] = s[c, 2*q + p]",
        f"{COPY} {COPY}",
        "s[c, 2*q + p] = i16(x[[index(c)]])",
    ],
)
def test_transpose_refuses_other_statements(copy: str) -> None:
    refuses(planes(copy), "transpose(p, c)", "they are no copy of two times four elements")


def test_transpose_refuses_other_loops_and_types() -> None:
    refuses(planes(COPY), "transpose(c, p)", "they are no copy of two times four elements")
    refuses(planes(COPY), "transpose(q, p)", "they are no copy of two times four elements")
    refuses(planes(COPY), "transpose(p, p)", "they are no copy of two times four elements")
    refuses(planes(COPY), "transpose(p, n)", "cannot find the loop `n`")
    refuses(planes(COPY).replace("in x: i8", "in x: u8"), "transpose(p, c)", "not between whole words")
    output = "kernel @k(in x: i8[2, 4], out y: i16[4, 2]) { for p in 2 { for c in 4 { y[c, p] = i16(x[p, c]) } } }"
    refuses(output, "transpose(p, c)", "not between whole words")
    single = "kernel @k(in x: i8[], scratch s: i16[4, 2]) { for p in 2 { for c in 4 { s[c, p] = i16(x[]) } } }"
    refuses(single, "transpose(p, c)", "it copies one element")


# -- stage before everything ------------------------------------------------------------------------------------------


def test_stage_all_copies_before_everything_else() -> None:
    text = """
    kernel @k(in x: i8[4], out y: i32[2]) {
      for o in 2 { y[o] = i32(x[o + 1]) }
    }
    """
    after = """
    kernel @k(in x: i8[4], out y: i32[2], scratch s: i16[2]) {
      for s_0 in 2 { s[s_0] = i16(x[s_0 + 1]) }
      for o in 2 { y[o] = i32(s[o]) }
    }
    """
    becomes(text, "stage(x, all, s, i16)", after)
    twice = text.replace("for o", "for i in 2 { y[i] = i32(x[i]) } for o")
    refuses(twice, "stage(x, all, s, i16)", "it is read in 2 ways")
    refuses(text, "stage(y, all, s, i32)", "what it holds changes")


# -- hoist of some constants ------------------------------------------------------------------------------------------


def test_hoist_of_some_constants() -> None:
    text = """
    kernel @k(const w: i8[2], const b: i32[2], out y: i32[2, 3]) {{
      for o in 2 {{
        {}
        for i in 3 {{ y[o, i] = ({} * i32(w[o])) }}
      }}
    }}
    """
    becomes(text.format("", "b[o]"), "hoist(i, b)", text.format("let b_h0: i32 = b[o]", "b_h0"))


# -- unflatten, fill --------------------------------------------------------------------------------------------------

FLAT = """
kernel @flat(in x: i8[24], scratch s: i16[{shape}], out y: i32[2]) {{
  for a in 2 {{ for b in 3 {{ for c in 4 {{ s[{store}] = i16(x[12*a + 4*b + c]) }} }} }}
  for o in 2 {{
    var acc: i32 = 0
    for k in 3 {{ acc = (acc + i32(s[{load}])) }}
    y[o] = acc
  }}
}}
"""


def flat(store: str = "12*a + 4*b + c", load: str = "12*o + 4*k + 1", shape: str = "24") -> str:
    return FLAT.format(shape=shape, store=store, load=load)


def test_unflatten() -> None:
    becomes(flat(), "unflatten(s, 2, 3, 4)", flat("a, b, c", "o, k, 1", "2, 3, 4"))


def test_unflatten_constants_fall_apart_too() -> None:
    becomes(flat(load="4*k + o + 9"), "unflatten(s, 6, 4)", flat("b + 3*a, c", "k + 2, o + 1", "6, 4"))


def test_unflatten_with_dimensions_of_one() -> None:
    becomes(flat(), "unflatten(s, 2, 1, 12)", flat("a, 0, 4*b + c", "o, 0, 4*k + 1", "2, 1, 12"))


def test_unflatten_undoes_flatten() -> None:
    becomes(flat(), "unflatten(s, 2, 3, 4)\nflatten(s, 0)", flat())


@pytest.mark.parametrize(("sizes", "reason"), [("2, 12", "12"), ("12, 2", "2"), ("3, 8", "8")])
def test_unflatten_refuses_indices_across_rows(sizes: str, reason: str) -> None:
    """12*o + 4*k + 5 + 4*o goes beyond row o."""
    refuses(flat(load="12*o + 4*k + 3"), "unflatten(s, 8, 3)", "does not fall apart at 3")
    refuses(flat(load="7*o + 5*k"), f"unflatten(s, {sizes})", f"does not fall apart at {reason}")


@pytest.mark.parametrize("sizes", ["", "23", "2, 3", "-2, -12", "0"])
def test_unflatten_refuses_other_sizes(sizes: str) -> None:
    refuses(flat(), f"unflatten(s, {sizes})", "its shape is 24")


def test_unflatten_refuses_several_dimensions() -> None:
    refuses(rows(), "unflatten(s, 2, 15)", "its shape is 2, 3, 5")


MARGINS = """
kernel @margins(in x: i8[4], scratch s: i32[8], out y: i32[6]) {{
  {starts}
  for c in 4 {{ s[c + 2] = i32(x[c]) }}
  for o in 6 {{ y[o] = ((s[o] + s[o + 1]) + s[o + 2]) }}
}}
"""
LEFT, RIGHT = "for l in 2 { s[l] = -7 }", "for r in 2 { s[r + 6] = -7 }"


def margins(*starts: str) -> str:
    return MARGINS.format(starts=" ".join(starts))


def test_fill() -> None:
    becomes(margins(LEFT, RIGHT), "fill(s, m)", margins("for m in 8 { s[m] = -7 }"))
    becomes(margins(LEFT, "s[6] = -7 s[7] = -7"), "fill(s, m)", margins("for m in 8 { s[m] = -7 }"))


def test_fill_refuses_what_is_not_filled_first() -> None:
    refuses(margins(LEFT, RIGHT.replace("-7", "-8")), "fill(s, m)", "it begins with 2 constants")
    refuses(margins("for l in 4 { s[l] = i32(x[l]) }"), "fill(s, m)", "it begins with 0 constants")
    refuses(rows(), "fill(s, m)", "it is no scratch of one dimension")
    refuses(margins(LEFT), "fill(y, m)", "it is no scratch of one dimension")
    refuses(margins(LEFT), "fill(s, o)", "the name is taken")


def test_fill_leaves_what_comes_later() -> None:
    """A constant that overwrites what was copied is not part of the fill."""
    late = margins(LEFT, "for e in 4 { s[e] = i32(x[e]) }", "for f in 2 { s[f + 6] = -7 }")
    becomes(late, "fill(s, m)", late.replace("for l in 2 { s[l] = -7 }", "for m in 8 { s[m] = -7 }"))
