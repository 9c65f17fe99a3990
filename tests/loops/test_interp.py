"""Running kernels: what every expression gives, and every access that is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.loops.kernels import kernel
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine
from tinyir.loops.interp import Array, Buffer, KernelError, execute, run_kernel
from tinyir.loops.ir import I32, Bin, Const, Kernel, Param, Store


def result(statements: str, dtype: str = "i32", **arrays: Array) -> object:
    """What `y[0]` is after the statements; `x` is given, `w` a constant."""
    params = "in x: i8[4, 2], in f: f32[2], const w: i16[3], scratch s: i16[4]"
    found = run_kernel(kernel(f"kernel @k({params}, out y: {dtype}[1]) {{ {statements} }}"), DATA | arrays)["y"]
    assert found.dtype == DType(dtype).numpy
    return found[0]


DATA: dict[str, Array] = {
    "x": np.array([[1, -2], [3, -4], [100, -128], [127, 0]], np.int8),
    "f": np.array([1.5, -0.0], np.float32),
    "w": np.array([300, -300, 7], np.int16),
}
TOP = 2**31 - 1


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("(2147483647 + 1)", -(2**31)),
        ("(-2147483648 - 1)", TOP),
        ("(65536 * 65536)", 0),
        ("(-7 >> 1)", -4),
        ("(3 << 31)", -(2**31)),
        ("(-2 & 7)", 6),
        ("min(-3, 2)", -3),
        ("max(-3, 2)", 2),
        ("i32(x[2, 1])", -128),
        ("i32(i8(i32(300)))", 44),
        ("i32(i8(i32(128)))", -128),
        ("i32(u8(i32(-1)))", 255),
        ("i32(i16(i32(40000)))", 40000 - 65536),
        ("i32(f32(-1.75))", -1),
        ("index(3)", 3),
        ("i32(w[[1]])", -300),
        ("i32(x[[5]])", -128),
        ("where [0 <= 2 < 3, 0 <= 0 < 1] 5 else 6", 5),
        ("where [0 <= 2 < 3, 0 <= 1 < 1] 5 else 6", 6),
        ("where [0 <= -1 < 3] i32(x[-1, 0]) else 6", 6),  # only the chosen side is evaluated
        ("ssat8(1000)", 127),
    ],
)
def test_integers(expr: str, wanted: int) -> None:
    assert result(f"y[0] = {expr}") == wanted


def test_floats_are_single() -> None:
    assert result("y[0] = (f[0] + f32(0.1))", "f32") == np.float32(1.5) + np.float32(0.1)
    assert result("y[0] = ((f[0] * f32(16777217.0)) - f32(25165824.0))", "f32") == 0
    assert np.signbit(result("y[0] = (f[1] * f[0])", "f32"))  # type: ignore[call-overload]
    assert result("y[0] = (f[0] / f[1])", "f32") == -np.inf
    assert np.isnan(result("y[0] = ((f[0] / f[1]) * f[1])", "f32"))  # type: ignore[call-overload]
    assert result("y[0] = f32(-3)", "f32") == -3


def test_words() -> None:
    pairs = np.array([[1, 2, 3, 4]] * 4, np.int8)
    text = "kernel @k(in x: i8[4, 4], out y: i16[2, 2], out z: i8[4]) {{ {} }}"
    found = run_kernel(
        kernel(
            text.format(
                "y[0, 0] = sxtb16(x[1, 0] as i8x4) y[1, 0] = sxtb16_ror8(x[3, 0] as i8x4) z[0] = x[2, 0] as i8x4"
            )
        ),
        {"x": pairs},
    )
    np.testing.assert_array_equal(found["y"], [[1, 3], [2, 4]])
    np.testing.assert_array_equal(found["z"], [1, 2, 3, 4])


def test_variables_and_loops() -> None:
    body = """
    var a: i32 = 1
    for i in 4 {
      let b: i32 = (a + index(2*i + 1))
      if 0 <= i + -1 < 2 { a = b } else { a = (b * 2) }
    }
    y[0] = a
    """
    a = 1
    for i in range(4):
        b = a + 2 * i + 1
        a = b if 1 <= i < 3 else b * 2
    assert result(body) == a


# -- what is refused --------------------------------------------------------------------------------------------------

GUARDED = "if 0 <= 0 < 1 {{ {} }} y[0] = 1"
"""The checker trusts guards; the interpreter does not."""


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("let a: i8 = x[4, 0]", r"x\[4, 0\] x1 leaves \[4, 2\]"),
        ("let a: i8 = x[0, 2]", r"x\[0, 2\] x1 leaves \[4, 2\]"),
        ("let a: i8 = x[0, -1]", r"x\[0, -1\] x1 leaves \[4, 2\]"),
        ("let a: i8x4 = x[0, 0] as i8x4", r"x\[0, 0\] x4 leaves \[4, 2\]"),
        ("let a: i16x2 = w[2] as i16x2", r"w\[2\] x2 leaves \[3\]"),
        ("let a: i16 = w[[3]]", r"w\[\[3\]\] leaves 3 elements"),
        ("let a: i16 = w[[-1]]", r"w\[\[-1\]\] leaves 3 elements"),
        ("s[4] = i16(1)", r"s\[4\] x1 leaves \[4\]"),
        ("s[-1] = i16(1)", r"s\[-1\] x1 leaves \[4\]"),
        ("let a: i32 = y[0]", r"y\[0\] is read before it is written"),
        ("let a: i32 = y[[0]]", r"y\[\[0\]\] is read before it is written"),
    ],
)
def test_accesses_outside(statement: str, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        result(GUARDED.format(statement))


def test_an_output_left_unwritten() -> None:
    half = kernel("kernel @k(out y: i8[2, 2]) { for i in 2 { y[i, i] = i8(1) } }")
    with pytest.raises(KernelError, match="y has elements that were never written"):
        run_kernel(half, {})


@pytest.mark.parametrize(("dtype", "value"), [(DType.I8, 128), (DType.I8, -129), (DType.U8, -1), (DType.I16, 40000)])
def test_a_value_that_does_not_fit(dtype: DType, value: int) -> None:
    """Narrowing is a Cast; a store alone does not wrap."""
    body = (Store("y", (Affine(),), Const(value)),)
    with pytest.raises(KernelError, match=rf"y\[0\] = \({value},\) does not fit {dtype}"):
        run_kernel(Kernel("k", (Param("y", "out", dtype, (1,)),), body), {})


@pytest.mark.parametrize("role", ["in", "const"])
def test_a_store_to_what_is_only_read(role: str) -> None:
    body = (Store("x", (Affine(),), Const(1)),)
    broken = Kernel("k", (Param("x", role, DType.I32, (1,)),), body)
    with pytest.raises(KernelError, match="x is not to be written"):
        run_kernel(broken, {"x": np.zeros(1, np.int32)})


def test_unknown_arithmetic() -> None:
    body = (Store("y", (Affine(),), Bin("%", Const(1), Const(2))),)
    with pytest.raises(KernelError, match="no arithmetic called %"):
        run_kernel(Kernel("k", (Param("y", "out", DType.I32, (1,)),), body), {})
    assert body[0].value.ty == I32


def test_an_array_of_another_size() -> None:
    with pytest.raises(AssertionError, match=r"x: \(3,\) given, \(4, 2\) expected"):
        result("y[0] = 1", x=np.zeros(3, np.int8))


# -- buffers of the caller's ------------------------------------------------------------------------------------------


def test_scratch_can_be_given_contents() -> None:
    text = "kernel @k(scratch s: i16[2], out y: i32[2]) { for i in 2 { y[i] = i32(s[i]) } }"
    np.testing.assert_array_equal(run_kernel(kernel(text), {})["y"], [0, 0])
    np.testing.assert_array_equal(run_kernel(kernel(text), {"s": np.array([5, -6], np.int16)})["y"], [5, -6])


def test_buffers_that_lie_over_each_other() -> None:
    shifted = kernel("kernel @k(in x: i8[4], out y: i8[4]) { for i in 4 { y[i] = x[i] } }")
    memory: list[int] = [1, 2, 3, 4, 9]
    x, y = (Buffer(p, np.zeros(4, np.int8)) for p in shifted.params)
    x.data = memory

    class Next(list[int]):
        """The same memory, one element further on."""

        def __setitem__(self, at: object, values: object) -> None:
            assert isinstance(at, slice) and isinstance(values, tuple)
            memory[at.start + 1 : at.stop + 1] = values

    y.data = Next()
    execute(shifted, {"x": x, "y": y})
    assert memory == [1, 1, 1, 1, 1]
