"""Float graphs of the IR in PyTorch, for its autograd: each op by what its declaration says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tinyir.ir.core import Block, Func, Op, Value
from tinyir.ir.semantics.movement import nearest_indices

functional: Any = torch.nn.functional
Array = npt.NDArray[Any]
Tensor = Any


def run(func: Func, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of `func`, in the precision of `inputs`."""
    return _run(func.block, inputs)


def _run(block: Block, inputs: Sequence[Tensor]) -> list[Tensor]:
    env: dict[Value, Tensor] = dict(zip(block.args, inputs, strict=True))
    for op in block.ops[:-1]:
        env[op.result] = OPS[op.opname](op, *(env[value] for value in op.operands))
    return [env[value] for value in block.terminator.operands]


def _padded(x: Tensor, op: Op, value: float) -> Tensor:
    """N,C,H,W with the margins of a window op."""
    (top, bottom), (left, right) = op.attrs["pad"]
    return functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=value)


def _conv(op: Op, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    depthwise = op.opname == "nn.depthwise_conv2d"
    kernel = w.permute(2, 0, 1)[:, None] if depthwise else w.permute(0, 3, 1, 2)
    groups = x.shape[3] if depthwise else 1
    y = functional.conv2d(_padded(x, op, 0.0), kernel, bias, op.attrs["stride"], 0, op.attrs["dilation"], groups)
    return y.permute(0, 2, 3, 1)


def _max_pool(op: Op, x: Tensor) -> Tensor:
    return functional.max_pool2d(_padded(x, op, -np.inf), op.attrs["kernel"], op.attrs["stride"]).permute(0, 2, 3, 1)


def _average_pool(op: Op, x: Tensor) -> Tensor:
    total, count = (
        functional.avg_pool2d(_padded(v, op, 0.0), op.attrs["kernel"], op.attrs["stride"], divisor_override=1)
        for v in (x, torch.ones_like(x))
    )
    return (total / count).permute(0, 2, 3, 1)


def _clamp(op: Op, x: Tensor) -> Tensor:
    return functional.hardtanh(x, op.attrs["lo"], op.attrs["hi"])


def _slice(op: Op, x: Tensor) -> Tensor:
    for axis, (first, count, step) in enumerate(zip(*(op.attrs[a] for a in ("begin", "size", "stride")), strict=True)):
        x = x.index_select(axis, torch.arange(count) * step + first)
    return x


def _pad(op: Op, x: Tensor) -> Tensor:
    margins = [n for pair in reversed(op.attrs["pads"]) for n in pair]
    return functional.pad(x, margins, value=op.attrs["value"])


def _resize(op: Op, x: Tensor) -> Tensor:
    centers = {name: op.attrs[name] for name in ("align_corners", "half_pixel_centers")}
    for axis, size in zip((1, 2), op.attrs["size"], strict=True):
        x = x.index_select(axis, torch.tensor(nearest_indices(x.shape[axis], size, **centers)))
    return x


OPS: dict[str, Callable[..., Tensor]] = {
    "nn.const": lambda op: torch.tensor(op.attrs["value"].astype(np.float64)),
    "nn.conv2d": _conv,
    "nn.depthwise_conv2d": _conv,
    "nn.dense": lambda op, x, w, bias=None: functional.linear(x, w, bias),
    "nn.max_pool2d": _max_pool,
    "nn.average_pool2d": _average_pool,
    "nn.add": lambda op, a, b: a + b,
    "nn.sub": lambda op, a, b: a - b,
    "nn.mul": lambda op, a, b: a * b,
    "nn.relu": _clamp,
    "nn.clamp": _clamp,
    "nn.leaky_relu": lambda op, x: functional.leaky_relu(x, op.attrs["alpha"]),
    "nn.hard_swish": lambda op, x: functional.hardswish(x),
    "nn.logistic": lambda op, x: torch.sigmoid(x),
    "nn.tanh": lambda op, x: torch.tanh(x),
    "nn.softmax": lambda op, x: torch.softmax(op.attrs["beta"] * x, -1),
    "nn.mean": lambda op, x: x.mean(op.attrs["axes"], op.attrs["keep_dims"]),
    "tensor.reshape": lambda op, x: x.reshape(op.attrs["shape"]),
    "tensor.transpose": lambda op, x: x.permute(op.attrs["perm"]),
    "tensor.pad": _pad,
    "tensor.slice": _slice,
    "tensor.concat": lambda op, *xs: torch.cat(xs, op.attrs["axis"]),
    "tensor.resize_nearest": _resize,
}
