"""What a kernel really does, in order: every load and store, recorded while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tests.loops.kernels import Arrays, initial
from tests.memory import Watched
from tinyir.loops.interp import Buffer, execute
from tinyir.loops.ir import Kernel


@dataclass(frozen=True, order=True)
class Event:
    """A load or store of `lanes` elements from `at` on."""

    buffer: str
    at: int
    lanes: int
    is_store: bool


def trace(kernel: Kernel, arrays: Arrays) -> list[Event]:
    """Every load and store of one run, in order."""
    events: list[Event] = []

    def seen(name: str, at: int, lanes: int, is_store: bool) -> None:
        events.append(Event(name, at, lanes, is_store))

    given = initial(kernel, arrays)
    buffers = {p.name: Buffer(p, given.get(p.name)) for p in kernel.params}
    for name, buffer in buffers.items():
        buffer.data = Watched(buffer.data, partial(seen, name))
    execute(kernel, buffers)
    return events
