"""Gradients in float32: sums side by side in registers, each in the order that its op has.

No fused multiply-add: NumPy rounds products. Reordering loops over elements and writing copies of them side by side
leaves every sum as it is.
"""

from __future__ import annotations

from tinyir.loops.ir import Kernel
from tinyir.loops.recipes.blocks import (
    block_size,
    extent_of,
    has_guards,
    loops,
    parts_of,
    require,
    tables_ahead,
)
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import one_pixel_loop
from tinyir.loops.schedule import chain, collapse, jam, reorder, share, simplify, split, unroll

SIDE = 4
"""Sums in a register block: that many pixels by that many channels, of the 32 registers of the FPU."""


def pointwise_input(kernel: Kernel, policy: Policy) -> Kernel:
    """What a 1x1 convolution hands back to its input: blocks of pixels by channels; a weight that is int8 is converted
    once for the pixels of a block."""
    nest = loops(kernel)
    require(not {"kh", "kw"} & nest.keys() and {"c", "o"} <= nest.keys(), "no 1x1 convolution")
    require(not has_guards(kernel) and sum(v.startswith("o") for v in nest) == 1, "windows with gaps")
    kernel, pixel = one_pixel_loop(kernel)
    kernel = split(kernel, "c", block_size(extent_of(kernel, "c"), SIDE, 3, 2), "co", "ci")
    if not pixel:
        return finish(share(jam(kernel, "ci"), "co"))
    kernel, parts = parts_of(kernel, pixel, SIDE)
    for var, end, size in parts:
        kernel = split(kernel, var, size, f"{var}o", f"{var}i")
        kernel = reorder(kernel, f"co{end}", f"{var}o", f"{var}i", f"ci{end}")
        kernel = share(jam(jam(kernel, f"ci{end}"), f"{var}i"), f"{var}o")
        kernel = tables_ahead(kernel, f"{var}o")
        kernel = written_twice(kernel, f"o{end}")
    return finish(kernel)


def written_twice(kernel: Kernel, var: str) -> Kernel:
    """Two iterations of a loop written out."""
    if extent_of(kernel, var) % 2 or extent_of(kernel, var) < 4:
        return kernel
    return unroll(split(kernel, var, 2, f"{var}n", f"{var}m"), f"{var}m")


def finish(kernel: Kernel) -> Kernel:
    """What every recipe ends with."""
    return chain(collapse(simplify(kernel)))
