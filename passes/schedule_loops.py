"""A schedule for every kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tinyir.ir.builder import Builder
from tinyir.ir.core import Module
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import Level, schedule
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class ScheduleLoops(Pass):
    """Apply to each kernel the schedule for its kind (`loops/recipes.py`), and pack its constants as that says.

    `level` says what cycles may cost: `size`, `balanced` or `speed`.

    Needs: lower-to-loops, no memory plan yet.  Leaves: kernels that compute the same, each with the list of its steps.
    A kernel that no recipe fits stays as it is.
    """

    name: ClassVar[str] = "schedule-loops"
    level: Level = "balanced"

    def run(self, module: Module) -> dict[str, int]:
        scheduled = packed = 0
        for func in module.funcs.values():
            for call in tuple(func.ops):  # constants are put between them
                if isinstance(call, LoopCall):
                    old = module.kernels[call.kernel.name]
                    assert isinstance(old, Kernel)
                    kernel = schedule(old, self.level)
                    scheduled += kernel != old
                    packed += pack_constants(call, kernel)
                    module.kernels[call.kernel.name] = without_packings(kernel)
            drop_dead_ops(func)
        return {"scheduled kernels": scheduled, "packed constants": packed}


def pack_constants(call: LoopCall, kernel: Kernel) -> int:
    """Lay the constants of a call out as the kernel wants them. Returns how many."""
    assert call.block is not None
    builder = Builder(call.block, before=call, loc=call.loc)
    count = 0
    for index, param in enumerate(kernel.by_role("in", "const")):
        if param.packing is not None:
            old = call.operands[index]
            array = constant_of(old)
            assert array is not None, f"{kernel.name}: {param.name} is packed, but no constant"
            call.set_operand(index, builder.const(param.packing.apply(array), f"{old.name}_packed" if old.name else ""))
            count += 1
    return count


def without_packings(kernel: Kernel) -> Kernel:
    return replace(kernel, params=tuple(replace(p, packing=None) for p in kernel.params))
