"""Kernels as text: what is printed reads back as the same kernel."""

from __future__ import annotations

import pytest

from tests.loops.cases import KINDS, cases
from tests.loops.kernels import kernel
from tests.loops.random_kernels import random_kernel
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.instrs import SXTB16
from tinyir.loops.ir import (
    F32,
    I8,
    I8X4,
    I16,
    I32,
    Bin,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    Gather,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Param,
    Set,
    Store,
    Var,
)
from tinyir.loops.printer import expr_text
from tinyir.loops.recipes import schedule
from tinyir.passes.schedule_loops import without_packings


@pytest.mark.parametrize("kind", KINDS)
def test_lowered_and_scheduled_kernels_read_back(kind: str) -> None:
    for seed in range(12):
        for case in cases(kind, seed):
            for one in (case.kernel, without_packings(schedule(case.kernel))):
                assert kernel(one.text()) == one


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_any_kernel_reads_back(first: int) -> None:
    for seed in range(first, first + 25):
        one = random_kernel(seed)
        assert kernel(one.text()) == one


AT_I, AT_J = Affine.of("i"), Affine.of("j")
EXPRESSIONS: dict[str, Expr] = {
    "7": Const(7),
    "-7": Const(-7),
    "i8(-7)": Const(-7, I8),
    "f32(0.5)": Const(0.5, F32),
    "f32(1e-07)": Const(1e-7, F32),
    "f32(-0.0)": Const(-0.0, F32),
    "i8(i32(300))": Cast(Const(300), I8),  # wraps; `i8(300)` would not fit
    "i32(i8(5))": Cast(Const(5, I8), I32),
    "f32(i32(3))": Cast(Const(3), F32),
    "i32(f32(1.5))": Cast(Const(1.5, F32), I32),
    "index(i)": Index(AT_I),
    "index(-3*i + 2*j + -5)": Index(AT_I * -3 + AT_J * 2 - 5),
    "index(0)": Index(Affine()),
    "a": Local("a", I32),
    "x[i, 0]": Load("x", (AT_I, Affine()), I8),
    "x[i, 4*j] as i8x4": Load("x", (AT_I, AT_J * 4), I8X4),
    "z[]": Load("z", (), F32),
    "x[[(a + 1)]]": Gather("x", Bin("+", Local("a", I32), Const(1)), I8),
    "(a >> 3)": Bin(">>", Local("a", I32), Const(3)),
    "min(a, (a << 1))": Bin("min", Local("a", I32), Bin("<<", Local("a", I32), Const(1))),
    "ssat8(a)": kernel("kernel @k(out y: i32[1]) { let a: i32 = 1 y[0] = ssat8(a) }").body[1].value,  # type: ignore[union-attr]
    "sxtb16(x[0, 0] as i8x4)": SXTB16(Load("x", (Affine(), Affine()), I8X4)),
    "where [0 <= i + -1 < 4, 0 <= j < 2] x[i + -1, j] else i8(9)": Cond(
        (Guard(AT_I - 1, 4), Guard(AT_J, 2)), Load("x", (AT_I - 1, AT_J), I8), Const(9, I8)
    ),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions(text: str) -> None:
    expr = EXPRESSIONS[text]
    assert expr_text(expr) == text
    params = (
        Param("x", "in", DType.I8, (4, 8)),
        Param("z", "in", DType.F32, ()),
        Param("y", "out", DType.I32, (1,)),
    )
    body = (
        Let("a", Const(2)),
        For("i", 2, (For("j", 2, (Let("v", expr),)),)),
        Store("y", (Affine(),), Const(0)),
    )
    one = Kernel("k", params, body)
    assert kernel(one.text()) == one


def test_statements() -> None:
    body = (
        Var("acc", I16, Const(3, I16)),
        For(
            "i",
            4,
            (
                Set("acc", Const(1, I16)),
                If((Guard(AT_I, 3), Guard(AT_I - 1, 2)), (Store("y", (AT_I,), Local("acc", I16)),)),
            ),
        ),
        If((Guard(Affine((), 1), 2),), (Let("b", Const(0)),), (Store("y", (Affine(),), Local("acc", I16)),)),
    )
    one = Kernel("stmts", (Param("y", "out", DType.I16, (4,)),), body, kind="test", doc=("a", 'b "c"'))
    assert one.text() == (
        'kernel @stmts(out y: i16[4]) attributes {kind = "test", doc = ["a", "b \\"c\\""]} {\n'
        "  var acc: i16 = i16(3)\n"
        "  for i in 4 {\n"
        "    acc = i16(1)\n"
        "    if 0 <= i < 3, 0 <= i + -1 < 2 {\n"
        "      y[i] = acc\n"
        "    }\n"
        "  }\n"
        "  if 0 <= 1 < 2 {\n"
        "    let b: i32 = 0\n"
        "  } else {\n"
        "    y[0] = acc\n"
        "  }\n"
        "}"
    )
    assert kernel(one.text()) == one
