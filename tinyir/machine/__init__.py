"""What code costs on a Cortex-M7: instructions in the abstract, and the pipeline that issues them.

Knows nothing of the compiler. The profiler prices executed code with it, a scheduler the orders it thinks of:

    body = [make.load("x", "in"), make.pack("w", "packed"), make.mac("acc", "w", "x"), make.branch()]
    cost(body, loop=True)

Every rule, with its public source, is in docs/cycle_model.md.
"""

from tinyir.machine.cost import Steady, cost, steady_state, straight_line
from tinyir.machine.instr import FLAGS, Access, MachineInstr, OpClass, Reg
from tinyir.machine.pipeline import Pipeline

__all__ = [
    "FLAGS",
    "Access",
    "MachineInstr",
    "OpClass",
    "Pipeline",
    "Reg",
    "Steady",
    "cost",
    "steady_state",
    "straight_line",
]
