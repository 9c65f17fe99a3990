"""Gradients in float32: sums side by side in registers, each in the order that its op has.

No fused multiply-add: NumPy rounds products. Reordering loops over elements and writing copies of them side by side
leaves every sum as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyir.ir.types import DType
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes.blocks import (
    block_size,
    by_fours,
    extent_of,
    go_on_by,
    has_guards,
    loops,
    parts_of,
    require,
    tables_ahead,
)
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import inside, lifted, one_pixel_loop, split_margins
from tinyir.loops.schedule import (
    chain,
    collapse,
    flatten,
    hoist,
    jam,
    order,
    pack,
    reorder,
    share,
    simplify,
    split,
    stage,
    tensorize,
    unroll,
)

SIDE = 4
"""Sums in a register block: that many pixels by that many channels, of the 32 registers of the FPU."""

MOST_TAPS = 9
"""Of windows whose weights stay in registers for a whole plane."""


def pointwise_input(kernel: Kernel, policy: Policy) -> Kernel:
    """What a 1x1 convolution hands back to its input: blocks of pixels by channels; a weight that is int8 is converted
    once for the pixels of a block."""
    nest = loops(kernel)
    require(not {"kh", "kw"} & nest.keys() and {"c", "o"} <= nest.keys(), "no 1x1 convolution")
    require(not has_guards(kernel) and sum(v.startswith("o") for v in nest) == 1, "windows with gaps")
    kernel, pixel = one_pixel_loop(kernel)
    kernel, channels = as_forward(kernel)
    if is_narrow(kernel):
        return in_pairs(kernel, pixel, channels)
    if not pixel:
        return finish(share(side_by_side(kernel, channels), "co"))
    kernel, parts = parts_of(kernel, pixel, SIDE)
    for var, end, size in parts:
        inner = [f"{c}{end}" for c in channels]
        kernel = split(kernel, var, size, f"{var}o", f"{var}i")
        kernel = reorder(kernel, f"co{end}", f"{var}o", f"{var}i", *inner)
        kernel = share(side_by_side(kernel, [f"{var}i", *inner]), f"{var}o")
        kernel = tables_ahead(kernel, f"{var}o")
        kernel = unroll(kernel, f"om{end}") if f"om{end}" in loops(kernel) else kernel
    return finish(kernel)


def as_forward(kernel: Kernel) -> tuple[Kernel, list[str]]:
    """The channels in blocks, and constant weights as words of the forward pass have them (`interleave_channels`), so
    that both read one array. Returns the loops over the channels of a block."""
    outputs, weights = loops(kernel)["o"].extent, kernel.param("weights")
    if outputs % 2 == 0:
        kernel = split(kernel, "o", 2, "on", "om")
    if extent_of(kernel, "c") % SIDE:
        return split(kernel, "c", block_size(extent_of(kernel, "c"), 3, 2), "co", "ci"), ["ci"]
    kernel = by_fours(kernel, "c")
    if weights.role == "const" and weights.dtype is DType.I8 and outputs % 2 == 0:
        kernel = flatten(pack(kernel, "weights", "on", "co", "ca", "cb", "om"), "weights", 1)
    return reorder(kernel, "cb", "ca"), ["cb", "ca"]


def in_pairs(kernel: Kernel, pixel: str, channels: list[str]) -> Kernel:
    """A 1x1 convolution of integers: blocks of pixels by channels, pairs of outputs summed by SMLAD where weights lie
    in words. A word of constant weights has two channels of two outputs, one of others four channels of one."""
    words = {"om", "cb"} <= loops(kernel).keys()
    if not pixel:
        kernel = stage(kernel, "g", "all", "gs", "i16") if words and kernel.param("g").dtype is DType.I8 else kernel
        kernel = side_by_side(kernel, channels)
        return finish(share(tensorize(kernel, "om") if words else kernel, "co"))
    packed = words and kernel.param("weights").role == "const"
    kernel, parts = parts_of(kernel, pixel, SIDE if packed else SIDE // 2)
    for var, end, size in parts:
        inner = [f"{c}{end}" for c in channels]
        if packed:
            kernel, inner = reorder(kernel, f"ca{end}", f"cb{end}"), [f"cb{end}"]
        kernel = split(kernel, var, size, f"{var}o", f"{var}i")
        if words and kernel.param("g").dtype is DType.I8:
            kernel = widened_block(kernel, f"{var}o", f"gs{end}")
        kernel = reorder(kernel, f"co{end}", *([f"ca{end}"] if packed else []), f"{var}i", *inner)
        kernel = side_by_side(kernel, [f"{var}i", *inner])
        kernel = share(tensorize(kernel, f"om{end}") if words else kernel, f"{var}o")
        if words:
            kernel = go_on_by(kernel, f"on{end}", 1, 2)
        elif f"om{end}" in loops(kernel):
            kernel = unroll(kernel, f"om{end}")
    return finish(kernel)


def widened_block(kernel: Kernel, block: str, staged: str) -> Kernel:
    """The pixels of a block of int8 as int16 in scratch."""
    kernel, copy = stage(kernel, "g", block, staged, "i16"), f"{staged}_0"
    if kernel.param("g").shape[-1] % 4 or kernel.param(staged).elements % 4:
        return kernel
    kernel = split(split(kernel, copy, 4, f"{copy}o", f"{copy}4"), f"{copy}4", 2, f"{copy}b", f"{copy}a")
    return share(tensorize(kernel, f"{copy}a", f"{copy}b"), f"{copy}o")


def side_by_side(kernel: Kernel, inner: Sequence[str]) -> Kernel:
    """The sums over the loops `inner`, outermost first, in registers."""
    for var in reversed(inner):
        kernel = jam(kernel, var)
    return kernel


def depthwise_input(kernel: Kernel, policy: Policy) -> Kernel:
    """What a depthwise convolution with a stride of 1 hands back to its input: one channel of g at a time is copied
    with its margins, then the pixels of a row stand side by side."""
    nest, g = loops(kernel), kernel.param("g")
    require({"h", "w", "c"} <= nest.keys() and {"kh", "kw"} <= nest.keys(), "no window over an image")
    require(not {"n", "o", "h1", "w1"} & nest.keys(), "windows with gaps, or several filters")
    plane = 4 * (nest["h"].extent + nest["kh"].extent - 1) * (nest["w"].extent + nest["kw"].extent - 1)
    require(plane <= policy.plane_bytes, "more than the scratch holds")
    kernel = simplify(stage(reorder(kernel, "c", "h", "w"), "g", "c", "gs", "i16" if is_narrow(kernel) else "f32"))
    kernel = copied_by_rows(kernel, g.shape[1], g.shape[2])
    taps = nest["kh"].extent * nest["kw"].extent
    for tap in ("kw", "kh") if taps <= MOST_TAPS else ("kw",):
        kernel = unroll(kernel, tap)
    side = (
        block_size(nest["w"].extent, 8, 7, 6, 5, 4, 3, 2) if taps > MOST_TAPS else block_size(nest["w"].extent, 4, 3, 2)
    )
    kernel = share(jam(split(kernel, "w", side, "wo", "wi"), "wi"), "wo")
    kernel = hoist(kernel, "h") if taps <= MOST_TAPS else tables_ahead(kernel, "h")
    return finish(kernel)


def weight_sums(kernel: Kernel, policy: Policy) -> Kernel:
    """What a convolution hands back to its weights: blocks of output by input channels, summed over the pixels; what is
    read of a pixel serves the whole block."""
    nest = loops(kernel)
    require({"o", "i"} <= nest.keys() and not has_guards(kernel), "a single channel, or windows in margins")
    between = [v for v in ("h", "w") if v in nest]
    for var, side in (("o", SIDE), ("i", SIDE // 2 if is_narrow(kernel) else SIDE)):
        kernel = split(kernel, var, block_size(nest[var].extent, side, 3, 2), f"{var}o", f"{var}i")
    kernel = reorder(kernel, "oo", *between, "io", "oi", "ii")
    return finish(share(jam(jam(kernel, "ii"), "oi"), "io"))


def copied_by_rows(kernel: Kernel, height: int, width: int) -> Kernel:
    """The copy of a plane with its margins filled once, before everything else."""
    rows, columns = "gs_1", "gs_2"
    kernel, image, margins = split_margins(kernel, rows, height, "row")
    kernel = lifted(kernel, margins, ["c"])
    columns = inside(columns, rows, image)
    kernel = reorder(kernel, columns, image)
    kernel, image, margins = split_margins(kernel, columns, width, "column")
    return lifted(kernel, margins, ["c"])


def finish(kernel: Kernel) -> Kernel:
    """What every recipe ends with."""
    kernel = collapse(simplify(kernel))
    return order(kernel, "all") if is_narrow(kernel) else chain(kernel)


def is_narrow(kernel: Kernel) -> bool:
    """Whether the gradient is of integers."""
    return kernel.param("g").dtype is not DType.F32
