"""Depthwise convolutions: channel by channel, on planes of int16 in scratch, several outputs of a row together."""

from __future__ import annotations

from tinyir.ir.types import DType
from tinyir.loops.ir import For, Kernel, Param
from tinyir.loops.recipes.blocks import block_size, extent_of, finish, loops, require, tables_ahead
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.recipes.staging import guards_ahead, inside, lifted, split_margins
from tinyir.loops.schedule import (
    fill,
    flatten,
    jam,
    pack,
    pad_rows,
    pair_products,
    peel,
    permute,
    reorder,
    share,
    simplify,
    split,
    stage,
    transpose,
    unroll,
    widen,
)

WIDE_TAPS = 9
"""Of the largest windows whose weights are worth twice the flash: of 25 and 49 taps cycles are the same."""


def depthwise(kernel: Kernel, policy: Policy) -> Kernel:
    """Bands of rows of four channels at a time are gathered into planes, padding included. Each output then is a sum
    over aligned pairs of a plane's elements."""
    nest, x = loops(kernel), image_of(kernel)
    channel = "ic" if "ic" in nest else "c"
    several = channel in nest and len(x.shape) == 4 and x.shape[-1] > 1
    require(several and x.dtype in (DType.I8, DType.I16), "no image of several channels of int8 or int16")
    backwards = kernel.kind.startswith("grad.")  # with weights that lie in flash another time, turned round
    require(not (backwards and {"n", "o", "h1", "w1"} & nest.keys()), "several images or filters, or windows with gaps")
    column = along(kernel, policy)
    require(column in nest and bool({"kh", "kw"} & nest.keys()), "no window over a row or a column")
    planes = block_size(nest[channel].extent, 4)
    wide = policy.wide_taps and window_size(kernel) <= WIDE_TAPS
    kernel = split(kernel, channel, planes, "cb", "cl")
    row = next((v for v in ("h", "w") if v in nest and v != column), "")
    bands = []
    if row == "h" and (rows := band_rows(kernel, planes, policy)) < nest["h"].extent:
        kernel, row, bands = split(kernel, "h", rows, "hb", "hr"), "hr", ["hb"]
    inner = [v for v in ("m", row, column) if v in loops(kernel)]
    kernel = reorder(kernel, "cb", *bands, "cl", *inner)
    trained = kernel.param("weights").role != "const"
    require(not (backwards and trained), "filters that are trained, turned round")
    if not trained:
        kernel = pack(kernel, "weights", *(v for v in ("cb", "cl", "m", "kh", "kw") if v in loops(kernel)))
    elif "m" in loops(kernel):
        kernel = stage(kernel, "weights", "m", "ws", "i16")
    else:
        kernel = stage(kernel, "weights", "cl" if planes > 1 else "cb", "ws", "i16")
    kernel = staged_planes(kernel, ["cb", *bands], planes, column)
    for tap in reversed(written_out(nest, policy)):
        kernel = unroll(kernel, tap)
    if wide and not trained and not backwards:
        kernel = widen(kernel, "weights", "i16")
    kernel = output_blocks(kernel, column, policy.outputs)
    kernel = filled_margins(share(pair_products(kernel, "ws" if trained else "weights")))
    lines = [v for v in (row, column) if v in loops(kernel)]
    return finish(tables_ahead(kernel, lines[0]) if lines else kernel)


def window_size(kernel: Kernel) -> int:
    """The taps of a window."""
    return extent_of(kernel, "kh") * extent_of(kernel, "kw")


def image_of(kernel: Kernel) -> Param:
    """What windows read: the input, or the gradient of the output, whose windows hand it back to the input."""
    return kernel.param("g" if kernel.kind.startswith("grad.") else "x")


def along(kernel: Kernel, policy: Policy) -> str:
    """The loop over outputs that lie side by side in a plane: those of a row, or of a column where windows are columns
    and whole planes fit the scratch."""
    nest, x = loops(kernel), image_of(kernel)
    taps = nest["kh"].extent if "kh" in nest else 1
    fits = 4 * 2 * (x.shape[1] + taps) * x.shape[2] <= policy.plane_bytes
    upright = "h" in nest and "kh" in nest and "kw" not in nest and fits
    return "h" if upright or "w" not in nest else "w"


def written_out(nest: dict[str, For], policy: Policy) -> list[str]:
    """The loops over taps that are written out: both, or a row of a large window."""
    taps: list[str] = [v for v in ("kh", "kw") if v in nest]
    large = len(taps) == 2 and nest["kh"].extent * nest["kw"].extent > policy.written_taps
    return taps[1:] if large else taps


def band_rows(kernel: Kernel, planes: int, policy: Policy) -> int:
    """How many rows of outputs a band has: as many as the scratch holds, evenly divided."""
    nest, x = loops(kernel), image_of(kernel)
    height, taps = nest["h"].extent, nest["kh"].extent if "kh" in nest else 1
    stride = max(1, -(-x.shape[1] // height))
    pitch = x.shape[2] + (nest["kw"].extent if "kw" in nest else 1) + 1
    fits = [n for n in range(1, height + 1) if height % n == 0]
    sizes = {n: planes * ((n - 1) * stride + taps) * pitch * 2 for n in fits}
    return max((n for n in fits if sizes[n] <= policy.plane_bytes), default=1)


def staged_planes(kernel: Kernel, around: list[str], planes: int, column: str) -> Kernel:
    """Gather what an iteration of the innermost of the loops `around` reads into planes. Margins are filled once; those
    above and below only where there are no bands."""
    x = image_of(kernel)
    axis = 2 if column == "w" else 1
    kernel = simplify(stage(kernel, x.name, around[-1], "xs", "i16"))
    rank = len(kernel.param("xs").shape)
    spatial = list(range(rank - 1 if planes > 1 else rank))
    order = [*range(len(spatial), rank), *(spatial if axis == 2 else reversed(spatial))]
    if order != sorted(order):
        kernel = permute(kernel, "xs", *order)
    rows, columns, channels = (v if (v := f"xs_{d}") in loops(kernel) else "" for d in (3 - axis, axis, 3))
    require(bool(columns), "one column")
    if rows and axis == 1:
        kernel = reorder(kernel, rows, columns)
    plane = rows
    if rows and len(around) == 1:
        kernel, plane, margins = split_margins(kernel, rows, x.shape[3 - axis], "row")
        kernel = lifted(kernel, margins, around)
        columns, channels = inside(columns, rows, plane), inside(channels, rows, plane)
    if plane:
        kernel = reorder(kernel, columns, plane, *([channels] if channels else []))
    kernel, image, margins = split_margins(kernel, columns, x.shape[axis], "column")
    kernel = pad_rows(lifted(kernel, margins, around), "xs", left_margin(margins, columns, kernel) % 2, 2)
    plane, channels = inside(plane, columns, image), inside(channels, columns, image)
    if plane:
        kernel = reorder(kernel, plane, image, *([channels] if channels else []))
        kernel = guards_ahead(kernel, image)
    return by_pixel_pairs(kernel, image, channels) if channels and planes == 4 and x.dtype is DType.I8 else kernel


def filled_margins(kernel: Kernel) -> Kernel:
    """Margins as one fill of the planes: all of them take fewer instructions than parts of rows."""
    if not isinstance(kernel.body[0], For) or kernel.body[0].var.startswith("cb"):
        return kernel
    kernel = fill(flatten(kernel, "xs", 0), "xs", "margin")
    by = block_size(loops(kernel)["margin"].extent, 8, 4, 2)
    return unroll(split(kernel, "margin", by, "margins", "marginw"), "marginw")


def left_margin(margins: list[str], columns: str, kernel: Kernel) -> int:
    """How many columns of margin stand left of the image."""
    return loops(kernel)[columns].extent if columns in margins else 0


def by_pixel_pairs(kernel: Kernel, image: str, channels: str) -> Kernel:
    """The copy of four channels by words of two pixels."""
    extent = loops(kernel)[image].extent
    if extent < 2:
        return kernel
    if extent % 2:
        kernel = unroll(peel(kernel, image, extent - 1, "last"), inside(channels, image, "last"))
    kernel = split(kernel, image, 2, f"{image}o", f"{image}i")
    return transpose(kernel, f"{image}i", channels)


def output_blocks(kernel: Kernel, column: str, outputs: int) -> Kernel:
    """Outputs of a row side by side: the whole of a short row, else blocks and what is left of the row."""
    extent = loops(kernel)[column].extent
    if extent <= outputs + 2:
        return jam(kernel, column)
    rest = extent % outputs
    if rest:
        kernel = peel(kernel, column, extent - rest, "rest")
        kernel = jam(kernel, "rest")
    kernel = split(kernel, column, outputs, f"{column}o", f"{column}i")
    return jam(kernel, f"{column}i")
