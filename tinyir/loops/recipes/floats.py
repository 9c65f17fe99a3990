"""Dense layers and convolutions in float32: sums side by side in registers, each in the order that its op has."""

from __future__ import annotations

from tinyir.loops.ir import Kernel
from tinyir.loops.recipes.blocks import block_size, has_guards, loops, require
from tinyir.loops.recipes.gradient import SIDE, finish, plane_input, plane_limit, side_by_side, total_scratch
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import one_pixel_loop, staged_rows
from tinyir.loops.schedule import jam, reorder, share, split

ROWS = (8, 7, 6, 5, 4, 3, 2)
"""Sums of a dense layer in registers: more than VMLA has cycles, if that divides the rows."""


def float_dense(kernel: Kernel, policy: Policy) -> Kernel:
    """Rows of weights side by side: what is read of the input serves them all."""
    nest = loops(kernel)
    require("o" in nest and "i" in nest, "one sum, or sums of one product")
    kernel = split(kernel, "o", block_size(nest["o"].extent, *ROWS), "oo", "oi")
    return finish(share(jam(kernel, "oi"), "oo"))


def dense_gradient(kernel: Kernel, policy: Policy) -> Kernel:
    """What a dense layer hands back: the elements of a row side by side."""
    row = next((v for v in ("i1", "i") if v in loops(kernel)), "")
    require(bool(row), "one column")
    kernel = split(kernel, row, block_size(loops(kernel)[row].extent, *ROWS), f"{row}o", f"{row}i")
    return finish(share(jam(kernel, f"{row}i"), f"{row}o"))


def float_convolution(kernel: Kernel, policy: Policy) -> Kernel:
    """Blocks of pixels of a row by output channels. The rows under a row of windows are copied with their margins if
    there are any and the scratch holds them."""
    require("c" in loops(kernel), "one channel")
    if has_guards(kernel):
        require("h" in loops(kernel), "no image")
        kernel, pixel = staged_rows(kernel, "f32"), "w"
        require(total_scratch(kernel) <= policy.plane_bytes, "more than the scratch holds")
    else:
        kernel, pixel = one_pixel_loop(kernel)
    inner = ["ci"]
    kernel = split(kernel, "c", block_size(loops(kernel)["c"].extent, SIDE, 3, 2), "co", "ci")
    if pixel in loops(kernel):
        size = block_size(loops(kernel)[pixel].extent, SIDE, 3, 2)
        kernel = split(kernel, pixel, size, f"{pixel}o", f"{pixel}i")
        kernel = reorder(kernel, "co", f"{pixel}o", f"{pixel}i", "ci")
        inner = [f"{pixel}i", "ci"]
    return finish(share(side_by_side(kernel, inner), "co"))


def float_depthwise(kernel: Kernel, policy: Policy) -> Kernel:
    """One channel of the image at a time is copied with its margins, then the pixels of a row stand side by side."""
    nest = loops(kernel)
    require({"h", "w", "c"} <= nest.keys() and not {"n", "m", "ic"} & nest.keys(), "a line, or several filters")
    kernel = plane_input(kernel, {v: v for v in nest}, "", "x")
    require(total_scratch(kernel) <= plane_limit(kernel, policy, "y"), "more than the scratch holds")
    return finish(kernel)
