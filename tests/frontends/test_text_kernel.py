"""Mistakes in the text of a kernel: each is told with its place."""

from __future__ import annotations

import pytest

from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse

HEAD = "kernel @k(in x: i8[4, 8], const w: i16[6], out y: i32[4]) {{\n  for i in 4 {{\n    {}\n  }}\n}}\n"


def error_of(statement: str) -> str:
    with pytest.raises(IRError) as caught:
        parse(HEAD.format(statement), "k.tir")
    return str(caught.value)


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("y[i] = z[i]", "k.tir:3:12: error: no buffer is called `z`"),
        ("y[i] = acc", "k.tir:3:12: error: `acc` is not defined here"),
        ("acc = 1", "k.tir:3:5: error: `acc` is not defined here"),
        ("let a: i32 = x[i, 0]", "k.tir:3:18: error: this is i8, not i32"),
        ("var a: i32 = 1 a = i8(1)", "k.tir:3:24: error: this is i8, not i32"),
        ("y[i] = (1 + i8(2))", "k.tir:3:12: error: `+` joins i32 and i8"),
        ("y[i] = min(x[i, 0], 2)", "k.tir:3:12: error: `min` joins i8 and i32"),
        ("y[i] = ssat9(1)", "k.tir:3:12: error: no instruction is called `ssat9`"),
        ("y[i] = ssat8(x[i, 0])", "k.tir:3:12: error: `ssat8` takes (i32), not (i8)"),
        ("y[i] = ssat8(1, 2)", "k.tir:3:12: error: `ssat8` takes (i32), not (i32, i32)"),
        ("y[i] = where [1 <= i < 3] 1 else 2", "k.tir:3:19: error: a guard compares with 0 on its left"),
        ("y[i] = i32(i8(300))", "k.tir:3:19: error: 300 does not fit i8: it is none of -128..127"),
        ("y[i] = 2147483648", "k.tir:3:12: error: 2147483648 does not fit i32"),
        ("y[i] = i32(u8(-1))", "k.tir:3:19: error: -1 does not fit u8: it is none of 0..255"),
        ("y[i] = 1.5", "k.tir:3:12: error: `1.5` is no i32; a float is written f32(1.5)"),
        ("y[i] = i32(1.5)", "k.tir:3:16: error: `1.5` is no i32"),
        ("y[i] = i32(x[i])", "k.tir:1:1: error: @k: `x` has 2 dimensions, not 1"),
        ("y[j] = 1", "k.tir:1:1: error: @k: no loop over `j` is around its use"),
        ("y[i] = i32(x[i, 8])", "k.tir:1:1: error: @k: `x` is read at 8..8 of 8 along dimension 1"),
        ("y[i] =", "k.tir:4:3: error:"),
        ("y[i] = 1 +", "k.tir:3:14: error:"),
    ],
)
def test_mistakes(statement: str, wanted: str) -> None:
    assert wanted in error_of(statement)


def test_the_place_is_underlined() -> None:
    lines = error_of("y[i] = ssat88(1)").split("\n")
    assert lines[1:3] == ["    3 |     y[i] = ssat88(1)", "      |            ^^^^^^"]
    assert "help: did you mean `ssat8`?" in lines


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kernel @k(in x: i9[4]) { }", "1:17: error:"),
        ("kernel @k(inn x: i8[4]) { }", "1:11: error:"),
        ("kernel @k(in x: i8[4], out x: i8[4]) { }", "two parameters have one name"),
        ("kernel k() { }", "1:8: error:"),
        ("kernel @k(out y: i8[1]) { for i in 4 { y[0] = i8(1) ", "error:"),
    ],
)
def test_mistakes_in_heads(text: str, wanted: str) -> None:
    with pytest.raises(IRError, match=r".") as caught:
        parse(text, "k.tir")
    assert wanted in str(caught.value)


def test_two_kernels_of_one_name() -> None:
    with pytest.raises(IRError, match="@k"):
        parse("kernel @k(out y: i8[1]) { y[0] = i8(1) } kernel @k(out y: i8[1]) { y[0] = i8(2) }")
