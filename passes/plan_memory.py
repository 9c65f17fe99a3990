"""One static arena for everything a program touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.training import arena_args, entries, zip_updates
from tinyir.ir.views import view_root
from tinyir.loops.ir import Kernel
from tinyir.loops.overlap import clearance
from tinyir.passes.arena import Buffer, Overlap, Plan, plan, validate
from tinyir.passes.arena_picture import picture
from tinyir.passes.registry import Pass

ARENA_ALIGN = 8
"""What the caller must align the arena to, in bytes."""


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Give every tensor and every scratch buffer an offset in the arena, inputs and outputs included.

    Lifetimes are steps of the program (one for each loop.call); a view lives in the place of what it is a view of.
    Where the last reader of a tensor writes another one, the two may share bytes as far as that kernel's own loads and
    stores permit (`loops/overlap.py`). Offsets come from an exact search (`arena.py`).

    Parameters that are trained, and numbers passed by value, are the caller's and have no place in the arena (offset
    -1). A parameter's new value is written over the old one; an IRError where that is read later.

    Needs: lower-to-loops; for a module that trains reorder-updates.  Leaves: `offsets` and `scratch` on each loop.call,
    and on each function `input_offsets`, `arena_bytes`, `arena_align` and `arena_lower_bound`.
    """

    name: ClassVar[str] = "plan-memory"

    def run(self, module: Module) -> dict[str, int]:
        plans = [_plan(module, func) for func in entries(module)]
        return {
            "arena bytes": max(solution.peak for solution in plans),
            "lower bound": max(solution.lower_bound for solution in plans),
        }


def _plan(module: Module, func: Func) -> Plan:
    """Plan one function and write the plan into it."""
    problem = ArenaProblem(module, func)
    solution = plan(problem.buffers, problem.overlaps)
    validate(problem.buffers, problem.overlaps, solution.offsets)
    problem.record(solution)
    return solution


class ArenaProblem:
    """The buffers of a lowered function, when they live, and which may share bytes."""

    def __init__(self, module: Module, func: Func) -> None:
        self.func = func
        self.calls = [op for op in func.ops if isinstance(op, LoopCall)]
        self.kernels: dict[LoopCall, Kernel] = {call: kernel_of(module, call) for call in self.calls}
        self.step = {call: i for i, call in enumerate(self.calls)}
        self.names: dict[Value, str] = {}
        self.buffers: list[Buffer] = []
        self.overlaps: list[Overlap] = []
        self.state = {view_root(new): old for old, new in zip_updates(func)}
        inside = arena_args(func)
        for i, arg in enumerate(func.args):
            if arg in inside:
                self._add_tensor(arg, f"input{i}", -1)
        for call in self.calls:
            for i, value in enumerate(call.results):
                if value in self.state:
                    self._check_update(call, value)
                else:
                    self._add_tensor(value, _result_name(call, i), self.step[call])
            for p in self.kernels[call].by_role("scratch"):
                t = self.step[call]
                self.buffers.append(Buffer(_scratch_name(call, p.name, t), p.bytes, 4, t, t))
        for call in self.calls:
            self._add_overlaps(call)

    def _add_tensor(self, value: Value, name: str, first: int) -> None:
        taken, unique, number = set(self.names.values()), name, len(self.names)
        while unique in taken:
            unique, number = f"{name}.{number}", number + 1
        self.names[value] = unique
        bytes = value.type.bytes
        self.buffers.append(Buffer(unique, bytes, min(4, bytes) if bytes in (1, 2) else 4, first, self.last_use(value)))

    def _check_update(self, call: LoopCall, new: Value) -> None:
        """Raise IRError unless `call` may write the parameter `new` over its old value."""
        old, kernel = self.state[new], self.kernels[call]
        if old is None:
            return
        last = self.last_use(old)
        help = "run `reorder-updates` before `lower-to-loops`"
        if last > self.step[call]:
            raise call.fail(f"replaces the parameter `{old.name}`, which is read again by step {last}", help)
        results = dict(zip(call.results, kernel.by_role("out"), strict=True))
        for operand, source in zip(call.operands, kernel.by_role("in", "const"), strict=True):
            if view_root(operand) is old and not clearance(kernel, source.name, results[new].name).in_place:
                raise call.fail(f"writes the parameter `{old.name}` while it still reads the old one")

    def last_use(self, value: Value) -> int:
        """The last step at which the value, or a view of it, is read; one past the end for an output."""
        own = value.defining_op
        last = self.step[own] if isinstance(own, LoopCall) else -1
        for user in value.users:
            if isinstance(user, LoopCall):
                last = max(last, self.step[user])
            elif user.opname == "func.return":
                last = len(self.calls)
            else:
                last = max(last, *(self.last_use(view) for view in user.results))
        return last

    def _add_overlaps(self, call: LoopCall) -> None:
        """Pairs of an input that dies here and an output that is born here."""
        kernel, t = self.kernels[call], self.step[call]
        sources = kernel.by_role("in", "const")
        for operand, source in zip(call.operands, sources, strict=True):
            root = view_root(operand)
            if root not in self.names or self.last_use(root) != t:
                continue
            for value, result in zip(call.results, kernel.by_role("out"), strict=True):
                if value in self.state:
                    continue
                gap = clearance(kernel, source.name, result.name)
                self.overlaps.append(Overlap(self.names[root], self.names[value], gap.first, gap.last, gap.in_place))

    def record(self, solution: Plan) -> None:
        """Write the solution into the function."""
        for call in self.calls:
            t = self.step[call]
            call.attrs["offsets"] = tuple(self._offset(solution, v) for v in call.results)
            call.attrs["scratch"] = tuple(
                solution.offsets[_scratch_name(call, p.name, t)] for p in self.kernels[call].by_role("scratch")
            )
        self.func.attrs["input_offsets"] = tuple(self._offset(solution, arg) for arg in self.func.args)
        self.func.attrs["arena_bytes"] = solution.peak
        self.func.attrs["arena_align"] = ARENA_ALIGN
        self.func.attrs["arena_lower_bound"] = solution.lower_bound

    def _offset(self, solution: Plan, value: Value) -> int:
        """Where `value` is, -1 outside the arena."""
        return solution.offsets[self.names[value]] if value in self.names else -1

    def recorded(self) -> Plan:
        """The solution that the function holds."""
        offsets: dict[str, int] = {}
        for call in self.calls:
            t = self.step[call]
            placed = zip(call.results, call.offsets, strict=True)
            offsets.update((self.names[v], offset) for v, offset in placed if v in self.names)
            for p, offset in zip(self.kernels[call].by_role("scratch"), call.scratch, strict=True):
                offsets[_scratch_name(call, p.name, t)] = offset
        placed = zip(self.func.args, self.func.attrs["input_offsets"], strict=True)
        offsets.update((self.names[arg], offset) for arg, offset in placed if arg in self.names)
        ordered = {buffer.name: offsets[buffer.name] for buffer in self.buffers}
        peak, bound = self.func.attrs["arena_bytes"], self.func.attrs["arena_lower_bound"]
        return Plan(ordered, peak, bound, None, "recorded")


def arena_picture(module: Module) -> str:
    """The arena of a planned module over time, as text. Needs: plan-memory."""
    problem = ArenaProblem(module, module.main)
    return picture(problem.buffers, problem.recorded())


def kernel_of(module: Module, call: LoopCall) -> Kernel:
    """The kernel a call runs."""
    kernel = module.kernels[call.kernel.name]
    assert isinstance(kernel, Kernel)
    return kernel


def _result_name(call: LoopCall, index: int) -> str:
    name = call.results[index].name or call.kernel.name
    return name if index == 0 else f"{name}.{index}"


def _scratch_name(call: LoopCall, param: str, step: int) -> str:
    return f"{call.kernel.name}.{param}@{step}"
