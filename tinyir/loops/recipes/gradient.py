"""Gradients in float32: sums side by side in registers, each in the order that its op has.

No fused multiply-add: NumPy rounds products. Reordering loops over elements and writing copies of them side by side
leaves every sum as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

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
from tinyir.loops.recipes.depthwise import WIDE_TAPS, window_size
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import inside, lifted, one_pixel_loop, split_margins
from tinyir.loops.schedule import (
    ScheduleError,
    chain,
    collapse,
    flatten,
    hoist,
    jam,
    order,
    pack,
    read_pairs,
    reorder,
    share,
    simplify,
    split,
    stage,
    tensorize,
    unroll,
    widen,
)
from tinyir.loops.walk import loops_of

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
    """What a depthwise convolution hands back to its input, phase by phase of its stride: one channel of g at a time is
    copied with its margins, then the pixels of a row stand side by side."""
    phases = [loops_of((stmt,)) for stmt in kernel.body]
    for number, nest in enumerate(phases):
        names = {var.rstrip("0123456789"): var for var in nest}
        require({"h", "w", "c"} <= names.keys() and not {"n", "o"} & names.keys(), "a line, or several filters")
        if len(phases) == 1:
            kernel = plane_input(as_forward_pairs(kernel, policy), names, "", "g")
            kernel = read_pairs(kernel, "weights") if kernel.param("weights").packing else kernel
        else:
            kernel = plane_input(kernel, names, str(number or ""), "g")
    require(total_scratch(kernel) <= plane_limit(kernel, policy), "more than the scratch holds")
    return finish(kernel)


def as_forward_pairs(kernel: Kernel, policy: Policy) -> Kernel:
    """Constant weights channel by channel, as the forward pass has them (see `depthwise`), so that both read one
    array."""
    weights, taps = kernel.param("weights"), [v for v in ("kh", "kw") if v in loops(kernel)]
    if weights.role != "const" or weights.dtype is not DType.I8 or "kw" not in taps:
        return kernel
    kernel = pack(kernel, "weights", "c", *taps)
    return widen(kernel, "weights", "i16") if policy.wide_taps and window_size(kernel) <= WIDE_TAPS else kernel


def plane_input(kernel: Kernel, names: dict[str, str], end: str, image: str) -> Kernel:
    """One phase: `names` are its loops, `end` is what new names end with; `image` is the buffer that is copied."""
    size, (h, w, c) = kernel.param(image).shape[1:3], (names[v] for v in "hwc")
    kernel = reorder(kernel, c, h, w)
    if has_guards(kernel.with_body((loops(kernel)[c],))):
        elem = "f32" if kernel.param(image).dtype is DType.F32 else "i16"
        kernel = simplify(stage(kernel, image, c, f"{image}s{end}", elem))
        kernel = copied_by_rows(kernel, f"{image}s{end}", (size[0], size[1]), c)
    taps = [names[v] for v in ("kw", "kh") if v in names]
    count = prod(loops(kernel)[v].extent for v in taps)
    for tap in taps if count <= MOST_TAPS else taps[:1]:
        kernel = unroll(kernel, tap)
    sizes = (8, 7, 6, 5, 4, 3, 2) if count > MOST_TAPS else (4, 3, 2)
    kernel = split(kernel, w, block_size(loops(kernel)[w].extent, *sizes), f"{w}o", f"{w}i")
    kernel = share(jam(kernel, f"{w}i"), f"{w}o")
    return hoist(kernel, h) if count <= MOST_TAPS else tables_ahead(kernel, h)


def plane_limit(kernel: Kernel, policy: Policy, large: str = "g") -> int:
    """Bytes of scratch for planes: those of the policy, or a third of the buffer `large`: its like is alive beside it
    before or after this kernel."""
    return max(policy.plane_bytes, kernel.param(large).bytes // 3)


def total_scratch(kernel: Kernel) -> int:
    return sum(p.bytes for p in kernel.by_role("scratch"))


def depthwise_weight(kernel: Kernel, policy: Policy) -> Kernel:
    """What a depthwise convolution hands back to its weights: one channel of x at a time is copied with its margins in
    the type of sums; the sums of a window, or of a row of a large one, stand side by side while its pixels pass by."""
    nest, x = loops(kernel), kernel.param("x")
    taps = [v for v in ("h", "w") if v in nest]
    require({"o", "p", "q"} <= nest.keys() and "n" not in nest, "one channel, a line, or several images")
    require(bool(taps) and "c" not in nest, "no window, or several filters")
    kernel = simplify(stage(reorder(kernel, "o", *taps), "x", "o", "xs", copy_of(kernel)))
    require(total_scratch(kernel) <= plane_limit(kernel, policy), "more than the scratch holds")
    kernel = copied_by_rows(kernel, "xs", (x.shape[1], x.shape[2]), "o")
    few = prod(nest[v].extent for v in taps) <= MOST_TAPS
    kernel = side_by_side(kernel, taps if few else taps[-1:])
    kernel = split(kernel, "q", block_size(nest["q"].extent, 4, 3, 2), "qo", "qi")
    return finish(share(unroll(kernel, "qi"), "qo"))


def weight_sums(kernel: Kernel, policy: Policy) -> Kernel:
    """What a convolution hands back to its weights: blocks of output by input channels, summed over the pixels; what is
    read of a pixel serves the whole block. The input channels of a block are copied with their margins, as floats, if
    the scratch holds them."""
    nest = loops(kernel)
    require("o" in nest, "one channel")
    taps = [v for v in ("h", "w") if v in nest]
    kernel = split(kernel, "o", block_size(nest["o"].extent, SIDE, 3, 2), "oo", "oi")
    inner, around = ["oi"], "oo"
    if "i" in nest:
        side = SIDE // 2 if is_narrow(kernel) else SIDE  # integers have fewer registers than floats
        kernel = split(kernel, "i", block_size(nest["i"].extent, side, 3, 2), "io", "ii")
        kernel = reorder(kernel, "io", "oo", *taps, "oi", "ii")
        inner, around = ["oi", "ii"], "io"
        kernel = staged_channels(kernel, policy)
    return finish(share(side_by_side(kernel, inner), around))


def staged_channels(kernel: Kernel, policy: Policy) -> Kernel:
    """A copy of what the loop `io` reads of x, if it is converted or has margins and the scratch holds it."""
    x = kernel.param("x")
    if (x.dtype is DType.F32 or is_narrow(kernel)) and not has_guards(kernel):
        return kernel
    try:
        staged = simplify(stage(kernel, "x", "io", "xs", copy_of(kernel)))
        staged = copied_by_rows(staged, "xs", (x.shape[1], x.shape[2]), "io")
    except ScheduleError:
        return kernel
    return staged if total_scratch(staged) <= policy.plane_bytes else kernel


def copied_by_rows(kernel: Kernel, staged: str, size: tuple[int, int], around: str) -> Kernel:
    """The copy of a plane of `size` in the loop `around` with its margins filled once, before everything else."""
    rows, columns = (v if (v := f"{staged}_{d}") in loops(kernel) else "" for d in (1, 2))
    kernel, image, margins = split_margins(kernel, rows, size[0], f"{staged}_row")
    kernel = lifted(kernel, margins, [around])
    columns = inside(columns, rows, image)
    if columns and image:
        kernel = reorder(kernel, columns, image)
    kernel, image, margins = split_margins(kernel, columns, size[1], f"{staged}_column")
    return lifted(kernel, margins, [around])


def finish(kernel: Kernel) -> Kernel:
    """What every recipe ends with."""
    kernel = collapse(simplify(kernel))
    return order(kernel, "all") if is_narrow(kernel) else chain(kernel)


def is_narrow(kernel: Kernel) -> bool:
    """Whether it reads a gradient of integers."""
    return any(p.name == "g" and p.dtype is not DType.F32 for p in kernel.params)


def copy_of(kernel: Kernel) -> str:
    """The type of copies of what is multiplied with the gradient."""
    return "i16" if is_narrow(kernel) else "f32"
