"""The gradient of an integer graph by finite differences, rounding taken for the identity.

Each op is written here in real numbers. Around the integers that the graph computes at a point, it is replaced by
`integers + real(x) - real(x at the point)`, a constant where the result lies at a limit: a smooth function with the
same values at the point, whose differences are the straight-through gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Func, Op, Value
from tinyir.ir.interp import evaluate_op
from tinyir.ir.ops.func import Const

Array = npt.NDArray[Any]


def conv(op: Op, x: Array, w: Array, bias: Array) -> Array:
    """Any convolution, NHWC and OHWI or HWO; the margins read as `pad_value`."""
    (top, bottom), (left, right) = op.attrs["pad"]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=op.attrs["pad_value"])
    depthwise = w.ndim == 3
    if depthwise:
        padded = np.repeat(padded, w.shape[2] // x.shape[3], axis=3)
    kh, kw = w.shape[:2] if depthwise else w.shape[1:3]
    _, rows, columns, _ = op.type.shape
    y = np.zeros(op.type.shape) + bias
    for i in range(kh):
        for j in range(kw):
            at = [n * op.attrs["dilation"][axis] for axis, n in enumerate((i, j))]
            steps = op.attrs["stride"]
            tap = padded[:, at[0] :: steps[0], at[1] :: steps[1]][:, :rows, :columns]
            y += tap * w[i, j] if depthwise else tap @ w[:, i, j].T
    return y


def pool_windows(op: Op, x: Array) -> Array:
    """Each tap of each window, NaN in the margins: [taps, N, H, W, C]."""
    (top, bottom), (left, right) = op.attrs["pad"]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=np.nan)
    (kh, kw), (down, across) = op.attrs["kernel"], op.attrs["stride"]
    _, rows, columns, _ = op.type.shape
    return np.array([padded[:, i::down, j::across][:, :rows, :columns] for i in range(kh) for j in range(kw)])


REALS: dict[str, Callable[..., Array]] = {
    "int.conv2d": conv,
    "int.depthwise_conv2d": conv,
    "int.dense": lambda op, x, w, bias: x @ w.T + bias,
    "int.fold_zero_point": lambda op, w, bias: bias - op.attrs["zero_point"] * _by_output(op, w).sum(axis=1),
    "int.requantize": lambda op, acc, m, e: acc * m * 2.0 ** (e - 31),
    "int.rescale": lambda op, x: x * op.attrs["multiplier"] * 2.0 ** (op.attrs["left_shift"] + op.attrs["shift"] - 31),
    "int.widen": lambda op, x: x,
    "int.add": lambda op, a, b: a + b,
    "int.sub": lambda op, a, b: a - b,
    "int.mul": lambda op, a, b: a * b,
    "int.sum": lambda op, x: x.sum(axis=op.attrs["axes"], keepdims=op.attrs["keep_dims"]),
    "int.average_pool2d": lambda op, x: np.nanmean(pool_windows(op, x), axis=0),
    "int.max_pool2d": lambda op, x: np.nanmax(pool_windows(op, x), axis=0),
    "int.clamp": lambda op, x: x,
    "int.quantize": lambda op, x: x / op.attrs["scale"],
    "int.dequantize": lambda op, x: x * op.attrs["scale"],
    "tensor.reshape": lambda op, x: x.reshape(op.type.shape),
    "tensor.transpose": lambda op, x: x.transpose(op.attrs["perm"]),
    "tensor.pad": lambda op, x: np.pad(x, op.attrs["pads"]),
    "quant.storage": lambda op, x: x,
    "quant.typed": lambda op, x: x,
}
LIMITED = ("int.requantize", "int.max_pool2d", "int.clamp", "int.quantize")


def _by_output(op: Op, w: Array) -> Array:
    layout = op.operands[0].type.layout
    return np.moveaxis(w, layout.index("O") if layout else 0, 0).reshape(op.type.shape[0], -1)


class Smooth:
    """A function of one result as the smooth function around `inputs`."""

    def __init__(self, func: Func, result: Value, inputs: list[Array]) -> None:
        self.func, self.result = func, result
        self.base: dict[Value, Array] = dict(zip(func.args, inputs, strict=True))
        for op in func.ops[:-1]:
            arrays = [op.value] if isinstance(op, Const) else evaluate_op(op, [self.base[v] for v in op.operands])
            self.base.update(zip(op.results, arrays, strict=True))

    def __call__(self, changed: dict[Value, Array]) -> Array:
        """The result with other arguments."""
        values = {**self.base, **changed}
        moved = set(changed)
        for op in self.func.ops[:-1]:
            if moved.isdisjoint(op.operands):
                continue
            reals = [
                REALS[op.opname](op, *(np.asarray(source[v], np.float64) for v in op.operands))
                for source in (values, self.base)
            ]
            y = self.base[op.results[0]].astype(np.float64)
            free = (y > op.attrs.get("lo", -128)) & (y < op.attrs.get("hi", 127)) if op.opname in LIMITED else True
            values[op.results[0]] = y + np.where(free, reals[0] - reals[1], 0)
            moved.add(op.results[0])
            if op.results[0] is self.result:
                break
        return values[self.result]

    def slope(self, loss: Callable[[Array], float], arg: Value, index: tuple[int, ...], step: float) -> float:
        """The central difference of loss(result) by one element of an argument."""
        sides = []
        for sign in (1, -1):
            array = self.base[arg].astype(np.float64)
            array[index] += sign * step
            sides.append(loss(self({arg: array})))
        return (sides[0] - sides[1]) / (2 * step)
