"""Loss, gradients and updates behind the forward graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.clone import clone_func
from tinyir.ir.core import Block, Func, Module, Op, Value
from tinyir.ir.gradients import Backward, gradient
from tinyir.ir.ops.expand import constant_of, storage
from tinyir.ir.ops.func import Return
from tinyir.ir.ops.int_elementwise import Dequantize
from tinyir.ir.ops.nn_elementwise import Add
from tinyir.ir.ops.random import RNG_TYPE
from tinyir.ir.ops.tensor import Broadcast, Typed
from tinyir.ir.ops.train import Accept, OneHot
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.training import INIT, RATE, STEP, TARGET, state_args
from tinyir.ir.types import DType, TensorType
from tinyir.passes.int_updates import IntUpdates
from tinyir.passes.losses import add_loss
from tinyir.passes.optimizers import Optimizer, Slot, make_optimizer
from tinyir.passes.registry import Pass
from tinyir.passes.select_params import free_name
from tinyir.passes.step_options import StepOptions, TargetName


@dataclass(frozen=True)
class BuildBackward(StepOptions, Pass):
    """Add @train_step: the graph of @main, a loss, the gradients of the parameters, and their new values.

        func @main(%x, %w) {state = [1]}  ->  func @train_step(%x, %target, %lr, %w) {state = [3], updates = [1], ...} {
                                                ... the ops of @main, the loss, its gradients ...
                                                %q = train.sgd(%w, %dw, %lr)
                                                func.return(%loss, %q) }

    An optimiser that remembers adds to the state, in all functions: `%w_momentum`, at first 0. `target` is what the
    output is compared with: a class number (`label`), or a tensor of the shape of the output. Each parameter is updated
    where its gradient is complete. Values without a parameter before them get no gradient.

    Parameters of quantised layers stay integers: `rounding` says how a step becomes whole numbers ("stochastic" adds
    the state `rng`: seed and step), `qas` scales it as if the weights were real (int_updates.py).

    Needs: select-params; an output that is one f32 or int8 tensor, [1, classes] for a label.  Leaves: @main as it was
    but for arguments of further state, which it does not read.
    """

    name: ClassVar[str] = "build-backward"

    def run(self, module: Module) -> dict[str, int]:
        main = module.main
        if not state_args(main):
            raise IRError(f"@{main.name} has no parameters to train", help="run `select-params` first")
        integers = IntUpdates(self.rounding, self.qas)
        optimizer = make_optimizer(self.optimizer, self.hyper, integers)
        func = _with_rate(clone_func(main), self.target)
        ret = func.block.terminator
        params = state_args(func)
        integers.starts = _starts(module, params)
        memory = _Memory(module, func, optimizer, integers, params)
        (output,) = ret.operands
        forward = func.ops[:-1]
        ret.erase()
        b = Backward(func.block)
        output = _real(b, output)
        target = func.args[TARGET]
        if self.target == "label":
            target = b.add(OneHot(target, classes=output.type.shape[1], name="target"))
        loss = add_loss(self.loss, b, output, target)
        memory.advance(b)
        differentiate(b, func.block, loss, params, lambda param, grad: memory.update(b, param, grad, func.args[RATE]))
        b.insert(Return(loss, *memory.new_values(b)))
        func.attrs["updates"] = tuple(range(1, 1 + len(state_args(func))))
        drop_dead_ops(func)
        module.funcs[STEP] = func
        return {"forward ops": len(forward), "ops of a step": len(func.ops)}


def _starts(module: Module, params: Sequence[Value]) -> dict[Value, npt.NDArray[Any]]:
    """The first values of the parameters that have constant ones."""
    init = module.funcs.get(INIT)
    values = [constant_of(value) for value in init.outputs] if init else []
    return {param: value for param, value in zip(params, values, strict=False) if value is not None}


def add_state(module: Module, step: Func, slot: Slot) -> Value:
    """State in all functions of the program, by a name that none has. Returns the argument of the step. Raises IRError
    without @params_init."""
    name = free_name(step, slot.name)
    for func in (module.main, step):
        func.attrs["state"] = (*func.attrs["state"], len(func.args))
        arg = func.block.add_arg(slot.type, name)
    init = module.funcs.get(INIT)
    if init is None:
        raise IRError(f"there is no @{INIT} for what the optimiser remembers", help="run `select-params` first")
    ret = init.block.terminator
    b = Builder(init.block, before=ret)
    value = b.const(np.array(slot.init, slot.type.storage.numpy), name)
    if slot.type.shape:  # one number in flash, not as many as the parameter has
        value = b.add(Broadcast(value, shape=slot.type.shape, types=slot.type, name=name))
    outputs = [*ret.operands, value]
    ret.erase()
    init.block.append(Return(*outputs))
    init.attrs["updates"] = tuple(range(len(outputs)))
    return arg


def add_rng(module: Module, step: Func) -> Value:
    """The state that random words follow from."""
    step.attrs["rng"] = len(state_args(step))
    return add_state(module, step, Slot("rng", RNG_TYPE))


class _Memory:
    """The state of a program that trains: its parameters, and behind them what the optimiser remembers."""

    def __init__(
        self, module: Module, step: Func, optimizer: Optimizer, integers: IntUpdates, params: Sequence[Value]
    ) -> None:
        self._optimizer, self._integers = optimizer, integers
        self._params = list(params)
        self._slots = {param: [add_state(module, step, slot) for slot in optimizer.slots(param)] for param in params}
        self._shared = [add_state(module, step, slot) for slot in optimizer.shared()]
        if integers.draws_for(params):
            integers.rng = add_rng(module, step)
        self._advanced: list[Value] = []
        self._updated: dict[Value, Value] = {}

    def advance(self, b: Backward) -> None:
        """Give the shared state its new values."""
        self._advanced = self._optimizer.advance(b, self._shared)

    def update(self, b: Backward, param: Value, grad: Value, lr: Value) -> None:
        """Give `param` and its slots their new values."""
        slots = self._slots[param]
        grad = self._integers.gradient(b, param, grad)
        change = self._optimizer.change(b, param, grad, lr, slots, self._advanced)
        values = list(change.new)
        if slots or not param.type.storage.is_integer:  # an update of integers sees for itself that its step is finite
            values = b.insert(Accept(*change.old, *values, *change.probes, states=len(values))).results
        values = [self._integers.typed(b, param, values[0]), *values[1:]]
        for old, value in zip([param, *slots], values, strict=True):
            value.name = f"{old.name}.new"
            self._updated[old] = value

    def new_values(self, b: Backward) -> list[Value]:
        """New values of all state, in order."""
        slots = [slot for param in self._params for slot in self._slots[param]]
        return [*(self._updated[old] for old in (*self._params, *slots)), *self._advanced, *self._integers.next_rng(b)]


def _with_rate(func: Func, target: TargetName) -> Func:
    """`func` as @train_step, with arguments for target and learning rate behind the first one."""
    output = func.outputs[0].type
    known = output.elem == DType.F32 or (output.storage == DType.I8 and output.quant is not None)
    if len(func.outputs) != 1 or not known or len(func.args) != 1 + len(state_args(func)):
        raise IRError(f"@{func.name} cannot be trained: it needs one input and one output, f32 or quantised int8")
    if target == "label" and (len(output.shape) != 2 or output.shape[0] != 1):
        raise IRError(f"@{func.name} cannot be trained on labels: its output is {output}, not [1, classes]")
    given = TensorType((), DType.I32) if target == "label" else output.with_elem(DType.F32)
    block = func.block
    for index, (type, name) in enumerate([(given, "target"), (TensorType((), DType.F32), "lr")], TARGET):
        block.args.insert(index, Value(type, block, index, name))
    for index, arg in enumerate(block.args):
        arg.index = index
    attrs: dict[str, Any] = {"state": tuple(i + 2 for i in func.attrs["state"])}
    if target == "label":
        attrs |= {"by_value": (TARGET, RATE), "classes": output.shape[1]}
    else:
        attrs["by_value"] = (RATE,)
    return Func(STEP, block, attrs)


def _real(b: Backward, output: Value) -> Value:
    """The output in f32."""
    quant = output.type.quant
    if quant is None:
        return output
    op = output.defining_op
    stored = op.x if isinstance(op, Typed) else storage(b, output)
    types = output.type.with_elem(DType.F32)
    return b.add(Dequantize(stored, scale=quant.scale, zero_point=quant.zero_point, types=types))


def differentiate(
    b: Backward, block: Block, loss: Value, wrt: Sequence[Value], complete: Callable[[Value, Value], None]
) -> None:
    """Build with `b` the gradients of `loss`, which `block` computes, and tell `complete` each value of `wrt` with its
    gradient as soon as that is whole. Only ops on a way from `wrt` to `loss` are differentiated.

    Raises IRError for an op on the way that has no rule, and for a value of `wrt` that the loss does not depend on.
    """
    forward = list(block.ops)
    dependent = set(wrt)
    for op in forward:
        if any(value in dependent for value in op.operands):
            dependent.update(op.results)
    gradients: dict[Value, Value] = {loss: b.number(1)}
    readers = {value: sum(any(r in dependent for r in op.results) for op in value.users) for value in wrt}
    for op in reversed(forward):
        wants = tuple(value in dependent for value in op.operands)
        if any(wants):
            if op.results[0] in gradients:
                _hand_back(b, op, gradients.pop(op.results[0]), wants, gradients)
            _report(op, wrt, readers, gradients, complete)
    for value in wrt:
        if not value.uses:
            raise IRError(f"the loss does not depend on the parameter `{value.name}`")


def _hand_back(b: Backward, op: Op, g: Value, wants: tuple[bool, ...], gradients: dict[Value, Value]) -> None:
    """Add what `op` hands back to the gradients of its operands."""
    b.loc = op.loc
    for value, part in zip(op.operands, gradient(op, b, g, wants), strict=True):
        if part is not None:
            old = gradients.get(value)
            gradients[value] = part if old is None else b.add(Add(old, part))


def _report(
    op: Op,
    wrt: Sequence[Value],
    readers: dict[Value, int],
    gradients: dict[Value, Value],
    complete: Callable[[Value, Value], None],
) -> None:
    """Tell of the values that `op` was the first reader of, for which nothing more can come."""
    for value in dict.fromkeys(op.operands):
        if value in readers:
            readers[value] -= 1
            if readers[value] == 0:
                if value not in gradients:
                    raise IRError(f"the loss does not depend on the parameter `{value.name}`")
                complete(value, gradients.pop(value))
