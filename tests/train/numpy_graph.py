"""Float graphs of the IR in NumPy and double precision, for differences: each op by what its declaration says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.train import window_oracles as windows
from tests.train.differences import Array
from tinyir.ir.core import Func, Op, Value
from tinyir.ir.semantics.movement import nearest_indices


def run(func: Func, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of `func`."""
    env: dict[Value, Array] = dict(zip(func.args, inputs, strict=True))
    for op in func.ops[:-1]:
        env[op.result] = OPS[op.opname](op, *(env[value] for value in op.operands))
    return [env[value] for value in func.outputs]


def _softmax(op: Op, x: Array) -> Array:
    e = np.exp(op.attrs["beta"] * (x - x.max(-1, keepdims=True)))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _slice(op: Op, x: Array) -> Array:
    for axis, (first, count, step) in enumerate(zip(*(op.attrs[a] for a in ("begin", "size", "stride")), strict=True)):
        x = x.take(np.arange(count) * step + first, axis)
    return x


def _resize(op: Op, x: Array) -> Array:
    centers = {name: op.attrs[name] for name in ("align_corners", "half_pixel_centers")}
    for axis, size in zip((1, 2), op.attrs["size"], strict=True):
        x = x.take(nearest_indices(x.shape[axis], size, **centers), axis)
    return x


def _conv(op: Op, x: Array, w: Array, c: Array | None = None) -> Array:
    function, axis = (windows.depthwise, 2) if op.opname == "nn.depthwise_conv2d" else (windows.conv, 0)
    attrs = dict(op.attrs)
    first = attrs.pop("first_channel", -1)
    x = x if first < 0 else x[..., first : first + w.shape[-1]]
    return function(x, w, np.zeros(w.shape[axis]) if c is None else c, **attrs)


OPS: dict[str, Callable[..., Array]] = {
    "nn.const": lambda op: op.attrs["value"].astype(np.float64),
    "nn.conv2d": _conv,
    "nn.depthwise_conv2d": _conv,
    "nn.dense": lambda op, x, w, c=0: x @ w.T + c,
    "nn.max_pool2d": lambda op, x: windows.max_pool(x, **op.attrs),
    "nn.average_pool2d": lambda op, x: windows.average_pool(x, **op.attrs),
    "nn.add": lambda op, a, b: a + b,
    "nn.sub": lambda op, a, b: a - b,
    "nn.mul": lambda op, a, b: a * b,
    "nn.relu": lambda op, x: np.clip(x, op.attrs["lo"], op.attrs["hi"]),
    "nn.clamp": lambda op, x: np.clip(x, op.attrs["lo"], op.attrs["hi"]),
    "nn.leaky_relu": lambda op, x: np.where(x > 0, x, op.attrs["alpha"] * x),
    "nn.hard_swish": lambda op, x: x * np.clip(x + 3, 0, 6) / 6,
    "nn.logistic": lambda op, x: 1 / (1 + np.exp(-x)),
    "nn.tanh": lambda op, x: np.tanh(x),
    "nn.softmax": _softmax,
    "nn.mean": lambda op, x: x.mean(op.attrs["axes"], keepdims=op.attrs["keep_dims"]),
    "tensor.reshape": lambda op, x: x.reshape(op.attrs["shape"]),
    "tensor.transpose": lambda op, x: x.transpose(op.attrs["perm"]),
    "tensor.pad": lambda op, x: np.pad(x, op.attrs["pads"], constant_values=op.attrs["value"]),
    "tensor.slice": _slice,
    "tensor.concat": lambda op, *xs: np.concatenate(xs, op.attrs["axis"]),
    "tensor.resize_nearest": _resize,
}
