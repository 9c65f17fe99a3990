"""What schedule primitives share: the error, the record of steps, finding and replacing loops.

A primitive is a function Kernel -> Kernel that keeps the meaning or raises ScheduleError with the reason. `@primitive`
appends the call to the kernel's `schedule`, so a schedule can be printed, stored and applied again (`apply`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Concatenate, ParamSpec, cast

from tinyir.diagnostics import TinyIRError
from tinyir.loops.ir import Body, For, If, Kernel, Param, Stmt
from tinyir.loops.walk import locals_of, loops_of


class ScheduleError(TinyIRError):
    """A schedule step that cannot be shown to keep the kernel's meaning."""


P = ParamSpec("P")
Step = Callable[..., Kernel]
PRIMITIVES: dict[str, Step] = {}
"""Every primitive by name."""


def primitive(function: Callable[Concatenate[Kernel, P], Kernel]) -> Callable[Concatenate[Kernel, P], Kernel]:
    """Register a primitive; its calls are recorded in the kernel."""

    @functools.wraps(function)
    def recorded(kernel: Kernel, *args: P.args, **kwargs: P.kwargs) -> Kernel:
        assert not kwargs, "schedule steps take positional arguments, so that they print"
        result = function(kernel, *args)  # type: ignore[call-arg]  # P.kwargs is empty
        step = f"{function.__name__}({', '.join(str(a) for a in args)})"
        return replace(result, schedule=(*kernel.schedule, step))

    PRIMITIVES[function.__name__] = recorded
    return cast(Callable[Concatenate[Kernel, P], Kernel], recorded)


def apply(kernel: Kernel, steps: tuple[str, ...]) -> Kernel:
    """Run recorded steps, such as `split(oc, 2, oco, oci)`. Raises ScheduleError for one that is unknown or refused."""
    for step in steps:
        match = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", step)
        if match is None or match[1] not in PRIMITIVES:
            raise ScheduleError(f"`{step}` is no schedule step", help=f"known: {', '.join(sorted(PRIMITIVES))}")
        words = [word.strip() for word in match[2].split(",") if word.strip()]
        args = [int(word) if re.fullmatch(r"-?\d+", word) else word for word in words]
        try:
            kernel = PRIMITIVES[match[1]](kernel, *args)
        except TypeError as error:
            raise ScheduleError(f"`{step}`: {error}") from None
    return kernel


def refuse(kernel: Kernel, step: str, reason: str) -> ScheduleError:
    """The error of a step that cannot be done."""
    return ScheduleError(f"{kernel.name}: cannot {step}: {reason}")


def find(kernel: Kernel, var: str) -> For:
    """The loop over `var`. Raises ScheduleError."""
    loops = loops_of(kernel.body)
    if var not in loops:
        raise refuse(kernel, f"find the loop `{var}`", f"there are {', '.join(loops) or 'none'}")
    return loops[var]


def param_of(kernel: Kernel, name: str) -> Param:
    """The parameter called `name`. Raises ScheduleError."""
    for p in kernel.params:
        if p.name == name:
            return p
    raise refuse(kernel, f"find the buffer `{name}`", f"there are {', '.join(p.name for p in kernel.params)}")


def replace_loop(kernel: Kernel, var: str, new: Callable[[For], Body]) -> Kernel:
    """The kernel with the loop over `var` replaced by what `new` makes of it."""

    def visit(body: Body) -> Body:
        result: list[Stmt] = []
        for stmt in body:
            match stmt:
                case For() if stmt.var == var:
                    result.extend(new(stmt))
                case For(body=inner):
                    result.append(For(stmt.var, stmt.extent, visit(inner)))
                case If(body=inner, orelse=orelse):
                    result.append(If(stmt.guards, visit(inner), visit(orelse)))
                case _:
                    result.append(stmt)
        return tuple(result)

    return kernel.with_body(visit(kernel.body))


def names_of(kernel: Kernel) -> set[str]:
    """The names of every loop, local and parameter; a new one must be none of them."""
    return {p.name for p in kernel.params} | set(locals_of(kernel.body)) | set(loops_of(kernel.body))


def fresh(taken: set[str], hint: str) -> str:
    """A name like `hint` that is not in `taken`, where it is put."""
    name, number = hint, 1
    while name in taken:
        name, number = f"{hint}_{number}", number + 1
    taken.add(name)
    return name


def require_new(kernel: Kernel, *names: str) -> None:
    """Raise ScheduleError if a name is taken, or given twice."""
    taken = names_of(kernel)
    for name in names:
        if name in taken:
            raise refuse(kernel, f"call something `{name}`", "the name is taken")
        taken.add(name)


def shapes_of(kernel: Kernel) -> dict[str, tuple[int, ...]]:
    return {p.name: p.shape for p in kernel.params}


def enclosing_loops(kernel: Kernel, var: str) -> list[str]:
    """The loops around the loop `var`, outermost first."""

    def search(body: Body, around: list[str]) -> list[str] | None:
        for stmt in body:
            if isinstance(stmt, For):
                if stmt.var == var:
                    return around
                found = search(stmt.body, [*around, stmt.var])
            elif isinstance(stmt, If):
                found = search(stmt.body, around) or search(stmt.orelse, around)
            else:
                found = None
            if found is not None:
                return found
        return None

    return search(kernel.body, []) or []


def inner_loops(loop: For) -> list[str]:
    """The loops inside a loop."""
    return list(loops_of(loop.body))
