"""One candidate for each kernel: the fastest, and within limits those that cost the fewest cycles for the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tinyir.diagnostics import LimitError


@dataclass(frozen=True, order=True)
class Measured:
    """A candidate: cycles and bytes of flash of all kernels that use it, and bytes of RAM that one needs alone."""

    cycles: float
    flash_bytes: int
    ram_bytes: int
    digest: str


@dataclass(frozen=True)
class Demand:
    """What a program needs: bytes of arena in all, and alive during each group's kernels; bytes of flash."""

    arena_bytes: int
    live_bytes: Mapping[str, int]
    flash_bytes: int


Choice = Mapping[str, Measured]
"""By group: kernels of equal text."""


def choose(
    groups: Mapping[str, Sequence[Measured]],
    demand: Callable[[Choice], Demand],
    max_arena: int | None,
    max_flash: int | None,
) -> dict[str, Measured]:
    """The fastest candidates for which `demand` stays within the limits (bytes; None is no limit).

    Where it does not, the candidate of one group is dropped, with all that need as much or more of what is short, for
    the one that costs the fewest cycles per byte gained; this repeats. For RAM only groups count during whose kernels
    too much is alive. Raises LimitError when nothing is left to drop.
    """
    left = {name: sorted(group) for name, group in groups.items()}
    while True:
        chosen = {name: group[0] for name, group in left.items()}
        needed = demand(chosen)
        if max_arena is not None and needed.arena_bytes > max_arena:
            most = max(needed.live_bytes.values(), default=0)
            full = {name for name, live in needed.live_bytes.items() if live > min(max_arena, most - 1)}
            left = _dropped(left, full, _ram) or _give_up("arena", max_arena)
        elif max_flash is not None and needed.flash_bytes > max_flash:
            left = _dropped(left, set(left), _flash) or _give_up("flash", max_flash)
        else:
            return chosen


Left = dict[str, list[Measured]]


def _ram(one: Measured) -> int:
    return one.ram_bytes


def _flash(one: Measured) -> int:
    return one.flash_bytes


def _dropped(left: Left, eligible: set[str], size: Callable[[Measured], int]) -> Left | None:
    """The candidates less those of one group that are as large as its fastest; None where there is none smaller."""
    steps = [
        ((other.cycles - group[0].cycles) / (size(group[0]) - size(other)), name)
        for name, group in left.items()
        if name in eligible
        for other in group
        if size(other) < size(group[0])
    ]
    if not steps:
        return None
    _, name = min(steps)
    return left | {name: [one for one in left[name] if size(one) < size(left[name][0])]}


def _give_up(what: str, granted: int) -> Left:
    raise LimitError(f"no measured schedules keep within {granted:,} bytes of {what}")
