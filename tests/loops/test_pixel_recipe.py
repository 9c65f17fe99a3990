"""The recipe of images of few channels: they are written out, the bits stay."""

from __future__ import annotations

import pytest

from tests.loops.cases import Case, cases_of
from tests.loops.test_gradient_recipes import steps_of
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops.image import Affine, ResizeBilinear, Rgb565
from tinyir.ir.ops.tensor import ResizeNearest
from tinyir.ir.types import DType, TensorType


def resized(op: type[Op], channels: int, layout: str = "NHWC") -> Case:
    b, sizes = FuncBuilder(), {"N": 1, "H": 6, "W": 5, "C": channels}
    x = b.arg(TensorType(tuple(sizes[a] for a in layout), DType.U8, layout), "x")
    (case,) = cases_of(b.ret(b.add(op(x, size=(4, 7)))))
    return case


@pytest.mark.parametrize("op", [ResizeBilinear, ResizeNearest])
def test_channels_are_written_out(op: type[Op]) -> None:
    for channels in (2, 3, 4):
        assert steps_of(resized(op, channels)) >= {"unroll", "share"}


def test_frames_and_affine_maps() -> None:
    b = FuncBuilder()
    frame = b.arg(TensorType((1, 4, 6, 1), DType.I16, "NHWC"), "x")
    image = b.arg(TensorType((1, 4, 6, 3), DType.I8, "NHWC"), "y")
    moved = Affine(image, b.arg(TensorType((6,), DType.I32), "m"))
    for case in cases_of(b.ret(b.add(Rgb565(frame)), b.add(moved))):
        case.arrays.update({name: array >> 12 for name, array in case.arrays.items() if name == "m"})
        assert "unroll" in steps_of(case)


def test_many_channels_and_planes_stay_right() -> None:
    for case in (resized(ResizeBilinear, 5), resized(ResizeBilinear, 1), resized(ResizeBilinear, 3, "NCHW")):
        assert "unroll" not in steps_of(case)
