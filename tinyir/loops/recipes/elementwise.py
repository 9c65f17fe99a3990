"""Elementwise kernels, and all that have no recipe of their own."""

from __future__ import annotations

from tinyir.loops.ir import For, Kernel
from tinyir.loops.recipes.blocks import loops, require
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import flat_tensors
from tinyir.loops.schedule import fuse, simplify, unroll


def flat_elementwise(kernel: Kernel, policy: Policy) -> Kernel:
    """One loop over all elements, where every tensor is read and written in the order of memory. The same at every
    price, so that `policy` has no say."""
    kernel = flat_tensors(kernel)
    while len(nest := _outer_nest(kernel)) > 1:
        kernel = fuse(kernel, nest[-2], nest[-1], f"{nest[-2]}{nest[-1]}")
    return kernel


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
