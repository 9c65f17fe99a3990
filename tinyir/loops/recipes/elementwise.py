"""Elementwise kernels, and all that have no recipe of their own."""

from __future__ import annotations

from tinyir.loops.ir import For, Kernel
from tinyir.loops.recipes.blocks import loops, require
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import MAX_CHANNELS_WRITTEN_OUT, flat_tensors
from tinyir.loops.schedule import fuse, hoist, share, simplify, unroll
from tinyir.loops.walk import loops_of


def flat_elementwise(kernel: Kernel, policy: Policy) -> Kernel:
    """One loop over all elements, where every tensor is read and written in the order of memory. The same at every
    price, so that `policy` has no say."""
    kernel = flat_tensors(kernel)
    while len(nest := _outer_nest(kernel)) > 1:
        kernel = fuse(kernel, nest[-2], nest[-1], f"{nest[-2]}{nest[-1]}")
    return kernel


def pixels(kernel: Kernel, policy: Policy) -> Kernel:
    """An image of few channels, pixel by pixel: they are written out, and share what does not depend on them; what only
    depends on the row is read once a row."""
    nest = loops(kernel)
    require({"w", "c"} <= nest.keys() and nest["c"].extent <= MAX_CHANNELS_WRITTEN_OUT, "many channels")
    require(not loops_of(nest["c"].body) and nest["w"].body == (nest["c"],), "channels that lie apart")
    return hoist(share(unroll(kernel, "c"), "w"), "w")


def window(kernel: Kernel, policy: Policy) -> Kernel:
    """A window that is summed or searched: its taps, or those of a row, are written out if they are few."""
    nest = loops(kernel)
    taps = [v for v in ("kw", "kh") if v in nest]
    require(bool(taps), "no window")
    count = 1
    for tap in taps:
        count *= nest[tap].extent
        if count <= policy.written_taps:
            kernel = unroll(kernel, tap)
    return simplify(kernel)


def _outer_nest(kernel: Kernel) -> list[str]:
    """The loops that stand alone in one another, from the outside."""
    names = []
    body = kernel.body
    while len(body) == 1 and isinstance(body[0], For):
        names.append(body[0].var)
        body = body[0].body
    return names
