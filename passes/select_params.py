"""Constants that are trained become state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyir.diagnostics import IRError
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.ops.expand import bias_room, constant_of, taps_of
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.train_int import LIMITS
from tinyir.ir.training import INIT
from tinyir.ir.types import DType, QType, TensorType
from tinyir.passes.registry import Pass
from tinyir.passes.split_weights import largest_first, split_channels, trained_operand
from tinyir.train_plan import Chosen, Layer, TrainPlan, choose, layers


@dataclass(frozen=True)
class SelectParams(Pass):
    """Turn the weights and biases to be trained into arguments of @main, and their values into @params_init.

        func @main(%x) {                       func @main(%x, %w) attributes {state = [1]} {
          %w = nn.const dense<...>               %y = nn.dense(%x, %w)
          %y = nn.dense(%x, %w)       ->       }
        }                                      func @params_init() attributes {updates = [0]} {
                                                 %w = nn.const dense<...>
                                                 func.return(%w) }

    `plan` is a file that says which (`tinyir/train_plan.py`), by default all. A layer of which some input channels are
    trained becomes the sum of two layers. A constant that several layers read becomes a parameter for each: model files
    store equal arrays once.

    The bias of a quantised layer gets a type with scales: those of its input times those of its weights.

    Needs: nothing; runs before any pass that merges or folds constants.  Leaves: arguments for what is trained,
    constants for what is frozen.  Refuses a model or a plan without anything to train, a plan that does not fit, and
    an int32 bias so large that sums could overflow once the layer is trained.
    """

    name: ClassVar[str] = "select-params"
    plan: str | None = None

    def run(self, module: Module) -> dict[str, int]:
        func = module.main
        all_layers = layers(func)
        if self.plan is None:
            chosen = {layer: Chosen(layer.channels, len(layer.op.operands) > 2) for layer in all_layers}
        else:
            chosen = choose(TrainPlan.read(self.plan), all_layers)
        selection = _Selection(func)
        by_magnitude = [layer for layer, what in chosen.items() if what.select == "magnitude"]
        for layer in by_magnitude:
            largest_first(layer, chosen[layer].channels)
        for layer, what in chosen.items():
            selection.add_layer(layer, what)
        module.funcs[INIT] = selection.finish()
        values = module.funcs[INIT].outputs
        return {"parameters": len(values), "bytes": sum(value.type.bytes for value in values)}


class _Selection:
    """Turns constants into arguments of `func`, and collects their values in a function of their own."""

    def __init__(self, func: Func) -> None:
        self.func = func
        self.init = FuncBuilder(INIT)
        self.values: list[Value] = []
        self.state: list[int] = []

    def add_layer(self, layer: Layer, what: Chosen) -> None:
        """Train of a layer what `what` says."""
        _require_room(layer)
        trained = frozen = layer.op
        if 0 < what.channels < layer.channels:
            trained, frozen = split_channels(layer, what.channels)
        if what.channels:
            self._add(trained, trained_operand(trained))
        if what.bias:
            self._add(frozen, 2)

    def _add(self, op: Op, index: int) -> None:
        operand = op.operands[index]
        const = operand.defining_op
        if not isinstance(const, Const):
            return
        name = free_name(self.func, operand.name or f"{op.results[0].name or 'p'}.{op.spec.operands[index].name}")
        self.state.append(len(self.func.args))
        type = _param_type(op, operand.type)
        op.set_operand(index, self.func.block.add_arg(type, name))
        self.values.append(self.init.add(Const(value=const.value, types=type, name=name, loc=const.loc)))
        if not operand.uses:
            const.erase()

    def finish(self) -> Func:
        """The function that gives the parameters their first values. Raises IRError if there are none."""
        if not self.values:
            raise IRError(f"@{self.func.name} has no weights to train")
        self.func.attrs["state"] = tuple(self.state)
        func = self.init.ret(*self.values)
        func.attrs["updates"] = tuple(range(len(self.values)))
        return func


def _require_room(layer: Layer) -> None:
    """Raise IRError where the sums of a quantised layer could overflow once its weights or its bias are trained."""
    op = layer.op
    bias = constant_of(op.operands[2]) if len(op.operands) > 2 else None
    if bias is None or bias.dtype != np.int32:
        return
    room = bias_room(taps_of(op.operands[1].type))
    worst = int(np.abs(bias.astype(np.int64)).max(initial=0))
    if worst > max(room, LIMITS[DType.I32][1]):
        raise IRError(
            f"`{layer.name}` cannot be trained: a bias of {worst} leaves its int32 accumulator no room",
            loc=op.loc,
            help=f"at most {room} beside that many products; leave this layer out of the plan",
        )


def _param_type(op: Op, type: TensorType) -> TensorType:
    """The type of a parameter: that of the constant, and for the bias of a quantised layer its scales, those of the
    input times those of the weights, for which model files have no place in the type."""
    x, w = (value.type.quant for value in op.operands[:2])
    if type.elem != DType.I32 or x is None or w is None:
        return type
    scales = tuple(float(np.float32(x.scale * scale)) for scale in w.scales)
    axis = 0 if w.per_axis else None
    return type.with_elem(QType(DType.I32, scales, (0,) * len(scales), axis))


def free_name(func: Func, name: str) -> str:
    """`name`, with a number behind it where an argument of `func` is called so."""
    taken = {arg.name for arg in func.args}
    unique, number = name, 1
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique
