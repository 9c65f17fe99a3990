"""Optimisers of stored integers: a step in reals, rounded to whole numbers, and saturated."""

from __future__ import annotations

from typing import Any, get_args

import numpy.typing as npt

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.ops.int_elementwise import elementwise_result
from tinyir.ir.training import Rounding
from tinyir.ir.types import DType, TensorType

ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)

LIMITS = {DType.I8: (-127, 127), DType.I32: (-(2**30), 2**30)}


def limits(elem: DType, start: npt.NDArray[Any] | None = None) -> tuple[int, int]:
    """What a parameter is limited to. Weights are symmetric, as TFLite has them; biases leave an accumulator room for
    the products (`expand.MAX_TAPS`). One whose values at the `start` are beyond that, as biases of dead channels are,
    may stay as far: a step of the rate 0 changes nothing, and `select-params` has proved that there is room."""
    lo, hi = LIMITS[elem]
    if start is None or start.size == 0:
        return lo, hi
    return min(lo, int(start.min())), max(hi, int(start.max()))


@define_op("train.sgd_int", Trait.PURE, Trait.ELEMENTWISE)
class SgdInt(Op):
    """y = param - lr * grad, rounded, limited to lo..hi; param where lr * grad is not finite.

    "stochastic" rounds up with the probability of the fraction that it would lose, by the random `words`: the mean
    change is what the gradient asks for, however small. "nearest" drops steps below one half. "truncate" is what MIT's
    TinyEngine does: int8 sums are rounded toward zero, int32 steps are.
    """

    param: Value = operand("i8 or i32, state")
    grad: Value = operand("f32, of the same shape: by the stored integer")
    lr: Value = operand("one f32: the learning rate")
    words: Value | None = operand("i32, of the same shape: random bits, for stochastic rounding", optional=True)
    rounding: str = attr('"stochastic", "nearest" or "truncate"', default="stochastic")
    lo: int = attr("smallest result")
    hi: int = attr("largest result")
    y: Value = result("the new value of param")

    def infer(self) -> TensorType:
        values = [value for value in (self.grad, self.words) if value is not None]
        same = all(value.type.shape == self.param.type.shape for value in values)
        self.require(same, f"has operands of other shapes than {self.param.type}")
        self.require(self.lr.type == TensorType((), DType.F32), f"needs one f32 as rate, not {self.lr.type}")
        return elementwise_result(self, self.param.type.elem)

    def verify(self) -> None:
        self.require(self.rounding in ROUNDINGS, f'has the rounding "{self.rounding}"')
        random = self.rounding == "stochastic"
        self.require(random == (self.words is not None), "needs random words for stochastic rounding, and only then")
        self.require(self.param.type.elem in LIMITS, f"works on i8 and i32, not {self.param.type}")
        least, most = self.param.type.storage.limits
        self.require(least <= self.lo <= self.hi <= most, f"limits to {self.lo}..{self.hi}, outside {self.type.elem}")

    def reference(self) -> Reference:
        return Reference(semantics.sgd_int, dict(self.attrs))
