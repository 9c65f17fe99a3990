"""One rule for each TFLite operator: a small function that builds the ops it becomes.

A rule raises UnsupportedError for what it cannot convert; the ops find types and shapes that do not go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tinyir.frontends.tflite_reader import corrupt
from tinyir.frontends.tflite_types import Conversion, UnsupportedError, image_layout
from tinyir.ir.core import Op
from tinyir.ir.ops import nn_activation, nn_contraction, nn_elementwise, nn_quantize, nn_window, tensor
from tinyir.ir.shapes import same_pad
from tinyir.ir.types import QType, TensorType

NEWEST = 5


@dataclass(frozen=True)
class Rule:
    """How to convert an operator of the versions 1 to `newest`."""

    convert: Callable[[Conversion], None]
    newest: int


RULES: dict[str, Rule] = {}
"""The rules by the names of the operators."""


def rule(*kinds: str, newest: int = NEWEST) -> Callable[[Callable[[Conversion], None]], Callable[[Conversion], None]]:
    """Decorator that registers a function as the rule of `kinds`."""

    def register(convert: Callable[[Conversion], None]) -> Callable[[Conversion], None]:
        RULES.update({kind: Rule(convert, newest) for kind in kinds})
        return convert

    return register


# -- convolutions and dense layers ------------------------------------------------------------------------------------

SAME, VALID = 0, 1

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def _window(x: TensorType, options: Any, kernel: Pair, dilation: Pair = (1, 1)) -> dict[str, Any]:
    """The attributes `stride` and `pad` of an op that slides a window over `x`."""
    stride = (options.StrideH(), options.StrideW())
    if len(x.shape) != 4:
        raise UnsupportedError(f"it works on {len(x.shape)} axes instead of 4")
    if min(*stride, *dilation, *kernel) < 1:
        raise corrupt(f"strides {list(stride)}, dilations {list(dilation)}, window {list(kernel)}")
    if options.Padding() not in (SAME, VALID):
        raise corrupt(f"the padding {options.Padding()}")
    pad: Pads = ((0, 0), (0, 0))
    if options.Padding() == SAME:
        pad = (
            same_pad(x.size("H"), kernel[0], stride[0], dilation[0]),
            same_pad(x.size("W"), kernel[1], stride[1], dilation[1]),
        )
    return {"stride": stride, "pad": pad}


@rule("CONV_2D")
def _conv2d(c: Conversion) -> None:
    x, options = c.operand(0), c.op.options("Conv2DOptions")
    array, elem = c.weights(1, "conv2d", axis=0)
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    window = _window(x.type, options, array.shape[1:3], dilation)
    if x.type.size("C") != array.shape[3] and x.type.size("C") % array.shape[3] == 0:
        raise UnsupportedError(f"it has {x.type.size('C') // array.shape[3]} groups of channels")
    name = f"conv2d_{c.op.index}"
    w = c.b.const(array, f"{name}_w", elem, "OHWI")
    bias = c.bias(2, f"{name}_b", "C")
    fused = options.FusedActivationFunction()
    c.result("conv2d", nn_contraction.Conv2D, x, w, bias, fused=fused, dilation=dilation, **window)


@rule("DEPTHWISE_CONV_2D")
def _depthwise_conv2d(c: Conversion) -> None:
    x, options = c.operand(0), c.op.options("DepthwiseConv2DOptions")
    array, elem = c.weights(1, "depthwise_conv2d", axis=3)
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    window = _window(x.type, options, array.shape[1:3], dilation)
    if array.shape[0] != 1 or array.shape[3] != x.type.size("C") * options.DepthMultiplier():
        raise corrupt(f"{options.DepthMultiplier()} filters a channel, weights {list(array.shape)} for {x.type}")
    if isinstance(elem, QType) and elem.per_axis:
        elem = replace(elem, axis=2)
    name = f"depthwise_conv2d_{c.op.index}"
    w = c.b.const(array.reshape(array.shape[1:]), f"{name}_w", elem, "HWO")
    bias = c.bias(2, f"{name}_b", "C")
    fused = options.FusedActivationFunction()
    c.result("depthwise_conv2d", nn_contraction.DepthwiseConv2D, x, w, bias, fused=fused, dilation=dilation, **window)


@rule("FULLY_CONNECTED", newest=12)
def _fully_connected(c: Conversion) -> None:
    """The operand is read as rows as long as those of the weights, whatever its shape, and the result likewise."""
    options = c.op.options("FullyConnectedOptions")
    if options.WeightsFormat() != 0:
        raise UnsupportedError("its weights are shuffled")
    array, elem = c.weights(1, "dense", axis=0)
    x, type = c.operand(0), c.result_type()
    rows, rest = divmod(x.type.elements, array.shape[1])
    if rest:
        raise corrupt(f"rows of {array.shape[1]} elements of {x.type}")
    name = f"dense_{c.op.index}"
    operands = [c.reshaped(x, (rows, array.shape[1])), c.b.const(array, f"{name}_w", elem)]
    bias = c.bias(2, f"{name}_b")
    if bias is not None:
        operands.append(bias)
    flat = TensorType((rows, array.shape[0]), type.elem)
    y = c.activated("dense", options.FusedActivationFunction(), nn_contraction.Dense, operands, flat, {})
    c.define(c.reshaped(y, type.shape))


# -- arithmetic -------------------------------------------------------------------------------------------------------


def _binary(c: Conversion, kind: str, op_class: type[Op], options: str) -> None:
    """Operands with fewer axes get leading ones, so that every operand of an image has the layout of images."""
    a, b = c.operand(0), c.operand(1)
    rank = max(len(a.type.shape), len(b.type.shape))
    a, b = (c.reshaped(v, (1,) * (rank - len(v.type.shape)) + v.type.shape) for v in (a, b))
    c.result(kind, op_class, a, b, fused=c.op.options(options).FusedActivationFunction())


@rule("ADD")
def _add(c: Conversion) -> None:
    _binary(c, "add", nn_elementwise.Add, "AddOptions")


@rule("SUB")
def _sub(c: Conversion) -> None:
    _binary(c, "sub", nn_elementwise.Sub, "SubOptions")


@rule("MUL")
def _mul(c: Conversion) -> None:
    _binary(c, "mul", nn_elementwise.Mul, "MulOptions")


# -- activations ------------------------------------------------------------------------------------------------------


def _clamped(c: Conversion, kind: str, lo: float, hi: float) -> None:
    x = c.operand(0)
    op_class = nn_elementwise.Clamp if c.result_type().elem == x.type.elem else nn_activation.Relu
    c.result(kind, op_class, x, lo=lo, hi=hi)


@rule("RELU")
def _relu(c: Conversion) -> None:
    _clamped(c, "relu", 0.0, math.inf)


@rule("RELU6")
def _relu6(c: Conversion) -> None:
    _clamped(c, "relu6", 0.0, 6.0)


@rule("RELU_N1_TO_1")
def _relu_n1_to_1(c: Conversion) -> None:
    _clamped(c, "relu_n1_to_1", -1.0, 1.0)


@rule("LEAKY_RELU")
def _leaky_relu(c: Conversion) -> None:
    alpha = c.op.options("LeakyReluOptions").Alpha()
    c.result("leaky_relu", nn_activation.LeakyRelu, c.operand(0), alpha=alpha)


@rule("HARD_SWISH")
def _hard_swish(c: Conversion) -> None:
    c.result("hard_swish", nn_activation.HardSwish, c.operand(0))


@rule("LOGISTIC")
def _logistic(c: Conversion) -> None:
    c.result("logistic", nn_activation.Logistic, c.operand(0))


@rule("TANH")
def _tanh(c: Conversion) -> None:
    c.result("tanh", nn_activation.Tanh, c.operand(0))


@rule("SOFTMAX")
def _softmax(c: Conversion) -> None:
    c.result("softmax", nn_window.Softmax, c.operand(0), beta=c.op.options("SoftmaxOptions").Beta())


@rule("QUANTIZE")
def _quantize(c: Conversion) -> None:
    c.result("quantize", nn_quantize.Quantize, c.operand(0))


@rule("DEQUANTIZE")
def _dequantize(c: Conversion) -> None:
    c.result("dequantize", nn_quantize.Dequantize, c.operand(0))


# -- pooling and means ------------------------------------------------------------------------------------------------


def _pool(c: Conversion, kind: str, op_class: type[Op]) -> None:
    x, options = c.operand(0), c.op.options("Pool2DOptions")
    kernel = (options.FilterHeight(), options.FilterWidth())
    window = _window(x.type, options, kernel)
    c.result(kind, op_class, x, fused=options.FusedActivationFunction(), kernel=kernel, **window)


@rule("AVERAGE_POOL_2D")
def _average_pool2d(c: Conversion) -> None:
    _pool(c, "average_pool2d", nn_window.AveragePool2D)


@rule("MAX_POOL_2D")
def _max_pool2d(c: Conversion) -> None:
    _pool(c, "max_pool2d", nn_window.MaxPool2D)


@rule("MEAN")
def _mean(c: Conversion) -> None:
    x = c.operand(0)
    axes = sorted({_axis(a, x.type) for a in c.numbers(1, "the list of axes")})
    c.result("mean", nn_window.Mean, x, axes=tuple(axes), keep_dims=bool(c.op.options("ReducerOptions").KeepDims()))


def _axis(axis: int, type: TensorType) -> int:
    """An axis of `type`, counted from its end where it is negative."""
    rank = len(type.shape)
    if not -rank <= axis < rank:
        raise corrupt(f"the axis {axis} of {type}")
    return axis % rank


# -- movement ---------------------------------------------------------------------------------------------------------


@rule("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def _reshape(c: Conversion) -> None:
    c.moved("reshape", tensor.Reshape, c.operand(0), shape=c.result_type().shape)


@rule("PAD")
def _pad(c: Conversion) -> None:
    x, numbers = c.operand(0), c.numbers(1, "the list of margins")
    if len(numbers) != 2 * len(x.type.shape):
        raise corrupt(f"{len(numbers)} margins for {x.type}")
    quant = c.result_type().quant
    value = float(quant.zero_point) if quant is not None else 0.0
    c.moved("pad", tensor.Pad, x, pads=tuple(zip(numbers[::2], numbers[1::2], strict=True)), value=value)


@rule("TRANSPOSE")
def _transpose(c: Conversion) -> None:
    c.moved("transpose", tensor.Transpose, c.operand(0), perm=tuple(c.numbers(1, "the permutation")))


@rule("CONCATENATION")
def _concatenation(c: Conversion) -> None:
    options = c.op.options("ConcatenationOptions")
    type = c.result_type()
    xs = [c.operand(position) for position in range(len(c.op.inputs))]
    if options.FusedActivationFunction() != 0:
        raise UnsupportedError("it has a fused activation")
    if any(x.type.elem != type.elem for x in xs):
        raise UnsupportedError("its operands do not have the element type of its result")
    c.result("concat", tensor.Concat, *xs, axis=_axis(options.Axis(), type))


@rule("SPLIT")
def _split(c: Conversion) -> None:
    x = c.operand(1)
    shape, parts = x.type.shape, len(c.op.outputs)
    numbers = c.numbers(0, "the axis")
    axis = _axis(numbers[0] if numbers else len(shape), x.type)
    if shape[axis] % parts:
        raise corrupt(f"axis {axis} of {x.type} in {parts} parts")
    size = tuple(n // parts if i == axis else n for i, n in enumerate(shape))
    for position in range(parts):
        begin = tuple(position * n if i == axis else 0 for i, n in enumerate(size))
        c.moved("split", tensor.Slice, x, position, begin=begin, size=size, stride=(1,) * len(shape))


@rule("STRIDED_SLICE")
def _strided_slice(c: Conversion) -> None:
    x, options = c.operand(0), c.op.options("StridedSliceOptions")
    if options.EllipsisMask() or options.NewAxisMask() or options.Offset():
        raise UnsupportedError("it has an ellipsis, a new axis or offsets")
    begin, end, stride = (c.numbers(i + 1, role) for i, role in enumerate(("the begin", "the end", "the stride")))
    if not len(begin) == len(end) == len(stride) == len(x.type.shape) or 0 in stride:
        raise corrupt(f"a slice from {begin} to {end} by {stride} of {x.type}")
    masks = (options.BeginMask(), options.EndMask(), options.ShrinkAxisMask())
    axes = zip(x.type.shape, begin, end, stride, strict=True)
    ranges = [_slice_axis(i, *axis, *(bool(mask >> i & 1) for mask in masks)) for i, axis in enumerate(axes)]
    size = tuple(len(r) for r in ranges)
    type = x.type.with_shape(size, image_layout(len(size)))
    first = tuple(r.start for r in ranges)
    sliced = c.b.add(tensor.Slice(x, begin=first, size=size, stride=tuple(r.step for r in ranges), types=type))
    kept = tuple(n for i, n in enumerate(size) if not masks[2] >> i & 1)
    y = c.reshaped(sliced, kept)
    y.name = c.name("slice")
    c.define(c.relabelled(y, c.result_type()))


def _slice_axis(
    axis: int, n: int, begin: int, end: int, stride: int, to_begin: bool, to_end: bool, shrink: bool
) -> range:
    """The indices of one axis (StartForAxis, StopForAxis in TFLite's internal/strided_slice_logic.h)."""
    least, most = (0, n) if stride > 0 else (-1, n - 1)
    first = begin + n if begin < 0 else begin
    first = min(max(first, least), most)
    if to_begin:
        first = 0 if stride > 0 else n - 1
    if shrink:
        return range(first, first + 1, 1)
    last = end + n if end < 0 else end
    last = min(max(last, least), most)
    if to_end:
        last = n if stride > 0 else -1
    return range(first, last, stride)


@rule("RESIZE_NEAREST_NEIGHBOR")
def _resize_nearest(c: Conversion) -> None:
    x, options = c.operand(0), c.op.options("ResizeNearestNeighborOptions")
    size = c.numbers(1, "the new size")
    if len(x.type.shape) != 4 or len(size) != 2:
        raise corrupt(f"a new size of {size} for {x.type}")
    flags = {"align_corners": bool(options.AlignCorners()), "half_pixel_centers": bool(options.HalfPixelCenters())}
    c.moved("resize", tensor.ResizeNearest, x, size=(size[0], size[1]), **flags)
