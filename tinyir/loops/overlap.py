"""How far apart a kernel's input and output must lie when they share memory.

An output element may overwrite an input element once that element's last read is past. From the kernel's own loads and
stores follow the displacements `offset(output) - offset(input)` at which some store would come too early; everything
else is safe, whatever the kernel: elementwise ops work in place, a depthwise convolution that stages a whole plane
does, and a pointwise convolution may write just behind where it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.loops.affine import Affine
from tinyir.loops.analysis import Access, accesses, extents_of
from tinyir.loops.ir import Kernel

Array = npt.NDArray[Any]

MAX_INSTANCES = 8_000_000
"""Accesses with more combinations of index and time than this are not traced; the pair is then kept apart."""


@dataclass(frozen=True)
class Clearance:
    """Displacements in bytes, offset(output) - offset(input): forbidden from `first` to `last`, both included, except
    0 where `in_place`. `first > last` forbids nothing."""

    first: int
    last: int
    in_place: bool


def clearance(kernel: Kernel, source: str, result: str) -> Clearance:
    """The clearance between an `in` and an `out` parameter; without better knowledge they must not overlap at all."""
    apart = Clearance(1 - kernel.param(result).bytes, kernel.param(source).bytes - 1, False)
    found = accesses(kernel, source, result)
    reads = [a for a in found if a.buffer == source]
    writes = [a for a in found if a.buffer == result and a.is_store]
    if any(a.at is None for a in reads):
        return apart
    if any(a.buffer == result and not a.is_store for a in found):
        return apart
    last_read = _times(kernel, reads, source, latest=True)
    first_write = _times(kernel, writes, result, latest=False)
    if last_read is None or first_write is None:
        return apart
    return _forbidden(last_read, first_write)


def _times(kernel: Kernel, found: list[Access], name: str, latest: bool) -> Array | None:
    """For each byte of a buffer the time of its last read (-1 if never) or first write; None where it costs too much
    to know."""
    param = kernel.param(name)
    extents = extents_of(kernel)
    never = -1 if latest else np.iinfo(np.int64).max
    times = np.full(param.elements, never, np.int64)
    update = np.maximum if latest else np.minimum
    for access in found:
        traced = _trace(access, extents, latest)
        if traced is None:
            return None
        at, when = traced
        for lane in range(access.lanes):
            inside = (at + lane >= 0) & (at + lane < param.elements)
            update.at(times, (at + lane)[inside], when[inside])
    return np.repeat(times, param.dtype.bytes)


def _trace(access: Access, extents: dict[str, int], latest: bool) -> tuple[Array, Array] | None:
    """Every element an access touches, each with the time that counts: the latest for a read, the first for a store.
    Loops that do not move the element stand at their end, or their start."""
    assert access.at is not None
    moving = [v for v in access.loops if access.at.coef(v)]
    if prod(extents[v] for v in moving) > MAX_INSTANCES:
        return None
    still = {v: Affine.of(extents[v] - 1 if latest else 0) for v in access.loops if v not in moving}
    time = access.time.substitute(still)
    at, when = np.array([access.at.const], np.int64), np.array([time.const], np.int64)
    for v in moving:
        steps = np.arange(extents[v], dtype=np.int64)
        at = (at[:, None] + access.at.coef(v) * steps).reshape(-1)
        when = (when[:, None] + time.coef(v) * steps).reshape(-1)
    return at, when


def _forbidden(last_read: Array, first_write: Array) -> Clearance:
    """The smallest and largest displacement at which a byte is written before its last read."""
    order = np.argsort(last_read, kind="stable")
    sorted_reads = last_read[order]
    # For each place in the order, the smallest and largest address among the reads from there on.
    lowest = np.minimum.accumulate(order[::-1])[::-1]
    highest = np.maximum.accumulate(order[::-1])[::-1]
    later = np.searchsorted(sorted_reads, first_write, side="right")
    written = np.flatnonzero(later < len(order))
    if written.size == 0:
        return Clearance(0, -1, True)
    first = int((lowest[later[written]] - written).min())
    last = int((highest[later[written]] - written).max())
    shared = min(len(last_read), len(first_write))
    in_place = bool((last_read[:shared] <= first_write[:shared]).all())
    return Clearance(first, last, in_place)
