"""The step pair_products: single products of int16 as SMLAD and as products of halves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.kernels import becomes, kernel, refuses, same_results
from tinyir.loops.schedule import ScheduleError, apply

WINDOW = """
kernel @window(in x: i16[{image}], const w: i16[{weights}], out y: i32[4]) {{
  for o in 4 {{
    var s: i32 = 3
    var t: i32 = 5
    {body}
    y[o] = (s + t)
  }}
}}
"""


def product(x: str, w: str, total: str = "s") -> str:
    return f"{total} = ({total} + (i32(x[{x}]) * i32(w[{w}])))"


def window(*products: str, image: str = "12", weights: str = "3") -> str:
    return WINDOW.format(body="\n    ".join(products), image=image, weights=weights)


THREE = (product("2*o", "0"), product("2*o + 1", "1"), product("2*o + 2", "2"))


def test_neighbours_in_a_word_are_one_instruction() -> None:
    becomes(
        window(*THREE),
        "pair_products(w)",
        window(
            "s = smlad(x[2*o] as i16x2, w[0, 0] as i16x2, s)",
            "s = smlabb(x[2*o + 2] as i16x2, w[1, 0] as i16x2, s)",
            weights="2, 2",
        ),
    )


def test_the_window_that_begins_in_the_middle_of_a_word() -> None:
    becomes(
        window(product("2*o + 1", "0"), product("2*o + 2", "1"), product("2*o + 3", "2")),
        "pair_products(w)",
        window(
            "s = smlatt(x[2*o] as i16x2, w[0, 0] as i16x2, s)",
            "s = smlad(x[2*o + 2] as i16x2, w[1, 0] as i16x2, s)",
            weights="2, 2",
        ),
    )


def test_two_sums_keep_apart_and_the_order_of_products_is_free() -> None:
    becomes(
        window(*THREE, product("2*o + 2", "0", "t"), product("2*o", "1", "t"), product("2*o + 3", "1", "t")),
        "pair_products(w)",
        window(
            "s = smlad(x[2*o] as i16x2, w[0, 0] as i16x2, s)",
            "s = smlabt(x[2*o + 2] as i16x2, w[1, 0] as i16x2, s)",
            "t = smlad(x[2*o + 2] as i16x2, w[0, 0] as i16x2, t)",
            "t = smlabb(x[2*o] as i16x2, w[1, 0] as i16x2, t)",
            weights="2, 2",
        ),
    )


def test_halves_of_every_kind() -> None:
    """Each half of a word with a weight of its own."""
    products = [product(f"2*o + {i}", str(w)) for i, w in ((0, 0), (1, 0), (2, 2), (3, 2))]
    after = apply(kernel(window(*products)), ("pair_products(w)",))
    assert [word for word in after.text().split() if "smla" in word] == [
        "smlabb(x[2*o]", "smlatb(x[2*o]", "smlabt(x[2*o", "smlatt(x[2*o",
    ]  # fmt: skip
    same_results(kernel(window(*products)), after)


@pytest.mark.parametrize("taps", range(1, 9))
@pytest.mark.parametrize("starts", [(0,), (1,), (0, 1), (0, 2), (1, 3), (3, 0)])
@pytest.mark.parametrize("dtype", ["i8", "i16"])
def test_windows_of_any_length_that_begin_anywhere(taps: int, starts: tuple[int, ...], dtype: str) -> None:
    """Where all begin at the same half of a word, the weights become pairs without overlap; in words of int8, two to a
    word."""
    products = [product(f"4*o + {start + k}", str(k), "st"[i]) for i, start in enumerate(starts) for k in range(taps)]
    before = kernel(window(*products, image="24", weights=str(taps)).replace("w: i16", f"w: {dtype}"))
    after = apply(before, ("pair_products(w)",))
    alike = len({start % 2 for start in starts}) == 1
    pairs = (taps + starts[0] % 2 + 1) // 2 if alike else max(1, taps - 1)
    assert after.param("w").shape == ((pairs, 2) if dtype == "i16" else (-(-pairs // 2), 4))
    assert str(after.param("w").dtype) == dtype
    same_results(before, after)


def test_pairs_of_int8_are_unpacked() -> None:
    becomes(
        window(*THREE).replace("w: i16", "w: i8"),
        "pair_products(w)",
        window(
            "s = smlad(x[2*o] as i16x2, sxtb16(w[0, 0] as i8x4), s)",
            "s = smlabb(x[2*o + 2] as i16x2, sxtb16_ror8(w[0, 0] as i8x4), s)",
            weights="1, 4",
        ).replace("w: i16", "w: i8"),
    )


def test_a_single_weight_gets_a_zero_beside_it() -> None:
    becomes(
        window(product("2*o", "0"), product("2*o + 1", "0", "t"), weights="1"),
        "pair_products(w)",
        window(
            "s = smlabb(x[2*o] as i16x2, w[0, 0] as i16x2, s)",
            "t = smlatb(x[2*o] as i16x2, w[0, 0] as i16x2, t)",
            weights="1, 2",
        ),
    )


def test_weights_before_the_image_and_of_several_rows() -> None:
    products = [f"s = (s + (i32(w[{r}, {k}]) * i32(x[{r}, 2*o + {k}])))" for r in range(2) for k in range(3)]
    before = kernel(window(*products, image="2, 10", weights="2, 3"))
    after = apply(before, ("pair_products(w)",))
    assert after.text().count("smlad") == 2 and after.param("w").shape == (2, 2, 2)
    assert after.text().count(" s = ") == 4
    same_results(before, after)


def test_packed_weights() -> None:
    text = window("for k in 3 { s = (s + (i32(x[2*o + k]) * i32(w[k]))) }")
    text = text.replace("w: i16[3]", "w: i8[3]")
    before = kernel(text)
    steps = ("widen(w, i16)", "pack(w, k)", "unroll(k)", "pair_products(w)")
    after = apply(before, steps)
    assert "smlad" in after.text() and "smlabb" in after.text()
    same_results(before, after)


def test_products_under_guards_and_in_loops() -> None:
    body = f"for h in 2 {{ if 0 <= h + o < 3 {{ {' '.join(THREE)} }} else {{ {product('2*o', '2', 't')} }} }}"
    before = kernel(window(body))
    after = apply(before, ("pair_products(w)",))
    assert after.text().count("smlad") == 1 and after.text().count("smlabb") == 2
    same_results(before, after)


def test_a_store_between_products_keeps_them_apart() -> None:
    """The image changes in between: neither product may move over the store."""
    body = f"{product('0', '0')} x[1] = i16(o1[0]) {product('1', '1')} x[0] = i16(9)"
    text = window(body, image="4").replace("in x", "in o1: i8[1], scratch x").replace(
        "for o in 4 {", "for v in 4 { x[v] = i16(2) } for o in 4 {"
    )  # fmt: skip
    before = kernel(text)
    after = apply(before, ("pair_products(w)",))
    assert "smlad" not in after.text()
    same_results(before, after)


def test_products_wrap_as_the_sum_does() -> None:
    before = kernel(window(*THREE))
    arrays = {"x": np.full(12, -32768, np.int16), "w": np.full(3, -32768, np.int16)}
    same_results(before, apply(before, ("pair_products(w)",)), arrays)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        product("o", "0"),  # either half of a word
        product("o + 1", "0"),
        product("2*o", "o"),  # not a weight but a row of them
        "s = (s - (i32(x[2*o]) * i32(w[0])))",
        "s = (t + (i32(x[2*o]) * i32(w[0])))",
        "s = ((i32(x[2*o]) * i32(w[0])) + s)",
        "s = (s + i32(w[0]))",
        "s = (s + (i32(i8(x[2*o])) * i32(w[0])))",  # of x the low byte alone
        "s = (s + (i32(x[2*o]) * i32(i8(w[0]))))",
        "s = (s + (i32(w[0]) * i32(w[1])))",
        "s = (s + (i32(where [0 <= o < 2] x[2*o] else i16(0)) * i32(w[0])))",
        "s = (s + i32((x[2*o] * w[0])))",  # int16 that wraps
        "s = (s + (i32(y[o]) * i32(w[0])))",
        f"{product('2*o', '1')} y[o] = i32(w[0])",
    ],
)
def test_other_uses_of_the_weights(body: str) -> None:
    refuses(window(body, weights="4"), "pair_products(w)", "products of `w`: it is used for something else")


def test_a_product_added_twice() -> None:
    refuses(window(THREE[0], THREE[1], THREE[0]), "pair_products(w)", "one is added to `s` twice")
    twice = product("2*o + 2", "0"), product("2*o", "0"), product("2*o + 2", "1", "t")
    same_results(kernel(window(*twice)), apply(kernel(window(*twice)), ("pair_products(w)",)))


@pytest.mark.parametrize(
    ("products", "image"),
    [
        ([product("4", "0")], "5"),  # the last of an odd number
        ([product("1, 0", "0")], "2, 5"),  # the first of a row is the second half of a word
        ([product("0, 4", "0"), product("1, 0", "1")], "2, 5"),  # a word, but of two rows
        ([product("0, 4", "0")], "2, 5"),
        ([product("2*o", "0")], "7"),
    ],
)
def test_words_that_leave_their_row(products: list[str], image: str) -> None:
    refuses(window(*products, image=image), "pair_products(w)", r"the word x\[.*\] leaves its row")


@pytest.mark.parametrize(
    ("buffer", "reason"),
    [
        ("x", "it is no constant of int8 or int16"),
        ("y", "it is no constant of int8 or int16"),
        ("b", "it is no constant of int8 or int16"),
        ("u", "it is read by words, or not at all"),
        ("e", "it is no constant of int8 or int16"),
        ("n", "cannot find the buffer `n`"),
    ],
)
def test_other_buffers(buffer: str, reason: str) -> None:
    text = window(*THREE).replace("out y", "in b: i8[3], const u: i16[3], const e: i16[], out y")
    refuses(text, f"pair_products({buffer})", reason)


def test_words_and_tables_of_weights() -> None:
    word = "s = smlad(x[2*o] as i16x2, w[0] as i16x2, s)"
    refuses(window(word), "pair_products(w)", "it is read by words, or not at all")
    refuses(window(*THREE, word), "pair_products(w)", "it is read by words, or not at all")
    refuses(
        window(*THREE, "t = i32(w[[index(o)]])", weights="4"), "pair_products(w)", "it is no constant of int8 or int16"
    )


def test_not_twice() -> None:
    once = apply(kernel(window(*THREE)), ("pair_products(w)",))
    with pytest.raises(ScheduleError, match="it is read by words"):
        apply(once, ("pair_products(w)",))


def test_packed_and_flattened_weights() -> None:
    text = window(*(product(f"2*o + {k}", f"0, {k}") for k in range(3)), weights="1, 3")
    before = kernel(text)
    wide = apply(before, ("widen(w, i16)", "pair_products(w)"))
    same_results(before, wide)
    with pytest.raises(ScheduleError, match="it was packed and flattened"):
        apply(before, ("widen(w, i16)", "flatten(w, 0)", "pair_products(w)"))


STAGED = """
kernel @staged(in x: i16[12], in w: i8[2, 3], out y: i32[4], scratch ws: i16[3]) {{
  for c in 2 {{
    for k in 3 {{
      {fill}
    }}
    for o in 2 {{
      var s: i32 = 3
      {products}
      y[2*c + o] = s
    }}
  }}
}}
"""
PRODUCTS = "\n      ".join(f"s = (s + (i32(x[2*o + {k}]) * i32(ws[{k}])))" for k in range(3))


def test_weights_in_scratch_are_filled_as_pairs() -> None:
    becomes(
        STAGED.format(fill="ws[k] = i16(w[c, k])", products=PRODUCTS),
        "pair_products(ws)",
        """
        kernel @staged(in x: i16[12], in w: i8[2, 3], out y: i32[4], scratch ws: i16[2, 2]) {
          for c in 2 {
            for k_pair in 2 {
              for k_half in 2 {
                ws[k_pair, k_half] = where [0 <= k_half + 2*k_pair < 3] i16(w[c, k_half + 2*k_pair]) else i16(0)
              }
            }
            for o in 2 {
              var s: i32 = 3
              s = smlad(x[2*o] as i16x2, ws[0, 0] as i16x2, s)
              s = smlabb(x[2*o + 2] as i16x2, ws[1, 0] as i16x2, s)
              y[2*c + o] = s
            }
          }
        }
        """,
    )


@pytest.mark.parametrize("fill", ["ws[2 + -1*k] = i16(w[c, k])", "if 0 <= k < 2 { ws[k] = i16(w[c, k]) }"])
def test_scratch_that_is_filled_otherwise(fill: str) -> None:
    refuses(STAGED.format(fill=fill, products=PRODUCTS), "pair_products(ws)", "no loop over its taps fills it")


ELEMENTS = """
kernel @elements(in g: f32[2], const w: {dtype}[2, {taps}], out y: f32[2]) {{
  for c in 2 {{
    {body}
  }}
}}
"""


@pytest.mark.parametrize("dtype", ["i8", "i16"])
@pytest.mark.parametrize("taps", [1, 2, 3, 5, 7])
def test_elements_of_what_the_forward_pass_reads_in_pairs(dtype: str, taps: int) -> None:
    products = [f"f32(w[c, {k}])" for k in range(taps)]
    value = products[0]
    for other in products[1:]:
        value = f"({value} - {other})"
    before = kernel(ELEMENTS.format(dtype=dtype, taps=taps, body=f"y[c] = (g[c] * {value})"))
    after = apply(before, ("read_pairs(w)",))
    same_results(before, after)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("for k in 3 { y[c] = f32(w[c, k]) }", "it is read by words, or by a loop over taps"),
        ("y[c] = f32(w[[index(c)]])", "it is no constant of int8 or int16, or flat"),
    ],
)
def test_elements_that_are_read_otherwise(body: str, reason: str) -> None:
    refuses(ELEMENTS.format(dtype="i8", taps=3, body=body), "read_pairs(w)", reason)
