"""Losses, as graphs of differentiable ops on the output of the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Op, Value
from tinyir.ir.ops.int_elementwise import Dequantize, Lookup
from tinyir.ir.ops.int_window import IntSoftmax
from tinyir.ir.ops.nn_activation import Logistic, Softplus
from tinyir.ir.ops.nn_elementwise import Mul, Sub
from tinyir.ir.ops.nn_window import LogSoftmax, Mean, Softmax, Sum
from tinyir.passes.step_options import LossName


def add_loss(name: LossName, b: Builder, output: Value, target: Value) -> Value:
    """The loss, one f32, of the model's `output` against `target`, a f32 tensor of the same shape."""
    return LOSSES[name](b, output, target)


def _before(output: Value, last: type[Op]) -> Value:
    """What goes into the model's last op where that is a `last`: the loss takes both together, which loses no digits
    where the op saturates."""
    op = output.defining_op
    return op.operands[0] if isinstance(op, last) and op.attrs.get("beta", 1.0) == 1.0 else output


def _logits(b: Builder, output: Value) -> Value:
    """What goes into a last softmax, else the output. That of an integer softmax is its operand times its scale; the
    zero point makes no difference to a softmax."""
    op = output.defining_op
    softmax = op.x.defining_op if isinstance(op, Dequantize) else None
    if isinstance(softmax, IntSoftmax):
        return b.add(Dequantize(softmax.x, scale=softmax.scale, zero_point=0, types=output.type))
    return _before(output, Softmax)


def _softmax_cross_entropy(b: Builder, output: Value, target: Value) -> Value:
    """-sum of target * log softmax(logits), the logits being what a last nn.softmax reads, else the output."""
    logs = b.add(LogSoftmax(_logits(b, output)))
    total = b.add(Sum(b.add(Mul(target, logs)), axes=_every(output)))
    return b.add(Mul(total, b.const(np.array(-1, np.float32)), name="loss"))


def _mean_squared_error(b: Builder, output: Value, target: Value) -> Value:
    """mean of (output - target)^2"""
    error = b.add(Sub(output, target))
    return b.add(Mean(b.add(Mul(error, error)), axes=_every(output), name="loss"))


def _argument(b: Builder, output: Value) -> Value:
    """What goes into a last logistic, else the output. Raises IRError for stored probabilities of another origin."""
    op = output.defining_op
    if not isinstance(op, Dequantize):
        return _before(output, Logistic)
    last = op.x.defining_op
    if isinstance(last, Lookup) and last.scale:
        return b.add(Dequantize(last.x, scale=last.scale, zero_point=last.zero_point, types=output.type))
    lo, hi = op.x.type.storage.limits
    if op.zero_point <= lo and op.scale * (hi - op.zero_point) <= 1:
        raise IRError(
            "the output lies between 0 and 1, and what it is the logistic of is not known",
            help="binary-cross-entropy takes a last logistic, or its argument; mean-squared-error takes any output",
        )
    return output


def _binary_cross_entropy(b: Builder, output: Value, target: Value) -> Value:
    """mean of softplus(z) - target * z, z being what a last logistic reads, in reals or integers, else the output: the
    cross-entropy of logistic(z)"""
    z = _argument(b, output)
    terms = b.add(Sub(b.add(Softplus(z)), b.add(Mul(target, z))))
    return b.add(Mean(terms, axes=_every(output), name="loss"))


def _every(value: Value) -> tuple[int, ...]:
    return tuple(range(len(value.type.shape)))


LOSSES: dict[LossName, Callable[[Builder, Value, Value], Value]] = {
    "softmax-cross-entropy": _softmax_cross_entropy,
    "mean-squared-error": _mean_squared_error,
    "binary-cross-entropy": _binary_cross_entropy,
}
