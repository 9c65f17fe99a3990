"""Recipes: a scheduled kernel computes what the plain one does, for every shape that an op may have."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.loops.cases import KINDS, Case, cases, cases_of
from tests.loops.kernels import Array, same_results
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Op
from tinyir.ir.ops import int_contraction as contraction
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.ops.int_window import IntAveragePool2D
from tinyir.ir.ops.nn_elementwise import Add
from tinyir.ir.types import DType, TensorType
from tinyir.loops.check import check_kernel
from tinyir.loops.recipes import LEVELS, POLICIES, RECIPES, Level, schedule, schedule_within
from tinyir.loops.recipes.blocks import block_size
from tinyir.loops.schedule import PRIMITIVES, apply

Pads = tuple[tuple[int, int], tuple[int, int]]
NO_PAD: Pads = ((0, 0), (0, 0))


def steps_of(case: Case, level: Level = "speed") -> set[str]:
    """Schedule the kernel, compare, and give the names of the steps taken."""
    scheduled = schedule(case.kernel, level)
    assert check_kernel(scheduled) == ""
    same_results(case.kernel, scheduled, case.arrays)
    assert apply(case.kernel, scheduled.schedule) == scheduled
    return {step.partition("(")[0] for step in scheduled.schedule}


class Layer:
    """A layer of int8 with its requantisation, ReLU or none, per channel."""

    def __init__(self, seed: int, batch: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = FuncBuilder()
        self.batch = batch

    def const(self, shape: tuple[int, ...], dtype: type, layout: str = "", most: int = 127) -> Array:
        return self.rng.integers(-most - 1, most + 1, shape, dtype=dtype)

    def finished(
        self,
        op: type[Op],
        x: TensorType,
        w: Array,
        w_layout: str,
        channels: int,
        *,
        trained: bool = False,
        **options: Any,
    ) -> Case:
        images = bool(x.layout)
        type = TensorType(w.shape, DType.I8, w_layout)
        weights = self.b.arg(type, "w") if trained else self.b.const(w, layout=w_layout)
        layout = "C" if images else ""
        bias = self.b.const(self.const((channels,), np.int32, most=3000), layout=layout)
        acc = self.b.add(op(self.b.arg(x, "x"), weights, bias, **options))
        factors = [
            self.b.const(self.rng.integers(1 << 30, 1 << 31, channels, dtype=np.int64).astype(np.int32), layout=layout),
            self.b.const(self.rng.integers(-9, -5, channels).astype(np.int32), layout=layout),
        ]
        lo = int(self.rng.choice([-128, 3]))
        (case,) = cases_of(self.b.ret(self.b.add(Requantize(acc, *factors, zero_point=3, lo=lo))))
        return case


def conv(
    size: tuple[int, int],
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pad: Pads = NO_PAD,
    dilation: tuple[int, int] = (1, 1),
    batch: int = 1,
) -> Case:
    layer = Layer(sum(size) + sum(channels), batch)
    w = layer.const((channels[1], *kernel, channels[0]), np.int8)
    x = TensorType((batch, *size, channels[0]), DType.I8, "NHWC")
    options: dict[str, Any] = {"stride": stride, "pad": pad, "dilation": dilation, "pad_value": -5}
    return layer.finished(contraction.IntConv2D, x, w, "OHWI", channels[1], **options)


def depthwise(
    size: tuple[int, int],
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pad: Pads = NO_PAD,
    dilation: tuple[int, int] = (1, 1),
    batch: int = 1,
    multiplier: int = 1,
    layout: str = "HWO",
    trained: bool = False,
) -> Case:
    layer = Layer(sum(size) + channels, batch)
    sizes = {"H": kernel[0], "W": kernel[1], "O": channels * multiplier}
    w = layer.const(tuple(sizes[a] for a in layout), np.int8)
    x = TensorType((batch, *size, channels), DType.I8, "NHWC")
    options: dict[str, Any] = {"stride": stride, "pad": pad, "dilation": dilation, "pad_value": 7}
    return layer.finished(
        contraction.IntDepthwiseConv2D, x, w, layout, channels * multiplier, trained=trained, **options
    )


def dense(rows: int, inputs: int, outputs: int, dtype: type = np.int8) -> Case:
    layer = Layer(rows + inputs + outputs)
    w = layer.const((outputs, inputs), dtype)
    return layer.finished(contraction.IntDense, TensorType((rows, inputs), DType.I8), w, "", outputs)


CHANNELS = (1, 2, 3, 4, 5, 8)


# -- products of rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 8, 12, 20])
def test_dense(inputs: int) -> None:
    for rows, outputs in product((1, 3), CHANNELS):
        steps = steps_of(dense(rows, inputs, outputs))
        assert ("tensorize" in steps) == (inputs > 1)


@pytest.mark.parametrize("outputs", [6, 7, 9, 10, 11])
def test_dense_rows_that_are_left(outputs: int) -> None:
    for inputs, level in product((6, 8), LEVELS):
        steps = steps_of(dense(1, inputs, outputs), level)
        assert {"tensorize", "peel"} <= steps


def test_dense_widens_its_input_where_it_is_read_again() -> None:
    for outputs, scratch in ((1, []), (4, []), (5, [48])):
        assert [p.bytes for p in schedule(dense(1, 24, outputs).kernel, "speed").by_role("scratch")] == scratch


def test_dense_with_weights_of_int16() -> None:
    assert "tensorize" not in steps_of(dense(2, 8, 3, np.int16))


@pytest.mark.parametrize("inputs", CHANNELS)
def test_pointwise(inputs: int) -> None:
    for size, outputs, batch in product(((1, 1), (1, 4), (3, 1), (2, 3), (3, 3)), (1, 2, 3, 5), (1, 2)):
        steps = steps_of(conv(size, (inputs, outputs), (1, 1), batch=batch))
        assert "tensorize" in steps or inputs % 4 or outputs == 1


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 1)])
def test_pointwise_with_strides(stride: tuple[int, int]) -> None:
    for channels in ((4, 2), (8, 3), (3, 2)):
        steps_of(conv((5, 4), channels, (1, 1), stride))


def test_pointwise_with_margins() -> None:
    for channels in ((4, 2), (8, 3), (3, 2)):
        steps_of(conv((2, 3), channels, (1, 1), pad=((1, 0), (0, 2))))


def part_of_pointwise(size: tuple[int, int], channels: tuple[int, int, int], outputs: int, constant: bool) -> Case:
    """`channels`: of x, the first that the weights meet, and how many."""
    layer, (every, first, count) = Layer(sum(size) + sum(channels)), channels
    x = layer.b.arg(TensorType((1, *size, every), DType.I8, "NHWC"), "x")
    array = layer.const((outputs, 1, 1, count), np.int8)
    given = TensorType(array.shape, DType.I8, "OHWI")
    w = layer.b.const(array, layout="OHWI") if constant else layer.b.arg(given, "w")
    acc = layer.b.add(contraction.IntConv2D(x, w, first_channel=first if count < every else -1))
    (case,) = cases_of(layer.b.ret(acc))
    return case


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("channels", [(8, 0, 8), (8, 0, 4), (8, 4, 4), (16, 4, 8), (12, 4, 8)])
def test_pointwise_over_a_part_of_the_channels(channels: tuple[int, int, int], constant: bool) -> None:
    """Weights that are trained, in RAM, and those beside them that are not, in flash."""
    for size, outputs, level in product(((1, 1), (1, 4), (3, 3), (4, 4)), (2, 5, 6), LEVELS):
        steps = steps_of(part_of_pointwise(size, channels, outputs, constant), level)
        assert "tensorize" in steps and ("pack" in steps) == constant


@pytest.mark.parametrize("channels", [(9, 0, 8), (12, 2, 8), (12, 4, 6)])
def test_a_part_of_the_channels_that_is_not_whole_words_is_no_pointwise_of_words(
    channels: tuple[int, int, int],
) -> None:
    assert "interleave" not in steps_of(part_of_pointwise((3, 3), channels, 4, False))


# -- windows ----------------------------------------------------------------------------------------------------------

WINDOWS = ((3, 3), (1, 3), (3, 1), (2, 2), (5, 1), (1, 4), (4, 5))


@pytest.mark.parametrize("kernel", WINDOWS)
def test_convolutions(kernel: tuple[int, int]) -> None:
    for inputs, outputs in ((1, 1), (1, 4), (2, 3), (3, 2), (4, 2), (5, 1), (8, 3), (4, 5)):
        same: Pads = (((kernel[0] - 1) // 2, kernel[0] // 2), ((kernel[1] - 1) // 2, kernel[1] // 2))
        for pad, stride in ((NO_PAD, (1, 1)), (same, (1, 1)), (same, (2, 2)), (((0, 1), (1, 0)), (2, 1))):
            steps_of(conv((5, 6), (inputs, outputs), kernel, stride, pad))


@pytest.mark.parametrize("inputs", [1, 3, 4, 8])
def test_convolutions_with_dilation(inputs: int) -> None:
    for dilation, pad in product(((2, 2), (1, 3), (2, 1)), (NO_PAD, ((2, 1), (1, 2)), ((0, 3), (3, 0)))):
        steps_of(conv((6, 7), (inputs, 2), (2, 2), pad=pad, dilation=dilation))


@pytest.mark.parametrize("inputs", [1, 3, 4])
def test_convolutions_of_small_maps(inputs: int) -> None:
    for size, kernel, pad in (
        ((1, 1), (3, 3), ((1, 1), (1, 1))),
        ((2, 1), (3, 3), ((1, 1), (1, 1))),
        ((1, 5), (3, 3), ((1, 1), (1, 1))),
        ((3, 3), (3, 3), NO_PAD),
        ((4, 1), (4, 1), NO_PAD),
        ((2, 2), (4, 4), ((1, 1), (2, 0))),
        ((2, 2), (2, 2), ((0, 3), (4, 0))),
    ):
        for batch, outputs in product((1, 2), (1, 2, 3)):
            steps_of(conv(size, (inputs, outputs), kernel, pad=pad, batch=batch))


def test_the_first_layer_of_a_keyword_spotter() -> None:
    """10 x 4 windows, strides of 2, one channel."""
    assert "tensorize" in steps_of(conv((12, 6), (1, 4), (10, 4), (2, 2), ((4, 5), (1, 1))))


def test_words_are_used_where_channels_are() -> None:
    steps = steps_of(conv((5, 5), (4, 4), (3, 3), pad=((1, 1), (1, 1))))
    assert {"stage", "interleave", "tensorize", "unswitch", "lift"} <= steps
    steps = steps_of(conv((5, 5), (3, 4), (3, 3), pad=((1, 1), (1, 1))))
    assert {"stage", "pad_sum", "pack", "tensorize", "lift"} <= steps


def test_rows_of_windows_are_one_run_where_they_begin_at_words() -> None:
    for channels, stride, dilation, runs in (
        (3, 2, 1, True), (3, 1, 1, False), (2, 1, 1, True), (5, 4, 1, True), (3, 2, 2, False), (1, 2, 1, False),
    ):  # fmt: skip
        case = conv((9, 9), (channels, 4), (3, 3), (stride, stride), ((1, 1), (1, 1)), (dilation, dilation))
        assert ("fuse(kw, ic, k)" in schedule(case.kernel).schedule) == runs
        steps_of(case)


def test_pixels_side_by_side_share_no_words_of_the_image() -> None:
    """Three rows of six words for each of three pixels: no register could keep them. A pixel that is left goes row by
    row."""
    for width, words in ((11, 54), (12, 54 + 6)):
        text = schedule(conv((4, width), (3, 2), (3, 3)).kernel).text()
        assert text.partition("for wo in")[2].count(" as i16x2") == words


# -- depthwise --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", WINDOWS)
def test_depthwise(kernel: tuple[int, int]) -> None:
    same: Pads = (((kernel[0] - 1) // 2, kernel[0] // 2), ((kernel[1] - 1) // 2, kernel[1] // 2))
    for channels, layout in product(CHANNELS, ("HWO", "OHW")):
        for pad, stride in ((NO_PAD, (1, 1)), (same, (1, 1)), (same, (2, 2)), (((0, 1), (1, 0)), (2, 1))):
            steps = steps_of(depthwise((5, 6), channels, kernel, stride, pad, layout=layout))
            assert "pair_products" in steps or channels == 1


@pytest.mark.parametrize("multiplier", [2, 3])
def test_depthwise_with_a_multiplier(multiplier: int) -> None:
    for channels, pad, layout in product((1, 2, 3), (NO_PAD, ((1, 1), (1, 1))), ("HWO", "OHW")):
        steps_of(depthwise((4, 3), channels, (3, 3), pad=pad, multiplier=multiplier, layout=layout))


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (5, 5), (3, 2)])
def test_depthwise_with_weights_that_are_trained(kernel: tuple[int, int]) -> None:
    """They are copied, channel by channel, as the pairs that constants are laid out in."""
    for channels, stride, multiplier in product((2, 3, 8), ((1, 1), (2, 2)), (1, 2)):
        pads: Pads = (((kernel[0] - 1) // 2,) * 2, (1, 1))
        case = depthwise((6, 7), channels, kernel, stride, pads, multiplier=multiplier, trained=True)
        assert {"stage", "pair_products"} <= steps_of(case)


def test_one_channel_with_a_multiplier_is_a_convolution() -> None:
    for layout in ("HWO", "OHW"):
        case = depthwise((9, 8), 1, (5, 4), (2, 2), ((2, 2), (1, 1)), multiplier=4, layout=layout)
        assert {"tensorize", "pack"} <= steps_of(case)


def test_depthwise_windows_along_columns_use_pairs() -> None:
    """Planes lie on their side, of whole images alone: where they do not fit, products are of halves."""
    trials: tuple[tuple[tuple[int, int], Level, bool], ...] = (
        ((12, 1), "speed", True),
        ((12, 8), "size", True),
        ((40, 30), "size", False),
    )
    for size, level, pairs in trials:
        for channels in (3, 8):
            case = depthwise(size, channels, (5, 1), pad=((2, 2), (0, 0)))
            assert ("smlad" in schedule(case.kernel, level).text()) == pairs
            steps_of(case, level)


def test_depthwise_with_dilation() -> None:
    for dilation, pad in product(((2, 2), (1, 3), (2, 1)), (NO_PAD, ((2, 1), (1, 2)), ((0, 3), (3, 0)))):
        steps_of(depthwise((6, 7), 3, (2, 2), pad=pad, dilation=dilation))


def test_depthwise_on_small_maps() -> None:
    margin: Pads = ((1, 1), (1, 1))
    for size, batch, channels in product(((1, 1), (1, 4), (3, 1), (2, 2)), (1, 2), (1, 3)):
        steps_of(depthwise(size, channels, (3, 3), pad=margin, batch=batch))


def test_large_depthwise_windows_stay_loops() -> None:
    scheduled = schedule(depthwise((7, 7), 2, (6, 5), pad=((2, 3), (2, 2))).kernel)
    assert "unroll(kw)" in scheduled.schedule and "unroll(kh)" not in scheduled.schedule
    steps_of(depthwise((7, 7), 2, (6, 5), pad=((2, 3), (2, 2))))


# -- levels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_computes_the_same(level: Level) -> None:
    same: Pads = ((1, 1), (1, 1))
    for case in (
        dense(1, 24, 6),
        dense(2, 7, 4),
        conv((5, 5), (8, 4), (1, 1)),
        conv((7, 1), (12, 3), (1, 1)),
        conv((5, 7), (4, 6), (3, 3), pad=same),
        conv((6, 8), (3, 4), (3, 3), (2, 2), ((0, 1), (0, 1))),
        depthwise((9, 11), 4, (3, 3), pad=same, layout="OHW"),
        depthwise((8, 9), 8, (7, 7), (2, 2), ((3, 2), (3, 3)), layout="OHW"),
    ):
        steps_of(case, level)


@pytest.mark.parametrize("widen_rows", [False, True])
def test_wide_weights(widen_rows: bool) -> None:
    """Twice the bytes, nothing to unpack but the image, the same sums; a single channel keeps its int8."""
    same: Pads = ((1, 1), (1, 1))
    policy = replace(POLICIES["speed"], wide_weights=True, widen_rows=widen_rows)
    for case in (
        dense(1, 24, 6),
        dense(2, 7, 4),
        conv((5, 5), (8, 4), (1, 1)),
        conv((1, 1), (8, 4), (1, 1)),
        conv((5, 7), (4, 6), (3, 3), pad=same),
        conv((6, 8), (3, 4), (3, 3), (2, 2), ((0, 1), (0, 1))),
    ):
        wide, plain = schedule_within(case.kernel, policy), schedule_within(case.kernel, POLICIES["speed"])
        assert check_kernel(wide) == ""
        same_results(case.kernel, wide, case.arrays)
        assert wide.param("weights").bytes == 2 * plain.param("weights").bytes
    single = conv((5, 5), (8, 3), (1, 1)).kernel
    assert schedule_within(single, policy) == schedule(single, "speed")


def test_bands_of_rows() -> None:
    """Planes that do not fit the scratch are gathered by bands, margins above and below with them."""
    case = depthwise((40, 60), 4, (3, 3), pad=((1, 1), (1, 1)), layout="OHW")
    scheduled = schedule(case.kernel, "size")
    assert any(step.startswith("split(h, ") for step in scheduled.schedule)
    scratch = sum(p.bytes for p in scheduled.by_role("scratch"))
    assert scratch <= POLICIES["size"].plane_bytes
    steps_of(case, "size")


def test_depthwise_weights_stay_int8_but_for_speed() -> None:
    kernel = depthwise((9, 11), 4, (3, 3), pad=((1, 1), (1, 1))).kernel
    sizes = {level: schedule(kernel, level).param("weights").bytes for level in LEVELS}
    assert sizes["size"] == sizes["balanced"] == sizes["speed"] // 2
    large = depthwise((9, 11), 4, (5, 5), pad=((2, 2), (2, 2))).kernel  # two loads for a word do not cost what it saves
    assert {schedule(large, level).param("weights").bytes for level in LEVELS} == {160}


def test_levels_differ_in_scratch() -> None:
    kernel = dense(1, 64, 8).kernel
    assert not schedule(kernel, "balanced").by_role("scratch")
    assert [p.bytes for p in schedule(kernel, "speed").by_role("scratch")] == [128]


# -- all kinds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_random_ops(kind: str) -> None:
    """Mixed layouts, residual additions, float ops: what no recipe fits stays as it is."""
    for seed in range(100, 112):
        for case in cases(kind, seed):
            steps_of(case)


def test_elementwise_kernels_become_one_loop() -> None:
    b = FuncBuilder()
    x, z = (b.arg(TensorType((2, 3, 2, 4), DType.F32, "NHWC"), name) for name in ("x", "z"))
    (case,) = cases_of(b.ret(b.add(Add(x, z))))
    steps_of(case)
    assert schedule(case.kernel).text().count("for ") == 1


def test_a_kernel_of_an_unknown_kind_stays() -> None:
    (case,) = cases("float_softmax", 1)
    assert case.kernel.kind not in RECIPES
    steps_of(case)


def test_block_sizes() -> None:
    assert [block_size(n, 4, 3, 2) for n in (1, 2, 3, 4, 5, 6, 9, 12)] == [1, 2, 3, 4, 1, 3, 3, 4]


def test_recipes_use_primitives_alone() -> None:
    scheduled = schedule(conv((5, 5), (4, 4), (3, 3), pad=((1, 1), (1, 1))).kernel)
    assert {step.partition("(")[0] for step in scheduled.schedule} <= PRIMITIVES.keys()


# -- pools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["average_pool", "max_pool"])
def test_small_windows_of_pools_are_written_out(kind: str) -> None:
    found = [steps_of(case) for seed in range(8) for case in cases(kind, seed)]
    assert any("unroll" in steps for steps in found)


def test_large_windows_of_pools_stay_loops() -> None:
    """A row of 25 x 5 taps is written out for speed, nothing of it for size."""
    b = FuncBuilder()
    x = b.arg(TensorType((1, 25, 5, 8), DType.I8, "NHWC"), "x")
    (case,) = cases_of(b.ret(b.add(IntAveragePool2D(x, kernel=(25, 5)))))
    assert schedule(case.kernel, "speed").schedule[0] == "unroll(kw)"
    assert "unroll(kh)" not in schedule(case.kernel, "speed").schedule
    assert not any(step.startswith("unroll") for step in schedule(case.kernel, "size").schedule)
    steps_of(case)
