"""Graph ops to kernels of the loop IR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Symbol, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const, LoopCall, Return
from tinyir.ir.ops.tensor import Slice
from tinyir.ir.rewrite import drop_dead_ops, replace_op
from tinyir.ir.views import view_root
from tinyir.loops.lower import lower
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class LowerToLoops(Pass):
    """Give every op and every group a kernel, and call it: `int.dense(...)` -> `loop.call(...) {kernel = @dense_0}`.

    Needs: no op on quantised types (legalize-quant).  Leaves: constants, views, calls and the return. An output that is
    an input, a constant, or handed out twice gets a copy, so that every output has a place of its own.
    """

    name: ClassVar[str] = "lower-to-loops"

    def run(self, module: Module) -> dict[str, int]:
        for func in module.funcs.values():
            copies = _give_outputs_places(func)
            for op in list(func.ops):
                if not (isinstance(op, Const) or op.has(Trait.VIEW) or op.has(Trait.TERMINATOR)):
                    _lower_op(module, op)
            drop_dead_ops(func)
        return {"kernels": len(module.kernels), "copied outputs": copies}


def _lower_op(module: Module, op: Op) -> None:
    """Replace one op by the call of its kernel."""
    assert op.block is not None
    name = _kernel_name(module, op)
    lowered = lower(op, name)
    builder = Builder(op.block, before=op, loc=op.loc)
    operands = [
        _operand(builder, lowered.bindings[p.name], f"{name}_{p.name}") for p in lowered.kernel.by_role("in", "const")
    ]
    call = LoopCall(
        *operands,
        kernel=Symbol(name),
        work=op.macs(),
        types=[value.type for value in op.results],
        loc=op.loc,
        name=op.results[0].name,
    )
    module.kernels[name] = lowered.kernel
    builder.insert(call)
    replace_op(op, call.results)


def _operand(builder: Builder, binding: Value | npt.NDArray[Any], name: str) -> Value:
    return binding if isinstance(binding, Value) else builder.const(np.ascontiguousarray(binding), name)


def _kernel_name(module: Module, op: Op) -> str:
    """The name of the op's first result, or of its kind; made unique."""
    ops = op.region.ops if op.region is not None else [op]
    base = op.results[0].name or next((o.results[0].name for o in ops if o.results and o.results[0].name), "")
    base = base or ops[0].opname.partition(".")[2]
    name, number = base, 1
    while name in module.kernels:
        name, number = f"{base}_{number}", number + 1
    return name


def _give_outputs_places(func: Func) -> int:
    """Copy each output that shares its bytes with an input, a constant or an output before it. Returns how many."""
    ret = func.block.terminator
    assert isinstance(ret, Return)
    seen: set[Value] = set()
    copies = 0
    for index, value in enumerate(ret.operands):
        root = view_root(value)
        if root in seen or root.defining_op is None or isinstance(root.defining_op, Const):
            builder = Builder(func.block, before=ret, loc=ret.loc)
            shape = value.type.shape
            copy = Slice(value, begin=(0,) * len(shape), size=shape, stride=(1,) * len(shape), types=value.type)
            copy.result.name = f"output{index}"
            ret.set_operand(index, builder.add(copy))
            copies += 1
        seen.add(view_root(ret.operands[index]))
    return copies
