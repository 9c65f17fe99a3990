"""Contractions over a part of the channels: two parts give the accumulators of the whole, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyir
from tests.passcheck import random_inputs
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.int_contraction import IntConv2D, IntDense
from tinyir.ir.ops.int_elementwise import Add
from tinyir.ir.printer import print_module
from tinyir.ir.types import DType, TensorType


def whole_and_parts(trained: int) -> list[Func]:
    """A 3x3 convolution of 8 channels as one op, and as two with `trained` channels in the first."""
    rng = np.random.default_rng(trained)
    w = rng.integers(-128, 128, (6, 3, 3, 8), dtype=np.int8)
    bias = rng.integers(-5000, 5000, 6, dtype=np.int32)
    attrs: dict[str, Any] = {"pad": ((1, 1), (1, 1)), "stride": (2, 1), "pad_value": -7}
    funcs = []
    for parts in ([(-1, w)], [(0, w[..., :trained]), (trained, w[..., trained:])]):
        b = FuncBuilder()
        x = b.arg(TensorType((1, 5, 4, 8), DType.I8, "NHWC"), "x")
        sums: list[Value] = []
        for first, array in parts:
            operands = [b.const(array, layout="OHWI"), *([] if sums else [b.const(bias, layout="C")])]
            sums.append(b.add(IntConv2D(x, *operands, **attrs, first_channel=first)))
        funcs.append(b.ret(sums[0] if len(sums) == 1 else b.add(Add(*sums))))
    return funcs


@pytest.mark.parametrize("trained", [1, 4, 7])
def test_two_parts_are_the_whole(trained: int) -> None:
    whole, parts = whole_and_parts(trained)
    x = random_inputs(whole, trained)
    (wanted,) = evaluate(whole, x)
    (found,) = evaluate(parts, x)
    np.testing.assert_array_equal(found, wanted)
    for backend in ("c", "numpy"):
        compiled = tinyir.compile(
            Module([whole_and_parts(trained)[1]], {"name": "parts"}), backend=backend, measure=False
        )
        np.testing.assert_array_equal(compiled.run(x)[0], wanted)


def test_dense() -> None:
    x = np.arange(-5, 5, dtype=np.int8).reshape(2, 5)
    w = np.array([[1, -2], [3, 4], [0, 5]], np.int8)
    b = FuncBuilder()
    func = b.ret(b.add(IntDense(b.arg(TensorType(x.shape, DType.I8), "x"), b.const(w), first_channel=3)))
    (found,) = evaluate(func, [x])
    np.testing.assert_array_equal(found, x[:, 3:].astype(np.int32) @ w.T.astype(np.int32))


def test_text_reads_back() -> None:
    module = Module([whole_and_parts(4)[1]])
    text = print_module(module)
    assert "first_channel = 4" in text
    assert parse(text) == module


@pytest.mark.parametrize(("first", "size"), [(-2, 2), (4, 2), (0, 6)])
def test_channels_that_x_does_not_have(first: int, size: int) -> None:
    with pytest.raises(IRError, match="reads the channels"):
        parse(f"""func @main(%x: tensor<1x2x2x5xi8, NHWC>, %w: tensor<3x1x1x{size}xi8, OHWI>) {{
          %y = int.conv2d(%x, %w) {{first_channel = {first}}} : tensor<1x2x2x3xi32, NHWC>
          func.return(%y)
        }}""")
    with pytest.raises(IRError, match="reads the channels"):
        parse(f"""func @main(%x: tensor<1x5xi8>, %w: tensor<3x{size}xi8>) {{
          %y = int.dense(%x, %w) {{first_channel = {first}}} : tensor<1x3xi32>
          func.return(%y)
        }}""")


def test_without_the_attribute_x_has_no_other_channels() -> None:
    with pytest.raises(IRError, match="input channels"):
        parse("""func @main(%x: tensor<1x2x2x5xi8, NHWC>, %w: tensor<3x1x1x4xi8, OHWI>) {
          %y = int.conv2d(%x, %w) : tensor<1x2x2x3xi32, NHWC>
          func.return(%y)
        }""")
