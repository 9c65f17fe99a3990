"""Constants that are trained become state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const
from tinyir.ir.training import INIT
from tinyir.ir.types import DType
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

    Needs: float weights; before any pass that merges or folds constants.  Leaves: no constant among the weights and
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
                if not isinstance(const, Const) or operand.type.elem != DType.F32:
                    continue
                name = _free_name(func, operand.name or f"{op.results[0].name or 'p'}.{op.spec.operands[index].name}")
                state.append(len(func.args))
                op.set_operand(index, func.block.add_arg(operand.type, name))
                values.append(init.add(Const(value=const.value, types=operand.type, name=name, loc=const.loc)))
                if not operand.uses:
                    const.erase()
        if not values:
            raise IRError(f"@{func.name} has no float weights to train")
        func.attrs["state"] = tuple(state)
        module.funcs[INIT] = init.ret(*values)
        module.funcs[INIT].attrs["updates"] = tuple(range(len(values)))
        return {"parameters": len(values), "bytes": sum(value.type.bytes for value in values)}


def _free_name(func: Func, name: str) -> str:
    taken = {arg.name for arg in func.args}
    unique, number = name, 1
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique
