"""Steps that expansions of quantised ops share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.int_contraction import FoldZeroPoint, output_axis
from tinyir.ir.ops.int_elementwise import Add, Lookup, Requantize
from tinyir.ir.ops.tensor import Concat, Storage, Typed
from tinyir.ir.quant import Multiplier
from tinyir.ir.types import DType, QType, TensorType

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder

INT32_MAX = 2**31 - 1

MAX_TAPS = 32767
"""How many products a layer that trains may sum: `bias_room` is then 2^30 or more, what updates keep biases within
(`train_int.limits`)."""


def bias_room(taps: int) -> int:
    """How large a bias may be so that no int8 input and no int8 weights overflow an int32 accumulator, in any order of
    the sum: each of `taps` products x * w and zero_point * w is within +-2^14."""
    return INT32_MAX - (taps << 15)


def taps_of(w: TensorType) -> int:
    """How many products each output of a layer with the weights `w` sums."""
    return w.elements // w.shape[output_axis(w)]


def constant_of(value: Value) -> npt.NDArray[Any] | None:
    """The array behind a constant value (also when seen from inside a group), else None."""
    op = value.outer.defining_op
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
    return np.asarray(folded.astype(np.int32))


def accumulators(b: Builder, op: Op, integer_op: type[Op], zero_point: int, attrs: dict[str, Any]) -> Value:
    """The i32 sums of a quantised layer, as an `integer_op` on stored integers; where its weights are trained in part
    (joined by tensor.concat) as the sum of two, which is the same integers."""
    x, name = storage(b, op.operands[0]), op.results[0].name
    halves = _halves(op.operands[1])
    if halves is None:
        w, bias = contraction_operands(b, op, zero_point)
        return b.add(integer_op(x, w, bias, **attrs, name=name))
    trained, frozen = halves
    _check_taps(op)
    fold = [b.add(FoldZeroPoint(trained, zero_point=zero_point))] if zero_point else []
    count = trained.type.shape[trained.type.axis("I") if trained.type.layout else 1]
    first = b.add(integer_op(x, trained, *fold, **{**attrs, "first_channel": 0}))
    given = op.operands[2] if len(op.operands) > 2 else None
    bias = _bias_over(b, op, frozen.value, given, zero_point)
    second = b.add(integer_op(x, frozen.result, bias, **{**attrs, "first_channel": count}))
    return b.add(Add(second, first, name=name))


def _halves(w: Value) -> tuple[Value, Const] | None:
    """The stored integers of weights that are joined of trained and frozen ones, else None."""
    typed = w.defining_op
    joined = typed.x.defining_op if isinstance(typed, Typed) else None
    if not isinstance(joined, Concat) or len(joined.xs) != 2:
        return None
    trained, frozen = joined.xs
    const = frozen.defining_op
    return (trained, const) if isinstance(const, Const) else None


def _bias_over(b: Builder, op: Op, weights: npt.NDArray[Any], bias: Value | None, zero_point: int) -> Value:
    """The bias with the zero point folded in that the input has for constant `weights`."""
    type = op.operands[1].type
    rows = _rows(weights, type)
    if bias is None or constant_of(bias) is not None:
        folded = folded_bias(op, rows, bias, zero_point)
        return b.const(folded, bias.name if bias else "", layout="C" if type.layout else "")
    sums = rows.reshape(rows.shape[0], -1).sum(axis=1, dtype=np.int64)
    stored = bias if bias.type.quant is None else storage(b, bias)
    return b.add(Add(stored, b.const((-zero_point * sums).astype(np.int32)))) if zero_point else stored


def _check_taps(op: Op) -> None:
    taps = taps_of(op.operands[1].type)
    op.require(taps <= MAX_TAPS, f"sums {taps} products, more than a layer with a trained bias may: {MAX_TAPS}")


def contraction_operands(b: Builder, op: Op, zero_point: int) -> tuple[Value, Value | None]:
    """The weights of a quantised layer as plain integers, and its bias with the input's `zero_point` folded in.

    Where one of them is trained, and so no constant, the folding is part of the program. Raises IRError for what an
    int32 accumulator cannot hold.
    """
    w, bias = op.operands[1], op.operands[2] if len(op.operands) > 2 else None
    if constant_of(w) is None or (bias is not None and constant_of(bias) is None):
        return _trained_operands(b, op, w, bias, zero_point)
    weights = weights_of(op, w)
    folded = folded_bias(op, _rows(weights, w.type), bias, zero_point)
    layout = "C" if w.type.layout else ""
    return b.const(weights, w.name, layout=w.type.layout), b.const(folded, bias.name if bias else "", layout=layout)


def _rows(weights: npt.NDArray[Any], type: TensorType) -> npt.NDArray[Any]:
    """The weights with the output channels first."""
    return np.moveaxis(weights, output_axis(type), 0)


def _trained_operands(b: Builder, op: Op, w: Value, bias: Value | None, zero_point: int) -> tuple[Value, Value | None]:
    _check_taps(op)
    stored = bias if bias is None or (bias.type.quant is None and constant_of(bias) is None) else storage(b, bias)
    if constant_of(w) is None:
        op.require(set(quant_of(op, w).zero_points) == {0}, "trains weights with a zero point other than 0")
        values = [storage(b, w)] if stored is None else [storage(b, w), stored]
        return values[0], b.add(FoldZeroPoint(*values, zero_point=zero_point)) if zero_point else stored
    weights = weights_of(op, w)
    sums = _rows(weights, w.type).reshape(w.type.shape[output_axis(w.type)], -1).sum(axis=1, dtype=np.int64)
    if zero_point and stored is not None:
        stored = b.add(Add(stored, b.const((-zero_point * sums).astype(np.int32))))
    return b.const(weights, w.name, layout=w.type.layout), stored


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


def require_multipliers(op: Op, multipliers: Sequence[Multiplier], most: int = 30) -> None:
    """Raise IRError for a factor that 32-bit fixed point cannot hold: 2^most or more."""
    worst = max(exponent for _, exponent in multipliers)
    op.require(worst <= most, f"has scales too far apart: a factor between them is 2^{worst - 1} or more")


def requantize(
    b: Builder,
    op: Op,
    acc: Value,
    multipliers: Sequence[Multiplier],
    rounding: str = "double",
    layout: str = "",
) -> Value:
    """int32 sums as a value of `op`'s quantised type; one factor for all, or one for each index of axis `layout`."""
    y = quant_of(op, op.results[0])
    lo, hi = y.storage.limits
    name = acc.name
    shape = (len(multipliers),) if acc.type.shape else ()
    mantissas = np.array([mantissa for mantissa, _ in multipliers], np.int32).reshape(shape)
    exponents = np.array([exponent for _, exponent in multipliers], np.int32).reshape(shape)
    result = Requantize(
        acc,
        b.const(mantissas, f"{name}_multiplier" if name else "", layout=layout),
        b.const(exponents, f"{name}_shift" if name else "", layout=layout),
        zero_point=y.zero_point,
        lo=lo,
        hi=hi,
        rounding=rounding,
        types=acc.type.with_elem(y.storage),
    )
    return typed(b, b.add(result), op.results[0].type)


def lookup(b: Builder, op: Op, x: Value, table: npt.NDArray[Any], **attrs: Any) -> Value:
    """A function of one int8, given by its 256 results, as a value of `op`'s quantised type. `attrs`: of int.lookup."""
    name = op.results[0].name
    constant = b.const(table, f"{name}_table" if name else "")
    return typed(b, b.add(Lookup(storage(b, x), constant, **attrs)), op.results[0].type)


def is_quantized(op: Op) -> bool:
    """Whether `op` works on int8 tensors with one scale each. Raises IRError unless operands and results are all that,
    or all f32."""
    values = [*op.operands, *op.results]
    if all(value.type.elem == DType.F32 for value in values):
        return False
    for value in values:
        quant = value.type.quant
        op.require(
            quant is not None and not quant.per_axis and quant.storage == DType.I8,
            f"works on f32 or on int8 tensors with one scale, not {value.type}",
        )
    return True
