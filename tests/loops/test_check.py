"""What is wrong with a kernel, in words."""

from __future__ import annotations

import pytest

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.check import check_kernel
from tinyir.loops.ir import (
    I8,
    I8X4,
    I32,
    Bin,
    Body,
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
    Stmt,
    Store,
    Var,
)

X, W = Param("x", "in", DType.I8, (4, 8)), Param("w", "const", DType.I8, (6,))
S, Y = Param("s", "scratch", DType.I32, (4,)), Param("y", "out", DType.I32, (4,))
ZERO, AT = Affine(), Affine.of("i")


def mistake(*body: Stmt, params: tuple[Param, ...] = (X, W, S, Y)) -> str:
    return check_kernel(Kernel("k", params, body))


def loop(*body: Stmt, var: str = "i", extent: int = 4) -> For:
    return For(var, extent, body)


def read(expr: Expr) -> Body:
    """A use of an expression inside the loop over i."""
    return (loop(Let("v", expr)),)


def element(*index: Affine, buffer: str = "x") -> Load:
    return Load(buffer, index, I8)


GOOD = loop(Store("y", (AT,), Cast(element(AT, AT * 2), I32)))


def test_a_sound_kernel() -> None:
    assert mistake(GOOD) == ""
    assert mistake(loop(Let("a", Const(1))), loop(Let("a", Const(2)), var="j")) == ""  # blocks of their own
    assert mistake(*read(Cond((Guard(AT - 1, 4),), element(AT - 1, ZERO), Const(0, I8)))) == ""
    assert mistake(loop(If((Guard(AT + 1, 4),), (Store("y", (AT + 1,), Const(1)),)))) == ""
    assert mistake(Var("a", I32, Const(1)), loop(Set("a", Const(2)))) == ""
    assert mistake(*read(Load("x", (AT, ZERO + 4), I8X4))) == ""


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ((loop(GOOD),), "the name `i` is taken"),
        ((GOOD, GOOD), "the name `i` is taken"),
        ((loop(var="x"),), "the name `x` is taken"),
        ((Let("a", Const(1)), loop(var="a")), "the name `a` is taken"),
        ((loop(Let("i", Const(1))),), "the name `i` is taken"),
        ((Let("a", Const(1)), loop(Var("a", I32, Const(2)))), "the name `a` is taken"),
        ((Let("y", Const(1)),), "the name `y` is taken"),
        ((loop(extent=0),), "the loop over `i` has 0 iterations"),
        ((Set("a", Const(1)),), "`a` is no variable here"),
        ((Let("a", Const(1)), Set("a", Const(2))), "`a` is no variable here"),
        ((loop(Var("a", I32, Const(1))), Set("a", Const(2))), "`a` is no variable here"),
        (read(Local("a", I32)), "`a` is not defined here"),
        ((loop(Let("a", Const(1))), Let("b", Local("a", I32))), "`a` is not defined here"),
        (read(Bin("+", Const(1), Cast(Local("a", I8), I32))), "`a` is not defined here"),
        (read(Index(Affine.of("j"))), "no loop over `j` is around its use"),
        (read(element(Affine.of("j"), ZERO)), "no loop over `j` is around its use"),
        ((loop(If((Guard(Affine.of("j"), 2),), ())),), "no loop over `j` is around its use"),
        (read(Cond((Guard(Affine.of("j"), 2),), Const(1), Const(2))), "no loop over `j` is around its use"),
        ((GOOD, Store("y", (AT,), Const(1))), "no loop over `i` is around its use"),
        (read(element(AT, buffer="z")), "no buffer is called `z`"),
        (read(Gather("z", Const(1), I8)), "no buffer is called `z`"),
        ((Store("z", (ZERO,), Const(1)),), "no buffer is called `z`"),
        (read(element(AT)), "`x` has 2 dimensions, not 1"),
        ((Store("y", (ZERO, ZERO), Const(1)),), "`y` has 1 dimensions, not 2"),
        ((Store("x", (ZERO, ZERO), Const(1, I8)),), "`x` is not to be written"),
        ((Store("w", (ZERO,), Const(1, I8)),), "`w` is not to be written"),
        (read(element(AT + 1, ZERO)), "`x` is read at 1..4 of 4 along dimension 0"),
        (read(element(AT, AT * 3 - 1)), "`x` is read at -1..8 of 8 along dimension 1"),
        (read(Load("x", (ZERO, AT * 2), I8X4)), "`x` is read at 0..9 of 8 along dimension 1"),
        ((loop(Store("y", (AT * -1,), Const(1))),), "`y` is written at -3..0 of 4 along dimension 0"),
        ((Store("y", (ZERO,), Const(1, I8)),), "`y` holds i32, not i8"),
        (read(Load("x", (ZERO, ZERO), I32)), "`x` holds i8, not i32"),
        (read(Gather("w", Const(1), I32)), "`w` holds i8, not i32"),
    ],
)
def test_mistakes(body: Body, wanted: str) -> None:
    assert mistake(*body) == f"@k: {wanted}"


def test_two_parameters_of_one_name() -> None:
    assert mistake(params=(X, X)) == "@k: two parameters have one name"
