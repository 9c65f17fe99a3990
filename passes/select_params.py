"""Constants that are trained become state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.training import INIT
from tinyir.ir.types import DType, QType, TensorType
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class SelectParams(Pass):
    """Turn the weights and biases to be trained into arguments of @main, and their values into @params_init.

        func @main(%x) {                       func @main(%x, %w) attributes {state = [1]} {
          %w = nn.const dense<...>               %y = nn.dense(%x, %w)
          %y = nn.dense(%x, %w)       ->       }
        }                                      func @params_init() attributes {updates = [0]} {
                                                 %w = nn.const dense<...>
                                                 func.return(%w) }

    A constant that several layers read becomes a parameter for each: model files store equal arrays once.

    The bias of a quantised layer gets a type with scales: those of its input times those of its weights.

    Needs: nothing; runs before any pass that merges or folds constants.  Leaves: no constant among the weights and
    biases of contractions.  Refuses a model without any.
    """

    name: ClassVar[str] = "select-params"

    def run(self, module: Module) -> dict[str, int]:
        func = module.main
        init = FuncBuilder(INIT)
        values: list[Value] = []
        state: list[int] = []
        for op in list(func.ops):
            if not op.has(Trait.CONTRACTION):
                continue
            for index, operand in enumerate(op.operands[1:], 1):
                const = operand.defining_op
                if not isinstance(const, Const):
                    continue
                name = _free_name(func, operand.name or f"{op.results[0].name or 'p'}.{op.spec.operands[index].name}")
                state.append(len(func.args))
                type = _param_type(op, operand.type)
                op.set_operand(index, func.block.add_arg(type, name))
                values.append(init.add(Const(value=const.value, types=type, name=name, loc=const.loc)))
                if not operand.uses:
                    const.erase()
        if not values:
            raise IRError(f"@{func.name} has no weights to train")
        func.attrs["state"] = tuple(state)
        module.funcs[INIT] = init.ret(*values)
        module.funcs[INIT].attrs["updates"] = tuple(range(len(values)))
        return {"parameters": len(values), "bytes": sum(value.type.bytes for value in values)}


def _param_type(op: Op, type: TensorType) -> TensorType:
    """The type of a parameter: that of the constant, and for the bias of a quantised layer its scales, those of the
    input times those of the weights, for which model files have no place in the type."""
    x, w = (value.type.quant for value in op.operands[:2])
    if type.elem != DType.I32 or x is None or w is None:
        return type
    scales = tuple(float(np.float32(x.scale * scale)) for scale in w.scales)
    axis = 0 if w.per_axis else None
    return type.with_elem(QType(DType.I32, scales, (0,) * len(scales), axis))


def _free_name(func: Func, name: str) -> str:
    taken = {arg.name for arg in func.args}
    unique, number = name, 1
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique
