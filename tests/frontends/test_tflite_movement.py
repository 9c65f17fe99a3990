"""Operators that only move elements, against TFLite Micro and LiteRT."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.differential import Random, check
from tests.tflite_builder import Quant, TFLiteBuilder

QUANT = Quant(0.1, -7)

KINDS = ("int8", "float32")


def _quant(kind: str) -> Quant | None:
    return QUANT if kind == "int8" else None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(24,), (1, 2, 3, 4), (4, 3, 2), (2, 12)])
def test_reshape(kind: str, shape: tuple[int, ...]) -> None:
    b = TFLiteBuilder()
    x, y = b.input((2, 3, 4), _quant(kind)), b.tensor(shape, _quant(kind))
    b.op("RESHAPE", [x, b.ints(*shape)], [y], newShape=list(shape))
    check(b.build([y]), [Random(0, kind == "int8").data(2, 3, 4)])


def test_squeeze_and_expand_dims() -> None:
    b = TFLiteBuilder()
    x, y, z = b.input((1, 3, 1, 4), QUANT), b.tensor((3, 4), QUANT), b.tensor((3, 1, 4), QUANT)
    b.op("SQUEEZE", [x], [y], squeezeDims=[0, 2])
    b.op("EXPAND_DIMS", [y, b.ints(-2)], [z])
    check(b.build([y, z]), [Random(0).data(1, 3, 1, 4)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pads", [((0, 0), (1, 2), (3, 0), (0, 0)), ((1, 0), (0, 1), (0, 0), (2, 2))])
def test_pad(kind: str, pads: tuple[tuple[int, int], ...]) -> None:
    b = TFLiteBuilder()
    shape = (1, 3, 4, 2)
    x = b.input(shape, _quant(kind))
    y = b.tensor([n + sum(pair) for n, pair in zip(shape, pads, strict=True)], _quant(kind))
    b.op("PAD", [x, b.const(np.array(pads, np.int32))], [y])
    check(b.build([y]), [Random(1, kind == "int8").data(*shape)])


@pytest.mark.parametrize("perm", [*list(itertools.permutations(range(4)))[::3], (1, 0), (2, 0, 1), (4, 0, 3, 1, 2)])
def test_transpose(perm: tuple[int, ...]) -> None:
    shape = (2, 3, 4, 5, 2)[: len(perm)]
    b = TFLiteBuilder()
    x, y = b.input(shape, QUANT), b.tensor([shape[p] for p in perm], QUANT)
    b.op("TRANSPOSE", [x, b.ints(*perm)], [y])
    check(b.build([y]), [Random(2).data(*shape)])


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_concatenation(axis: int) -> None:
    r = Random(axis + 10)
    b = TFLiteBuilder()
    shapes = [tuple(r.integer(1, 4) if i == axis % 4 else 2 + i for i in range(4)) for _ in range(3)]
    xs = [b.input(shape, QUANT) for shape in shapes[:2]] + [b.const(r.data(*shapes[2]), QUANT)]
    total = list(shapes[0])
    total[axis] = sum(shape[axis] for shape in shapes)
    y = b.tensor(total, QUANT)
    b.op("CONCATENATION", xs, [y], axis=axis)
    check(b.build([y]), [r.data(*shape) for shape in shapes[:2]])


@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_split(axis: int) -> None:
    shape = [2, 4, 3, 6]
    parts = 2
    small = list(shape)
    small[axis] //= parts
    b = TFLiteBuilder()
    x = b.input(shape, QUANT)
    ys = [b.tensor(small, QUANT) for _ in range(parts)]
    b.op("SPLIT", [b.ints(axis), x], ys, numSplits=parts)
    check(b.build(ys), [Random(3).data(*shape)])


SLICES = [
    ((0, 1, 2, 0), (1, 3, 4, 5), (1, 1, 1, 1), {}),
    ((0, -3, 0, -1), (1, -1, 99, -6), (1, 1, 2, -2), {}),
    ((9, 9, 9, 9), (9, 9, 9, 9), (1, 1, 1, 1), {"beginMask": 15, "endMask": 15}),
    ((0, 0, 0, 0), (0, 0, 0, 0), (1, -1, 3, -2), {"beginMask": 15, "endMask": 15}),
    ((0, 2, -1, 1), (1, 3, 0, 2), (1, 1, 1, 1), {"shrinkAxisMask": 0b1110}),
    ((0, 1, 0, 0), (0, 2, 4, 5), (1, 1, 1, 1), {"beginMask": 1, "endMask": 1, "shrinkAxisMask": 2}),
]


@pytest.mark.parametrize(("begin", "end", "stride", "masks"), SLICES, ids=str)
def test_strided_slice(
    begin: tuple[int, ...], end: tuple[int, ...], stride: tuple[int, ...], masks: dict[str, int]
) -> None:
    data = Random(4).data(1, 4, 4, 5)
    b = TFLiteBuilder()
    x, y = b.input(data.shape, QUANT), b.tensor(_numpy_slice(data.shape, begin, end, stride, masks), QUANT)
    b.op("STRIDED_SLICE", [x, b.ints(*begin), b.ints(*end), b.ints(*stride)], [y], **masks)
    check(b.build([y]), [data])


def _numpy_slice(
    shape: tuple[int, ...],
    begin: tuple[int, ...],
    end: tuple[int, ...],
    stride: tuple[int, ...],
    masks: dict[str, int],
) -> tuple[int, ...]:
    """The shape of the slice by NumPy's rules, which are the same."""
    index: list[int | slice] = []
    for i in range(len(shape)):
        first = None if masks.get("beginMask", 0) >> i & 1 else begin[i]
        last = None if masks.get("endMask", 0) >> i & 1 else end[i]
        shrinks = masks.get("shrinkAxisMask", 0) >> i & 1
        index.append(begin[i] if shrinks else slice(first, last, stride[i]))
    return np.empty(shape)[tuple(index)].shape


@pytest.mark.parametrize("options", [{}, {"alignCorners": True}, {"halfPixelCenters": True}], ids=str)
@pytest.mark.parametrize("size", [(7, 3), (1, 1), (2, 9), (4, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_resize_nearest_neighbor(kind: str, size: tuple[int, int], options: dict[str, bool]) -> None:
    b = TFLiteBuilder()
    x, y = b.input((2, 4, 5, 3), _quant(kind)), b.tensor((2, *size, 3), _quant(kind))
    b.op("RESIZE_NEAREST_NEIGHBOR", [x, b.ints(*size)], [y], **options)
    check(b.build([y]), [Random(6, kind == "int8").data(2, 4, 5, 3)])


def test_another_scale_on_the_result_changes_no_element() -> None:
    """TFLite Micro copies the stored integers of a RESHAPE, whatever types the model gives."""
    b = TFLiteBuilder()
    x, y = b.input((2, 6), Quant(0.1, 3)), b.tensor((12,), Quant(0.2, -5))
    z = b.tensor((12,))
    b.op("RESHAPE", [x, b.ints(12)], [y], newShape=[12])
    b.op("DEQUANTIZE", [y], [z])
    check(b.build([y, z]), [Random(8).data(2, 6)], ["tflm"])


def test_several_inputs_and_outputs() -> None:
    r = Random(9)
    b = TFLiteBuilder()
    first, second = b.input((1, 4), QUANT, name="left:0"), b.input((1, 4), QUANT, name="right:0")
    total, doubled = b.tensor((1, 4), QUANT, name="sum"), b.tensor((1, 4), Quant(0.3, 0), name="twice")
    b.op("ADD", [first, second], [total])
    b.op("ADD", [total, total], [doubled])
    check(b.build([doubled, total, first]), [r.data(1, 4), r.data(1, 4)])
