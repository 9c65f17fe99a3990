"""Dense layers and convolutions: matrix products of widened rows of the image with interleaved weights."""

from __future__ import annotations

from tinyir.ir.types import DType
from tinyir.loops.ir import For, Kernel, Load, Set
from tinyir.loops.recipes.blocks import (
    by_fours,
    channel_blocks,
    extent_of,
    finish,
    has_guards,
    interleave_channels,
    loops,
    parts_of,
    register_block,
    require,
)
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import (
    copy_by_pixels,
    copy_by_rows,
    flat_tensors,
    one_pixel_loop,
    staged_rows,
    widen_by_words,
)
from tinyir.loops.schedule import (
    flatten,
    fuse,
    jam,
    pad_sum,
    permute,
    reorder,
    share,
    split,
    stage,
    tensorize,
    unflatten,
    unroll,
)
from tinyir.loops.walk import all_exprs

RESIDUAL_WORDS = 4

ROWS = 4
"""Rows of weights that a dense layer takes at a time."""


def dense(kernel: Kernel, policy: Policy) -> Kernel:
    """Four rows of weights at a time, then those that are left, meet the input. It is widened whenever it is read, or
    once, which costs more if it is read but once."""
    nest, x = loops(kernel), kernel.param("x")
    require("i" in nest and x.dtype is DType.I8, "no row of int8")
    depth, outputs = nest["i"].extent, extent_of(kernel, "o")
    staged = depth % 4 != 0 or (policy.widen_rows and outputs > ROWS)
    if staged:
        kernel = stage(kernel, "x", "n" if "n" in nest else "all", "xs", "i16")
    kernel, words = sum_in_words(kernel, "i", depth, "o")
    kernel = interleave_channels(kernel, policy, "o", *words)
    if staged and depth % 4 == 0:
        kernel = widen_by_words(kernel, "xs", "xs_1")
    if outputs == 1:
        return finish(channel_blocks(kernel, [], words, policy.written_words))
    kernel, parts = parts_of(kernel, "oo", ROWS // loops(kernel)["oi"].extent)
    for var, end, size in parts:
        kernel = split(kernel, var, size, f"{var}r", f"{var}p")
        side, inner = [f"oi{end}", f"{var}p"], [f"{w}{end}" for w in words]
        kernel = channel_blocks(kernel, side, inner, policy.written_words, f"{var}r")
    return finish(kernel)


def sum_in_words(kernel: Kernel, var: str, extent: int, channel: str) -> tuple[Kernel, list[str]]:
    """The innermost loop `var` of a sum in words of weights: of four elements if `extent`, what lies side by side in
    the image, is a multiple of that, else of pairs. Returns the loops that `var` has become, outermost first.

    A single channel has words of its own, always of four.
    """
    if extent % 4 == 0:
        return by_fours(kernel, var), [f"{var}o", f"{var}a", f"{var}b"]
    if extent_of(kernel, channel) % 2 == 0:
        return split(pad_sum(kernel, var, 2), var, 2, f"{var}a", f"{var}b"), [f"{var}a", f"{var}b"]
    kernel = split(pad_sum(kernel, var, 4), var, 4, f"{var}o", f"{var}4")
    return split(kernel, f"{var}4", 2, f"{var}a", f"{var}b"), [f"{var}o", f"{var}a", f"{var}b"]


def pointwise(kernel: Kernel, policy: Policy) -> Kernel:
    """A 1x1 convolution: tiles of pixels are widened into scratch, then blocks of them meet pairs of channels."""
    nest, x = loops(kernel), kernel.param("x")
    require(not {"kh", "kw"} & nest.keys() and {"c", "ic"} <= nest.keys(), "no 1x1 convolution")
    require(x.dtype is DType.I8 and not has_guards(kernel), "no rows of int8")
    depth = nest["ic"].extent
    require(depth % 4 == 0 and x.shape[-1] % 4 == 0, "rows that are not whole words")
    kernel, pixel = one_pixel_loop(kernel)
    if depth < x.shape[-1]:
        kernel = unflatten(kernel, "x", x.elements // x.shape[-1], x.shape[-1])
    kernel, words = sum_in_words(kernel, "ic", depth, "c")
    kernel = interleave_channels(kernel, policy, "c", *words)
    if not pixel:
        kernel = stage(flat_tensors(kernel), "x", "all", "xs", "i16")
        # A single pixel is too few to write anything out for.
        return finish(channel_blocks(widen_by_words(kernel, "xs", "xs_0"), ["ci"], words, 1))
    kernel, parts = parts_of(kernel, pixel, policy.pixels)
    for var, end, size in parts:
        kernel = tiled(kernel, var, end, size, words, policy)
    return finish(kernel)


def tiled(kernel: Kernel, pixel: str, end: str, size: int, words: list[str], policy: Policy) -> Kernel:
    """One part of the pixels of a 1x1 convolution in tiles of blocks of `size`."""
    extent, staged = loops(kernel)[pixel].extent, f"xs{end}"
    depth = 4 * loops(kernel)[f"{words[0]}{end}"].extent
    fits = [n for n in range(size, extent + 1, size) if extent % n == 0 and n * depth * 2 <= policy.tile_bytes]
    kernel = split(kernel, pixel, max(fits, default=size), f"{pixel}t", f"{pixel}p")
    kernel = stage(kernel, "x", f"{pixel}t", staged, "i16")
    kernel = split(kernel, f"{pixel}p", size, f"{pixel}po", f"{pixel}pi")
    kernel = side_by_side(kernel, staged, size, depth)
    kernel = reorder(kernel, f"co{end}", f"{pixel}po", f"{pixel}pi", f"ci{end}")
    written = policy.written_depth
    if end:  # what is left of the pixels runs too seldom for long code
        written = min(written, policy.written_words)
    if len(kernel.by_role("in")) > 1:  # GCC spills the sums where another tensor is read after a long run of products
        written = min(written, RESIDUAL_WORDS)
    return register_block(kernel, f"ci{end}", f"{pixel}p", [f"{w}{end}" for w in words], written)


def side_by_side(kernel: Kernel, staged: str, size: int, depth: int) -> Kernel:
    """Blocks of `size` widened pixels with the words of all side by side: a block's words lie at the same distances
    whatever its depth, so that layers of different depths can share code."""
    copy, row, blocks = f"{staged}_0", f"{staged}_0k", kernel.param(staged).elements // (size * depth)
    if f"{staged}_1" in loops(kernel):  # a part of the channels
        row, kernel = f"{staged}_1", flatten(kernel, staged, 0)
        kernel = split(kernel, copy, size, f"{copy}t", f"{copy}i") if copy in loops(kernel) else kernel
    else:
        kernel = split(kernel, copy, size * depth, f"{copy}t", f"{copy}p")
        kernel = split(kernel, f"{copy}p", depth, f"{copy}i", row)
    kernel = by_fours(kernel, row)
    kernel = permute(unflatten(kernel, staged, blocks, size, depth // 4, 2, 2), staged, 0, 2, 4, 1, 3)
    kernel = tensorize(kernel, f"{row}b", f"{row}a")
    return share(jam(kernel, f"{copy}i") if f"{copy}i" in loops(kernel) else kernel, f"{row}o")


def convolution(kernel: Kernel, policy: Policy) -> Kernel:
    """The rows under a row of windows are widened to int16 in scratch, padding included; then each row of a window is
    one run of products."""
    nest, x = loops(kernel), kernel.param("x")
    require({"h", "c"} <= nest.keys() and x.dtype is DType.I8, "no int8 image")
    depth = x.shape[-1]
    kernel = staged_rows(kernel)
    if depth % 4 == 0:
        kernel, run = one_run(kernel)
        kernel, words = sum_in_words(kernel, run, depth, "c")
        kernel = interleave_channels(kernel, policy, "c", *(["kh"] if "kh" in nest else []), *words)
        kernel, copy = copy_by_rows(kernel)
        kernel = widen_by_words(kernel, "xs", copy)
    else:
        taps: list[str] = [v for v in ("kh", "kw", "ic") if v in nest]
        require(bool(taps), "nothing to sum")
        if taps[-2:] == ["kw", "ic"] and windows_begin_at_words(kernel, depth):
            kernel, run = one_run(kernel)
            taps = [*taps[:-2], run]
        kernel, words = sum_in_words(kernel, taps[-1], depth, "c")
        kernel = interleave_channels(kernel, policy, "c", *taps[:-1], *words)
        words = [*taps[:-1][-1:], *words] if taps[-1] == "ic" else words
        kernel = copy_by_pixels(kernel)
    if "w" not in nest:
        return finish(channel_blocks(kernel, ["ci"], words, policy.written_words))
    kernel, parts = parts_of(kernel, "w", policy.pixels)
    for var, end, size in parts:
        kernel = split(reorder(kernel, f"co{end}", var, f"ci{end}"), var, size, f"{var}o", f"{var}i")
        kernel = register_block(kernel, f"ci{end}", var, [f"{w}{end}" for w in words], policy.written_words)
        if size > 1 or not end:
            kernel = short_windows(kernel, f"kh{end}", policy)
    return finish(kernel)


def one_run(kernel: Kernel) -> tuple[Kernel, str]:
    """A row of a window as one run of elements, and the loop over it."""
    kernel = flatten(flatten(kernel, "xs", len(kernel.param("xs").shape) - 2), "weights", 2)
    return (fuse(kernel, "kw", "ic", "k"), "k") if "kw" in loops(kernel) else (kernel, "ic")


def windows_begin_at_words(kernel: Kernel, depth: int) -> bool:
    """Whether the rows of windows over pixels of `depth` elements are runs that begin at whole words."""
    steps = [at for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == "xs" for at in e.index]
    return all(at.coef("w") * depth % 2 == 0 and at.coef("kw") in (0, 1) for at in steps)


def short_windows(kernel: Kernel, rows: str, policy: Policy) -> Kernel:
    """Windows of few words, written out whole: `rows` is the loop over their rows."""
    loop = loops(kernel).get(rows)
    if loop is None or any(isinstance(stmt, For) for stmt in loop.body):
        return kernel
    products = sum(isinstance(stmt, Set) for stmt in loop.body)
    return unroll(kernel, rows) if products * loop.extent <= policy.written_sums else kernel
