"""Integer inputs and outputs for a model that was given float ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.nn_quantize import Dequantize, Quantize
from tinyir.ir.rewrite import drop_dead_ops, replace_op
from tinyir.ir.types import DType
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class StripIo(Pass):
    """Drop the conversions at the ends of @main, so that the caller hands in and gets back the stored integers.

        @main(%x: f32) { %q = nn.quantize(%x) ... %y = nn.dequantize(%r)  func.return(%y) }
        ->  @main(%x: q8) { ...  func.return(%r) }

    With `io=model` nothing changes.

    Needs: the nn level.  Leaves: no float input that is only quantised, always to one type, and no output that is a
    dequantised value.  Skips a float input that anything else reads.
    """

    name: ClassVar[str] = "strip-io"
    io: Literal["int8", "model"] = "int8"

    def run(self, module: Module) -> dict[str, int]:
        if self.io == "model":
            return {}
        func = module.main
        inputs = sum(_strip_input(arg) for arg in func.args)
        outputs = _strip_outputs(func)
        drop_dead_ops(func)
        return {"inputs": inputs, "outputs": outputs}


def _strip_input(arg: Value) -> bool:
    """Give `arg` the type it is quantised to, if that is all that happens to it."""
    quantizes = [user for user in arg.users if isinstance(user, Quantize)]
    types = {op.type for op in quantizes}
    if arg.type.elem != DType.F32 or len(quantizes) != len(arg.users) or len(types) != 1:
        return False
    arg.type = types.pop()
    for op in quantizes:
        replace_op(op, [arg])
    return True


def _strip_outputs(func: Func) -> int:
    """Return what is dequantised instead of the result. The number of outputs this changed."""
    end = func.block.terminator
    stripped = 0
    for i, value in enumerate(end.operands):
        if isinstance(value.owner, Dequantize):
            end.set_operand(i, value.owner.x)
            stripped += 1
    return stripped
