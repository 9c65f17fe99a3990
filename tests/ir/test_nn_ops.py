"""What the `nn` ops require: each condition has a text that breaks it."""

from __future__ import annotations

import pytest

from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse

IMAGE = "tensor<1x4x4x2x{}, NHWC>"
F, Q = "f32", "!q8<0.1, 3>"


def program(args: str, op: str) -> str:
    return f"func @main({args}) {{\n  %y = {op}\n  func.return(%y)\n}}"


CONV = "%x: tensor<1x4x4x2x{x}, NHWC>, %w: tensor<3x1x1x2x{w}, OHWI>, %b: tensor<3x{b}, C>"
CONV_OP = "nn.conv2d(%x, %w, %b) : tensor<1x4x4x3x{y}, NHWC>"


def conv(x: str = Q, w: str = "!q8<0.1, 0>", b: str = "i32", y: str = Q) -> tuple[str, str]:
    return CONV.format(x=x, w=w, b=b), CONV_OP.format(y=y)


def depthwise(w: str) -> tuple[str, str]:
    args = f"%x: tensor<1x4x4x2x{Q}, NHWC>, %w: tensor<1x1x2x{w}, HWO>"
    return args, f"nn.depthwise_conv2d(%x, %w) : tensor<1x4x4x2x{Q}, NHWC>"


def dense(x: str = Q, w: str = "!q8<0.1, 0>", b: str = "i32", y: str = Q) -> tuple[str, str]:
    args = f"%x: tensor<1x2x{x}>, %w: tensor<3x2x{w}>, %b: tensor<3x{b}>"
    return args, f"nn.dense(%x, %w, %b) : tensor<1x3x{y}>"


def binary(op: str, a: str = Q, b: str = Q, y: str = Q) -> tuple[str, str]:
    return f"%a: tensor<4x{a}>, %b: tensor<4x{b}>", f"nn.{op}(%a, %b) : tensor<4x{y}>"


def unary(op: str, x: str = Q, y: str = Q, attrs: str = "") -> tuple[str, str]:
    return f"%x: tensor<4x{x}>", f"nn.{op}(%x) {{{attrs}}} : tensor<4x{y}>"


def pool(op: str, y: str = Q, attrs: str = "kernel = [2, 2], stride = [2, 2]") -> tuple[str, str]:
    return f"%x: tensor<1x4x4x2x{Q}, NHWC>", f"nn.{op}(%x) {{{attrs}}} : tensor<1x2x2x2x{y}, NHWC>"


TINY, HUGE = "!q8<1e-20, 3>", "!q8<1e20, 3>"
TWO_SCALES = "!q8<axis 3, [0.1, 0.2], 0>"

CASES = {
    "conv mixes": (conv(x=F, w=F, b=F), "mixes f32 with other element types"),
    "conv int16": (conv(x="!q16<0.1, 0>"), "works on f32 or on int8"),
    "conv scales of x": (conv(x=TWO_SCALES), "has several scales on its input or its result"),
    "conv bias": (conv(b="f32"), "needs an i32 bias, not f32"),
    "conv zero point": (conv(w="!q8<0.1, 1>"), "needs weights with the zero point 0"),
    "conv axis": (conv(w=TWO_SCALES), "needs one weight scale, or one per output channel"),
    "conv factor": (conv(y=TINY), "has scales too far apart"),
    "conv channels": (
        ("%x: tensor<1x4x4x2xf32, NHWC>, %w: tensor<3x1x1x5xf32, OHWI>", CONV_OP.replace(", %b", "").format(y=F)),
        "has weights for 5 input channels, x has 2",
    ),
    "conv layout": (
        ("%x: tensor<1x4x4x2xf32>, %w: tensor<3x1x1x2xf32, OHWI>", CONV_OP.replace(", %b", "").format(y=F)),
        "needs a layout with the axes N, H, W, C for x",
    ),
    "depthwise zero point": (depthwise("!q8<0.1, 1>"), "needs weights with the zero point 0"),
    "depthwise axis": (depthwise("!q8<axis 0, [0.1], 0>"), "needs one weight scale, or one per output channel"),
    "depthwise factor": (depthwise("!q8<1e20, 0>"), "has scales too far apart"),
    "depthwise filters": (
        (
            "%x: tensor<1x4x4x2xf32, NHWC>, %w: tensor<1x1x3xf32, HWO>",
            "nn.depthwise_conv2d(%x, %w) : " + IMAGE.format(F),
        ),
        "has 3 filters, no multiple of the 2 input channels",
    ),
    "dense mixes": (dense(x=F, w=F, b="i32", y=F), "mixes f32 with other element types"),
    "dense zero points": (
        dense(w="!q8<axis 0, [0.1, 0.1, 0.1], 1>"),
        "needs per-channel weights with the zero point 0",
    ),
    "dense axis": (dense(w="!q8<axis 1, [0.1, 0.1], 0>"), "needs one weight scale, or one per row"),
    "dense factor": (dense(y=TINY), "has scales too far apart"),
    "dense rows": (
        ("%x: tensor<1x2xf32>, %w: tensor<3x4xf32>", "nn.dense(%x, %w) : tensor<1x3xf32>"),
        "has rows of 2 elements against weights of 4",
    ),
    "add mixes": (binary("add", b=F), "works on f32 or on int8 tensors with one scale, not tensor<4xf32>"),
    "add int16": (binary("add", b="!q16<0.1, 0>"), "works on f32 or on int8 tensors with one scale"),
    "add plain": (binary("add", a="i8", b="i8", y="i8"), "works on f32 or on int8 tensors with one scale"),
    "add factor": (binary("add", y=TINY), "has scales too far apart: a factor between them is 2^"),
    "add shapes": (("%a: tensor<4xf32>, %b: tensor<3xf32>", "nn.add(%a, %b) : tensor<4xf32>"), "do not go together"),
    "sub factor": (binary("sub", y=TINY), "has scales too far apart"),
    "sub mixes": (binary("sub", a=F, y=F), "works on f32 or on int8"),
    "mul factor": (binary("mul", y=TINY), "has scales too far apart"),
    "mul mixes": (binary("mul", a=F), "works on f32 or on int8"),
    "clamp limits": (unary("clamp", attrs="lo = 1.0, hi = 0.0"), "has no values between 1.0 and 0.0"),
    "clamp plain": (unary("clamp", "i8", "i8"), "works on f32 or on int8"),
    "clamp rescales": (unary("clamp", y="!q8<0.2, 3>"), "its operands and attributes give"),
    "relu limits": (unary("relu", attrs="lo = 1.0, hi = 0.0"), "has no values between 1.0 and 0.0"),
    "relu factor": (unary("relu", y=TINY), "has scales too far apart"),
    "relu mixes": (unary("relu", y=F), "works on f32 or on int8"),
    "leaky slope": (unary("leaky_relu", attrs="alpha = nan"), "has the slope nan"),
    "leaky factor": (unary("leaky_relu", y=TINY, attrs="alpha = 0.5"), "has scales too far apart"),
    "leaky factor below 0": (unary("leaky_relu", attrs="alpha = 1e20"), "has scales too far apart"),
    "hard swish result": (unary("hard_swish", y="!q8<0.0001, 0>"), "has scales too far apart"),
    "hard swish gate": (unary("hard_swish", HUGE, HUGE), "has scales too far apart"),
    "logistic scale": (unary("logistic", TINY, "!q8<0.00390625, -128>"), "whose scale is out of range"),
    "logistic result": (unary("logistic"), "needs a result with the zero point -128, not 3"),
    "tanh scale": (unary("tanh", HUGE, "!q8<0.0078125, 0>"), "whose scale is out of range"),
    "quantize result": (unary("quantize", F, F), "mixes quantised and plain operands"),
    "quantize int16": (unary("quantize", F, "!q16<0.1, 0>"), "works on int8 with one scale"),
    "quantize from int16": (unary("quantize", "!q16<0.1, 0>"), "works on int8 with one scale"),
    "quantize factor": (unary("quantize", y=TINY), "has scales too far apart"),
    "dequantize plain": (unary("dequantize", F, F), "mixes quantised and plain operands"),
    "dequantize int16": (unary("dequantize", "!q16<0.1, 0>", F), "works on int8 with one scale"),
    "pool scale": (pool("average_pool2d", y="!q8<0.2, 3>"), "cannot change the scale"),
    "pool zero point": (pool("max_pool2d", y="!q8<0.1, 4>"), "cannot change the scale"),
    "pool window": (pool("max_pool2d", attrs="kernel = [9, 9]"), "has a window of 9 x 9, larger than the padded image"),
    "pool stride": (pool("max_pool2d", attrs="kernel = [2, 2], stride = [0, 2]"), "needs positive strides"),
    "pool margins": (
        pool("average_pool2d", attrs="kernel = [2, 2], stride = [2, 2], pad = [[2, 0], [0, 0]]"),
        "has windows that lie in the margins alone",
    ),
    "pool plain": (
        ("%x: tensor<1x4x4x2xi8, NHWC>", "nn.max_pool2d(%x) {kernel = [4, 4]} : tensor<1x1x1x2xi8, NHWC>"),
        "works on f32 or on int8",
    ),
    "mean axes": ((f"%x: tensor<4x{Q}>", f"nn.mean(%x) {{axes = [1]}} : tensor<4x{Q}>"), "cannot reduce the axes [1]"),
    "mean twice": (("%x: tensor<4xf32>", "nn.mean(%x) {axes = [0, 0]} : tensor<f32>"), "cannot reduce the axes [0, 0]"),
    "mean of many": (
        (f"%x: tensor<9000000x{Q}>", f"nn.mean(%x) {{axes = [0]}} : tensor<{Q}>"),
        "adds 9000000 elements, more than an int32 sum can hold",
    ),
    "mean factor": ((f"%x: tensor<4x{Q}>", f"nn.mean(%x) {{axes = [0]}} : tensor<{TINY}>"), "has scales too far apart"),
    "softmax scalar": (("%x: tensor<f32>", "nn.softmax(%x) : tensor<f32>"), "needs an axis"),
    "softmax factor": (unary("softmax", F, F, "beta = inf"), "has the factor inf"),
    "softmax result": (unary("softmax"), "needs a result of scale 1/256 and zero point -128"),
    "softmax small": (unary("softmax", TINY, "!q8<0.00390625, -128>"), "has a factor too small for fixed point"),
    "softmax negative": (unary("softmax", y="!q8<0.00390625, -128>", attrs="beta = -1.0"), "has a factor too small"),
    "softmax classes": (
        (f"%x: tensor<1x5000x{Q}>", "nn.softmax(%x) : tensor<1x5000x!q8<0.00390625, -128>>"),
        "adds 5000 exponentials, more than 4095",
    ),
    "scale 0": (unary("relu", y="!q8<0.0, 0>"), "has a scale that is not a finite number above 0"),
    "scale nan": (unary("relu", x="!q8<nan, 0>"), "has a scale that is not a finite number above 0"),
    "zero point": (unary("relu", y="!q8<0.1, 128>"), "has a zero point outside of i8"),
}


@pytest.mark.parametrize("case", CASES)
def test_requirement(case: str) -> None:
    (args, op), message = CASES[case]
    with pytest.raises(IRError) as caught:
        parse(program(args, op))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("args", "op"),
    [
        conv(),
        conv(F, F, F, F),
        conv(w="!q8<axis 0, [0.1, 0.2, 0.3], 0>"),
        depthwise("!q8<axis 2, [0.1, 0.2], 0>"),
        dense(w="!q8<0.1, 5>"),
        binary("add", b="!q8<8.0, -128>"),
        unary("leaky_relu", F, F, "alpha = -3.0"),
        pool("average_pool2d", attrs="kernel = [2, 2], stride = [2, 2], pad = [[1, 0], [0, 1]]"),
    ],
    ids=lambda v: v if " = " not in v else "",
)
def test_what_holds(args: str, op: str) -> None:
    parse(program(args, op))
