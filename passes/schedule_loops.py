"""A schedule for every kernel."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from tinyir.diagnostics import warn
from tinyir.ir.builder import Builder
from tinyir.ir.core import Module
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import Level, schedule
from tinyir.loops.schedule import ScheduleError
from tinyir.loops.schedule_file import StoredSchedule, fingerprint, read_schedules, replay, write_schedules
from tinyir.passes.registry import Pass


@dataclass(frozen=True)
class ScheduleLoops(Pass):
    """Apply to each kernel the schedule for its kind (`loops/recipes`), and pack its constants as that says.

    `level` says what cycles may cost: `size`, `balanced` or `speed`. Kernels that have a schedule in the TOML file
    `file` get that one; where it was made for another kernel of the same name, or has none, a warning names the kernel,
    which gets the schedule for its kind. The schedules applied are written to the file `save`, which replayed as `file`
    gives the same kernels.

    Needs: lower-to-loops, no memory plan yet.  Leaves: kernels that compute the same, each with the list of its steps.
    A kernel that no recipe fits stays as it is.
    """

    name: ClassVar[str] = "schedule-loops"
    level: Level = "balanced"
    file: str | None = None
    save: str | None = None

    def run(self, module: Module) -> dict[str, int]:
        plain = {name: kernel for name, kernel in module.kernels.items() if isinstance(kernel, Kernel)}
        marks = {name: fingerprint(kernel) for name, kernel in plain.items()} if self.file or self.save else {}
        stored = self._stored(marks)
        kernels = {
            name: replay(kernel, stored[name], str(self.file)) if name in stored else schedule(kernel, self.level)
            for name, kernel in plain.items()
        }
        if self.save is not None:
            steps = {name: StoredSchedule(marks[name], kernel.schedule) for name, kernel in kernels.items()}
            write_schedules(steps, Path(self.save))
        packed = 0
        for func in module.funcs.values():
            for call in tuple(func.ops):  # constants are put between them
                if isinstance(call, LoopCall):
                    packed += pack_constants(call, kernels[call.kernel.name])
            drop_dead_ops(func)
        module.kernels.update({name: without_packings(kernel) for name, kernel in kernels.items()})
        scheduled = sum(kernels[name] is not plain[name] for name in plain)
        return {"scheduled kernels": scheduled, "stored schedules": len(stored), "packed constants": packed}

    def _stored(self, marks: dict[str, str]) -> dict[str, StoredSchedule]:
        """The schedules in `file` that fit the kernels with these fingerprints; warns of what does not."""
        if self.file is None:
            return {}
        found = read_schedules(Path(self.file))
        fits = {name: stored for name, stored in found.items() if marks.get(name) == stored.fingerprint}
        if not fits:
            raise ScheduleError(
                f"{self.file} has no schedule for any kernel of this program",
                notes=[f"the program has {_listed(marks)}", f"the file has {_listed(found)}"],
                help="schedules belong to a model and the options that shape its kernels, such as --io",
            )
        for reason, names in (
            ("was made for another kernel of the name", found.keys() & marks.keys() - fits.keys()),
            ("is missing", marks.keys() - found.keys()),
        ):
            if names:
                which = _listed([name for name in marks if name in names])
                warn(f"{self.file}: the schedule of {which} {reason}; -O {self.level} takes its place")
        if others := [name for name in found if name not in marks]:
            warn(f"{self.file}: the program has no kernel {_listed(others)}")
        return fits


def _listed(names: Collection[str], most: int = 6) -> str:
    shown = [f"`{name}`" for name in list(names)[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


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
