"""Steps that expansions of quantised ops share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.int_elementwise import Requantize
from tinyir.ir.ops.tensor import Storage, Typed
from tinyir.ir.quant import contraction_multipliers
from tinyir.ir.types import QType, TensorType

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder

INT32_MAX = 2**31 - 1


def constant_of(value: Value) -> npt.NDArray[Any] | None:
    """The array behind a constant value, else None."""
    op = value.defining_op
    return op.value if isinstance(op, Const) else None


def quant_of(op: Op, value: Value) -> QType:
    """The quantised element type of `value`. Raises IRError at `op` for a plain type."""
    quant = value.type.quant
    if quant is None:
        raise op.fail(f"mixes quantised and plain operands: {value.type}")
    return quant


def storage(b: Builder, value: Value) -> Value:
    """The stored integers of `value`; a constant is made anew under its plain type."""
    constant = value.defining_op
    if isinstance(constant, Const):
        return b.const(constant.value, value.name, layout=value.type.layout)
    return b.add(Storage(value))


def typed(b: Builder, value: Value, type: TensorType) -> Value:
    """`value`, stored integers, under the quantised `type`."""
    return b.add(Typed(value, types=value.type.with_elem(type.elem)))


def folded_bias(op: Op, w: npt.NDArray[Any], bias: Value | None, zero_point: int) -> npt.NDArray[Any]:
    """The bias with the input's zero point folded in: bias[o] - zero_point * sum of w[o].

    `w` has the output channels first. Raises IRError where some input could overflow the int32 accumulator, for then
    the result would depend on the order of the additions.
    """
    rows = w.reshape(w.shape[0], -1).astype(np.int64)
    given = np.zeros(w.shape[0], np.int64) if bias is None else _constant(op, bias, "bias").astype(np.int64)
    folded = given - zero_point * rows.sum(axis=1)
    worst = np.abs(folded) + 128 * np.abs(rows).sum(axis=1)
    if worst.max(initial=0) > INT32_MAX:
        channel, bound = int(worst.argmax()), int(worst.max())
        raise op.fail(
            f"could overflow its int32 accumulator in channel {channel}: |bias| + 128 * sum |w| = {bound}",
            help="the bias or the scales of this layer are damaged, or it sums too many products",
        )
    return folded.astype(np.int32)


def _constant(op: Op, value: Value, name: str) -> npt.NDArray[Any]:
    array = constant_of(value)
    if array is None:
        raise op.fail(f"needs a constant {name}")
    return array


def weights_of(op: Op, value: Value) -> npt.NDArray[Any]:
    """The weights of a quantised layer with their zero point taken off: int8, or int16 where that is not zero."""
    array, quant = _constant(op, value, "weight"), quant_of(op, value)
    if set(quant.zero_points) == {0}:
        return array
    if quant.per_axis:
        raise op.fail("has per-channel weights with a zero point other than 0")
    return np.asarray(array.astype(np.int16) - np.int16(quant.zero_point))


def requantize_sums(b: Builder, op: Op, acc: Value, x: QType, w: QType, rounding: str, layout: str) -> Value:
    """Accumulators of a contraction of `x` and `w` as the stored integers of `op`'s result."""
    y = quant_of(op, op.result)
    multipliers, shifts = contraction_multipliers(x, w, y)
    name = acc.name
    lo, hi = y.storage.limits
    return b.add(
        Requantize(
            acc,
            b.const(np.array(multipliers, np.int32), f"{name}_multiplier" if name else "", layout=layout),
            b.const(np.array(shifts, np.int32), f"{name}_shift" if name else "", layout=layout),
            zero_point=y.zero_point,
            lo=lo,
            hi=hi,
            rounding=rounding,
            types=acc.type.with_elem(y.storage),
        )
    )
