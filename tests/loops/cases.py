"""Random small ops of every kind, alone or with the elementwise ops that finish their elements, and their kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.passcheck import random_inputs
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.interp import evaluate
from tinyir.ir.opdef import Trait
from tinyir.ir.ops import int_contraction as contraction
from tinyir.ir.ops import int_elementwise as integer
from tinyir.ir.ops import int_window as window
from tinyir.ir.ops import nn_activation, nn_contraction, nn_elementwise, nn_window, tensor
from tinyir.ir.ops.func import Const
from tinyir.ir.types import DType, TensorType
from tinyir.loops.ir import Kernel
from tinyir.loops.lower import lower
from tinyir.passes.fuse_ops import FuseOps

Array = npt.NDArray[Any]
I8, I32, F32 = DType.I8, DType.I32, DType.F32
IMAGES = ("NHWC", "NCHW")


@dataclass(frozen=True)
class Case:
    """The kernel of one op or group, what to pass to it, and what the graph says that it computes."""

    kernel: Kernel
    arrays: dict[str, Array]
    wanted: list[Array]


class Maker:
    """Decisions and data of one case, from its seed."""

    def __init__(self, seed: int, most: int = 5) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = FuncBuilder()
        self.most = most
        self.extra: list[Value] = []

    # -- decisions --------------------------------------------------------------------------------------------------

    def number(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))

    def flag(self) -> bool:
        return bool(self.rng.integers(2))

    def pick(self, *items: Any) -> Any:
        return items[self.number(0, len(items) - 1)]

    def pair(self, least: int, most: int) -> tuple[int, int]:
        return self.number(least, most), self.number(least, most)

    def shape(self, rank: int) -> tuple[int, ...]:
        return tuple(self.number(1, self.most) for _ in range(rank))

    # -- values -----------------------------------------------------------------------------------------------------

    def arg(self, shape: tuple[int, ...], elem: DType, layout: str = "", name: str = "") -> Value:
        return self.b.arg(TensorType(shape, elem, layout), name)

    def image(self, elem: DType, channels: int = 0, layout: str = "") -> Value:
        """An image, NHWC or NCHW, of one or two samples."""
        n, h, w, c = self.number(1, 2), *self.shape(2), channels or self.pick(1, 2, 3, 4, 4, 5, 8)
        return self.b.arg(TensorType((n, h, w, c), elem, "NHWC").in_layout(layout or self.pick(*IMAGES)), "x")

    def const(self, shape: tuple[int, ...], elem: DType, layout: str = "", most: int = 127) -> Value:
        if elem is F32:
            return self.b.const(self.rng.normal(size=shape).astype(np.float32), layout=layout)
        return self.b.const(self.rng.integers(-most - 1, most + 1, shape, dtype=elem.numpy), layout=layout)

    def weights(self, elem: DType, letters: str, sizes: dict[str, int]) -> Value:
        """A filter with its axes in some order."""
        layout = "".join(self.rng.permutation(list(letters))) if self.flag() else letters
        return self.const(tuple(sizes[a] for a in layout), elem, layout)

    # -- what follows -----------------------------------------------------------------------------------------------

    def multipliers(self, channels: int, letter: str, least: int = -12, most: int = 0) -> tuple[Value, Value]:
        """Multipliers and shifts, one or one for each channel."""
        count = channels if self.flag() else 1
        mantissas = self.rng.integers(1 << 30, 1 << 31, count, dtype=np.int64).astype(np.int32)
        shifts = self.rng.integers(least, most + 1, count).astype(np.int32)
        layout = letter if count == channels else ""
        return self.b.const(mantissas, layout=layout), self.b.const(shifts, layout=layout)

    def requantize(self, acc: Value) -> Value:
        """The accumulator as int8 again, by any of the forms of `lower/requant.py`."""
        channels = acc.type.size("C") if acc.type.layout else acc.type.shape[-1]
        multiplier, shift = self.multipliers(channels, "C" if acc.type.layout else "", *self.pick((-12, -1), (-9, 2)))
        zero_point = self.number(-128, 127)
        lo = self.pick(-128, zero_point, max(zero_point - 20, -128))
        hi = self.pick(127, self.number(lo, 127))
        rounding = self.pick("double", "double", "single")
        op = integer.Requantize(acc, multiplier, shift, zero_point=zero_point, lo=lo, hi=hi, rounding=rounding)
        return self.b.add(op)

    def rescale(self, x: Value) -> Value:
        """One operand of a residual addition."""
        wide = self.b.add(integer.Widen(x, offset=self.number(-127, 128)))
        multiplier, shift = self.number(1 << 30, (1 << 31) - 1), self.number(-4, 0)
        return self.b.add(integer.Rescale(wide, left_shift=20, multiplier=multiplier, shift=shift))

    def tail(self, acc: Value) -> Value:
        """Nothing, a requantisation, or that and elementwise work up to a residual addition."""
        if self.number(0, 4) == 0:
            return acc
        y = self.requantize(acc)
        if self.number(0, 2) == 0:
            skip = y.type.in_layout(self.pick(*IMAGES)) if y.type.layout else y.type
            other = self.b.arg(skip, "skip")
            total = self.b.add(integer.Add(self.rescale(y), self.rescale(other), types=y.type.with_elem(I32)))
            y = self.requantize_sum(total)
        if self.number(0, 3) == 0:
            table = self.rng.integers(-128, 128, 256, dtype=np.int8)
            y = self.b.add(integer.Lookup(y, self.b.const(table)))
        if self.number(0, 3) == 0:
            y = self.b.add(integer.Clamp(y, lo=self.number(-128, 0), hi=self.number(0, 127)))
        return y

    def requantize_sum(self, total: Value) -> Value:
        multiplier, shift = self.b.const(np.array(self.number(1 << 30, (1 << 31) - 1), np.int32)), np.int32(-20)
        zero = self.number(-128, 127)
        return self.b.add(integer.Requantize(total, multiplier, self.b.const(np.array(shift)), zero_point=zero))

    def float_tail(self, x: Value) -> Value:
        return unary_float(self, x) if self.number(0, 2) == 0 else x


# -- anchors ----------------------------------------------------------------------------------------------------------


def conv(m: Maker, elem: DType = I8, op: type[Op] = contraction.IntConv2D) -> Value:
    x = m.image(elem)
    options = window_options(m, x, dilated=True)
    kernel, outputs = options.pop("kernel"), m.number(1, m.most)
    w = m.weights(elem, "OHWI", {"O": outputs, "H": kernel[0], "W": kernel[1], "I": x.type.size("C")})
    return contracted(m, op, x, w, outputs, options)


def word_conv(m: Maker) -> Value:
    """A convolution that reads words: channels last, and a multiple of four."""
    x = m.image(I8, m.pick(4, 8), "NHWC")
    options = window_options(m, x)
    kernel, outputs = options.pop("kernel"), m.number(1, m.most)
    w = m.const((outputs, *kernel, x.type.size("C")), I8, "OHWI")
    return contracted(m, contraction.IntConv2D, x, w, outputs, options)


def part_of_conv(m: Maker) -> Value:
    """A convolution with some of the channels of x, with weights that are constant or not."""
    x = m.image(I8, m.pick(3, 8, 12))
    options = window_options(m, x) if m.flag() else {"kernel": (1, 1)}
    kernel, outputs, channels = options.pop("kernel"), m.number(1, m.most), x.type.size("C")
    count = m.pick(1, 2) if channels == 3 else m.pick(4, 4, 5)
    options["first_channel"] = m.pick(0, channels - count, min(4, channels - count))
    w = part_of_weights(m, (outputs, *kernel, count), "OHWI")
    return contracted(m, contraction.IntConv2D, x, w, outputs, options)


def part_of_dense(m: Maker) -> Value:
    rows, inputs, outputs = m.number(1, 3), m.pick(5, 8, 12), m.number(1, m.most)
    count = m.pick(1, 3, 4)
    first = m.pick(0, inputs - count, min(4, inputs - count))
    x, w = m.arg((rows, inputs), I8, name="x"), part_of_weights(m, (outputs, count), "")
    bias = [m.const((outputs,), I32, most=5000)] if m.flag() else []
    return m.tail(m.b.add(contraction.IntDense(x, w, *bias, first_channel=first)))


def part_of_weights(m: Maker, shape: tuple[int, ...], layout: str) -> Value:
    return m.arg(shape, I8, layout, "w") if m.flag() else m.const(shape, I8, layout)


def depthwise(m: Maker, elem: DType = I8, op: type[Op] = contraction.IntDepthwiseConv2D) -> Value:
    x = m.image(elem)
    options = window_options(m, x, dilated=True)
    kernel = options.pop("kernel")
    outputs = x.type.size("C") * m.pick(1, 1, 2, 3)
    w = m.weights(elem, "HWO", {"O": outputs, "H": kernel[0], "W": kernel[1]})
    return contracted(m, op, x, w, outputs, options)


def contracted(m: Maker, op: type[Op], x: Value, w: Value, outputs: int, options: dict[str, Any]) -> Value:
    bias = [m.const((outputs,), F32 if x.type.elem is F32 else I32, "C", 5000)] if m.flag() else []
    if x.type.elem is I8:
        options["pad_value"] = m.number(-128, 127)
    declared = op(x, w, *bias, **options)
    layout = m.pick(*IMAGES)
    type = declared.type.in_layout(layout)
    declared.drop_operands()
    y = m.b.add(op(x, w, *bias, **options, types=type))
    return m.tail(y) if x.type.elem is I8 else m.float_tail(y)


def window_options(m: Maker, x: Value, dilated: bool = False) -> dict[str, Any]:
    """A window that fits into x and its margins, and is never in the margins alone."""
    sizes = x.type.size("H"), x.type.size("W")
    kernel, stride = m.pair(1, 3), m.pair(1, 3)
    dilation = m.pair(1, 2) if dilated else (1, 1)
    pad = []
    for size, taps, step in zip(sizes, kernel, dilation, strict=True):
        reach = (taps - 1) * step
        before, after = m.number(0, reach), m.number(0, reach)
        pad.append((before, max(after, reach + 1 - size - before)))
    options: dict[str, Any] = {"kernel": kernel, "stride": stride, "pad": tuple(pad)}
    return options | ({"dilation": dilation} if dilated else {})


def dense(m: Maker, elem: DType = I8, op: type[Op] = contraction.IntDense) -> Value:
    rows, inputs, outputs = m.number(1, 3), m.pick(1, 3, 4, 6, 8, 12), m.number(1, m.most)
    x = m.arg((rows, inputs), elem, name="x")
    bias = [m.const((outputs,), F32 if elem is F32 else I32, most=5000)] if m.flag() else []
    y = m.b.add(op(x, m.const((outputs, inputs), elem), *bias))
    return m.tail(y) if elem is I8 else m.float_tail(y)


def pool(m: Maker, op: type[Op], elem: DType = I8) -> Value:
    x = m.image(elem)
    options = window_options(m, x)
    # A window must hold an element of x.
    options["pad"] = tuple(
        (min(before, taps - 1), max(0, min(after, taps - 1)))
        for (before, after), taps in zip(options["pad"], options["kernel"], strict=True)
    )
    sizes = x.type.size("H"), x.type.size("W")
    kernel = tuple(min(k, n + sum(p)) for k, n, p in zip(options["kernel"], sizes, options["pad"], strict=True))
    options["kernel"] = kernel
    options["pad"] = tuple((min(a, k - 1), min(b, k - 1)) for (a, b), k in zip(options["pad"], kernel, strict=True))
    if elem is I8 and m.flag():
        options |= {"lo": m.number(-128, 0), "hi": m.number(0, 127)}
    types = x.type.in_layout(m.pick(*IMAGES))
    probe = op(x, **options, types=types)
    types = probe.inferred_types()[0]
    probe.drop_operands()
    return m.b.add(op(x, **options, types=types))


def summed(m: Maker, op: type[Op] = window.IntSum, elem: DType = I8) -> Value:
    x = m.arg(m.shape(m.number(1, 4)), elem, name="x")
    rank = len(x.type.shape)
    axes = [a for a in range(rank) if m.flag()] or [m.number(0, rank - 1)]
    options: dict[str, Any] = {"axes": tuple(m.rng.permutation(axes).tolist()), "keep_dims": m.flag()}
    if elem is F32:
        return m.float_tail(m.b.add(op(x, **options)))
    y = m.b.add(op(x, **options, offset=m.number(-500, 500)))
    return m.tail(y) if y.type.shape else y


def softmax(m: Maker) -> Value:
    x = m.arg(m.shape(m.number(1, 3)), I8, name="x")
    table = (np.exp(-0.05 * np.arange(256)) * (2**31 - 1)).astype(np.int32)
    return m.b.add(window.IntSoftmax(x, m.b.const(table)))


def softmax_float(m: Maker) -> Value:
    x = m.image(F32) if m.flag() else m.arg(m.shape(m.number(1, 3)), F32, name="x")
    return m.b.add(nn_window.Softmax(x, beta=m.pick(1.0, 0.5)))


# -- movement ---------------------------------------------------------------------------------------------------------


def transpose(m: Maker) -> Value:
    x = m.arg(m.shape(m.number(1, 4)), m.pick(I8, F32), name="x")
    return m.b.add(tensor.Transpose(x, perm=tuple(m.rng.permutation(len(x.type.shape)).tolist())))


def pad(m: Maker) -> Value:
    x = m.arg(m.shape(m.number(1, 4)), I8, name="x")
    pads = tuple(m.pair(0, 2) for _ in x.type.shape)
    return m.b.add(tensor.Pad(x, pads=pads, value=float(m.number(-128, 127))))


def slice(m: Maker) -> Value:
    x = m.arg(m.shape(m.number(1, 4)), m.pick(I8, F32), name="x")
    begin, size, stride = [], [], []
    for n in x.type.shape:
        step = m.pick(1, 2, -1, -2)
        count = m.number(1, 1 + (n - 1) // abs(step))
        first = m.number(0, n - 1 - (count - 1) * abs(step))
        begin.append(first if step > 0 else n - 1 - first)
        size.append(count)
        stride.append(step)
    return m.b.add(tensor.Slice(x, begin=tuple(begin), size=tuple(size), stride=tuple(stride)))


def concat(m: Maker) -> Value:
    shape = m.shape(m.number(1, 4))
    axis = m.number(0, len(shape) - 1)
    xs = [m.arg((*shape[:axis], m.number(1, 4), *shape[axis + 1 :]), I8) for _ in range(m.number(1, 3))]
    return m.b.add(tensor.Concat(xs, axis=axis))


def resize(m: Maker) -> Value:
    x = m.image(m.pick(I8, F32))
    corners = m.flag()
    centers = not corners and m.flag()
    return m.b.add(tensor.ResizeNearest(x, size=m.pair(1, 7), align_corners=corners, half_pixel_centers=centers))


# -- elementwise ------------------------------------------------------------------------------------------------------


def broadcast_pair(m: Maker, elem: DType) -> tuple[Value, Value, TensorType]:
    """Two operands that go together: plain with extents of 1, or images in any layout, or an image and a vector."""
    if m.flag():
        a = m.image(elem)
        if m.flag():
            return a, m.const((a.type.size("C"),), elem, "C"), a.type
        types = a.type.in_layout(m.pick(*IMAGES))
        return a, m.arg(types.shape, elem, types.layout, "z"), a.type.in_layout(m.pick(*IMAGES))
    shape = m.shape(m.number(1, 4))
    other = tuple(n if m.flag() else 1 for n in shape)[m.number(0, len(shape) - 1) :]
    a = m.arg(shape, elem, name="x")
    b = m.const(other, elem) if m.flag() else m.arg(other, elem, name="z")
    return (*m.pick((a, b), (b, a)), a.type)


def sum_int(m: Maker) -> Value:
    a, b, type = broadcast_pair(m, I8)
    op = m.pick(integer.Add, integer.Sub)
    return m.requantize_sum(m.b.add(op(m.rescale(a), m.rescale(b), types=type.with_elem(I32))))


def product_int(m: Maker) -> Value:
    a, b, type = broadcast_pair(m, I8)
    wide = [m.b.add(integer.Widen(v, offset=m.number(-127, 128))) for v in (a, b)]
    y = m.b.add(integer.Mul(*wide, types=type.with_elem(I32)))
    multiplier, shift = m.b.const(np.array([m.number(1 << 30, (1 << 31) - 1)], np.int32)), m.number(-12, -6)
    op = integer.Requantize(y, multiplier, m.b.const(np.array([shift], np.int32)), zero_point=m.number(-128, 127))
    return m.b.add(op)


def sum_float(m: Maker) -> Value:
    a, b, type = broadcast_pair(m, F32)
    op = m.pick(nn_elementwise.Add, nn_elementwise.Sub, nn_elementwise.Mul)
    return m.float_tail(m.b.add(op(a, b, types=type)))


def unary_int(m: Maker) -> Value:
    x = m.arg(m.shape(m.number(0, 4)), I8, name="x")
    if m.flag():
        return m.b.add(integer.Lookup(x, m.const((256,), m.pick(I8, F32, I32))))
    if m.flag():
        return m.b.add(integer.Clamp(x, lo=m.number(-128, 0), hi=m.number(0, 127)))
    real = m.b.add(integer.Dequantize(x, scale=0.25, zero_point=m.number(-128, 127)))
    if m.flag():
        return real
    return m.b.add(integer.Quantize(real, scale=0.375, zero_point=m.number(-128, 127)))


def quantize(m: Maker) -> Value:
    x = m.arg(m.shape(2), F32, name="x")
    return m.b.add(integer.Quantize(x, scale=m.pick(0.01, 0.5), zero_point=m.number(-128, 127)))


def unary_float(m: Maker, x: Value | None = None) -> Value:
    x = m.arg(m.shape(m.number(0, 4)), F32, name="x") if x is None else x
    ops: tuple[Callable[[Value], Op], ...] = (
        lambda v: nn_elementwise.Clamp(v, lo=m.pick(-0.5, 0.0), hi=m.pick(0.5, float("inf"))),
        lambda v: nn_activation.Relu(v, lo=m.pick(-1.0, 0.0), hi=m.pick(1.0, 6.0, float("inf"))),
        lambda v: nn_activation.LeakyRelu(v, alpha=0.125),
        nn_activation.HardSwish,
        nn_activation.Logistic,
        nn_activation.Tanh,
    )
    return m.b.add(m.pick(*ops)(x))


KINDS: dict[str, Callable[[Maker], Value]] = {
    "conv": conv,
    "word_conv": word_conv,
    "depthwise": depthwise,
    "dense": dense,
    "part_of_conv": part_of_conv,
    "part_of_dense": part_of_dense,
    "average_pool": lambda m: pool(m, window.IntAveragePool2D),
    "max_pool": lambda m: pool(m, window.IntMaxPool2D),
    "sum": summed,
    "softmax": softmax,
    "float_conv": lambda m: conv(m, F32, nn_contraction.Conv2D),
    "float_depthwise": lambda m: depthwise(m, F32, nn_contraction.DepthwiseConv2D),
    "float_dense": lambda m: dense(m, F32, nn_contraction.Dense),
    "float_average_pool": lambda m: pool(m, nn_window.AveragePool2D, F32),
    "float_max_pool": lambda m: pool(m, nn_window.MaxPool2D, F32),
    "float_mean": lambda m: summed(m, nn_window.Mean, F32),
    "float_softmax": softmax_float,
    "transpose": transpose,
    "pad": pad,
    "slice": slice,
    "concat": concat,
    "resize": resize,
    "sum_int": sum_int,
    "product_int": product_int,
    "sum_float": sum_float,
    "unary_int": unary_int,
    "quantize": quantize,
    "unary_float": unary_float,
}


def cases(kind: str, seed: int, most: int = 5) -> list[Case]:
    """The kernels that an op of one kind becomes, with random shapes, options and data; no extent of x is larger than
    `most`."""
    m = Maker(seed, most)
    return cases_of(m.b.ret(KINDS[kind](m)), seed)


def case(kind: str, seed: int, most: int = 5) -> Case:
    """The last kernel of `cases`."""
    return cases(kind, seed, most)[-1]


def cases_of(func: Func, seed: int = 0, inputs: Sequence[Array] = ()) -> list[Case]:
    """The groups of a function, each as a case; data that are not given follow from `seed`."""
    FuseOps(max_ops=99).run(Module([func]))
    inputs = inputs or random_inputs(func, seed)
    values = dict(zip(func.args, inputs, strict=True))
    evaluate(func, inputs, observe=values.__setitem__)
    return [_case_of(op, values) for op in func.ops if not (isinstance(op, Const) or op.has(Trait.TERMINATOR))]


def _case_of(op: Op, values: dict[Value, Array]) -> Case:
    lowered = lower(op, "k")
    arrays = {
        name: values[binding] if isinstance(binding, Value) else binding for name, binding in lowered.bindings.items()
    }
    return Case(lowered.kernel, arrays, [values[v] for v in op.results])
