"""A pass of your own: `tinyir opt model.tflite --load-pass examples/drop_softmax.py --passes drop-softmax`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.core import Module
from tinyir.ir.ops.nn_window import Softmax
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class DropSoftmax(Pass):
    """Return the scores that a final softmax is given: the largest is at the same place, and that is all a
    classifier asks for.

        %y = nn.softmax(%x)  func.return(%y)   ->   func.return(%x)

    Needs: the nn level.  Leaves: no output that is a softmax.  Skips outputs whose index is not below `outputs`.
    """

    name: ClassVar[str] = "drop-softmax"
    outputs: int = 1

    def run(self, module: Module) -> dict[str, int]:
        end = module.main.block.terminator
        dropped = 0
        for i, value in enumerate(end.operands[: self.outputs]):
            if isinstance(value.owner, Softmax):
                end.set_operand(i, value.owner.x)
                dropped += 1
        drop_dead_ops(module.main)
        return {"softmax": dropped}
