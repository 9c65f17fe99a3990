"""Schedules for each kind of kernel: which steps, with which numbers. The steps themselves are in `schedule/`.

A recipe is a function Kernel -> Kernel; the steps it takes are recorded in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinyir.ir.types import DType
from tinyir.loops.ir import Cond, For, Kernel, Load, all_exprs, loops_of
from tinyir.loops.schedule import (
    ScheduleError,
    collapse,
    flatten,
    fuse,
    hoist,
    interleave,
    jam,
    lift,
    pack,
    pad_sum,
    peel,
    reorder,
    share,
    simplify,
    split,
    stage,
    tensorize,
    unroll,
    unswitch,
)

Recipe = Callable[[Kernel], Kernel]

MAX_UNROLLED_TAPS = 25


def schedule(kernel: Kernel) -> Kernel:
    """The kernel with the recipe for its kind applied; as it is where none fits."""
    for recipe in RECIPES.get(kernel.kind, (flat_elementwise,)):
        try:
            return recipe(kernel)
        except ScheduleError:
            continue
    return kernel


def block_size(extent: int, *preferred: int) -> int:
    """The first of `preferred` that divides `extent`, else 1."""
    return next((n for n in preferred if extent % n == 0), 1)


def require(condition: bool, reason: str) -> None:
    """Give a recipe up."""
    if not condition:
        raise ScheduleError(reason)


def _loops(kernel: Kernel) -> dict[str, For]:
    return loops_of(kernel.body)


# -- products of rows: dense layers and 1x1 convolutions --------------------------------------------------------------


def dense(kernel: Kernel) -> Kernel:
    """Four rows of weights at a time against the input, both unpacked from words of int8."""
    loops = _loops(kernel)
    require("o" in loops and "i" in loops and kernel.param("x").dtype is DType.I8, "no rows of int8")
    kernel = dot_products(kernel, "i")
    rows = block_size(loops["o"].extent, 4, 3, 2)
    kernel = split(kernel, "o", rows, "oo", "oi")
    return finish(jam(kernel, "oi"))


def dot_products(kernel: Kernel, var: str) -> Kernel:
    """The loop `var` over products of int8 by fours, as SMLAD on unpacked halves."""
    kernel = split(kernel, var, 4, f"{var}o", f"{var}4")
    kernel = split(kernel, f"{var}4", 2, f"{var}b", f"{var}a")
    kernel = reorder(kernel, f"{var}a", f"{var}b")
    return tensorize(kernel, f"{var}b", f"{var}a")


def finish(kernel: Kernel) -> Kernel:
    """What every recipe ends with."""
    return share(collapse(simplify(kernel)))


def pointwise(kernel: Kernel) -> Kernel:
    """A 1x1 convolution as a matrix product: blocks of two pixels by two output channels."""
    loops, shape = _loops(kernel), kernel.param("x").shape
    require(not {"kh", "kw"} & loops.keys() and {"c", "ic"} <= loops.keys(), "no 1x1 convolution")
    require(kernel.param("x").dtype is DType.I8 and shape[-1] % 4 == 0 and not _has_guards(kernel), "no rows of int8")
    kernel = dot_products(kernel, "ic")
    kernel, pixel = one_pixel_loop(kernel)
    channels = block_size(loops["c"].extent, 2, 3)
    kernel = split(kernel, "c", channels, "co", "ci")
    if pixel:
        pixels = block_size(_loops(kernel)[pixel].extent, 2, 3)
        kernel = split(kernel, pixel, pixels, f"{pixel}o", f"{pixel}i")
        kernel = reorder(kernel, f"{pixel}o", "co", f"{pixel}i", "ci")
    kernel = jam(kernel, "ci")
    if pixel:
        kernel = jam(kernel, f"{pixel}i")
    return finish(kernel)


def one_pixel_loop(kernel: Kernel) -> tuple[Kernel, str]:
    """The loops over h and w as one over pixels, where they read and write rows without gaps. Returns the innermost
    pixel loop, "" for a single pixel."""
    loops = _loops(kernel)
    if not {"h", "w"} <= loops.keys():
        return kernel, next((v for v in ("w", "h") if v in loops), "")
    try:
        return fuse(flat_tensors(kernel), "h", "w", "p"), "p"
    except ScheduleError:
        return kernel, "w"


def flat_tensors(kernel: Kernel) -> Kernel:
    """Inputs and outputs as buffers of one dimension."""
    for p in kernel.by_role("in", "out"):
        kernel = flatten(kernel, p.name, 0)
    return kernel


def _has_guards(kernel: Kernel) -> bool:
    return any(isinstance(e, Cond) for e in all_exprs(kernel.body))


# -- windows: k x k convolutions --------------------------------------------------------------------------------------


def convolution(kernel: Kernel) -> Kernel:
    """The rows under a row of windows are widened to int16 in scratch, padding included; then each row of a window is
    one run of products, in blocks of two windows by two output channels."""
    loops, x = _loops(kernel), kernel.param("x")
    require({"h", "w", "c"} <= loops.keys() and x.dtype is DType.I8, "no int8 image")
    kernel = staged_rows(kernel)
    words = x.shape[-1] % 4 == 0
    kernel = flatten(flatten(kernel, "xs", _rank(kernel, "xs") - 1 - ("ic" in loops)), "weights", 2)
    kernel, run = _window_run(kernel)
    kernel = word_products(kernel, run) if words else padded_products(kernel, run)
    channels, pixels = block_size(loops["c"].extent, 2, 3), block_size(loops["w"].extent, 2, 3)
    kernel = split(kernel, "c", channels, "co", "ci")
    kernel = split(kernel, "w", pixels, "wo", "wi")
    kernel = reorder(kernel, "wo", "co", "wi", "ci")
    return finish(jam(jam(kernel, "ci"), "wi"))


def _rank(kernel: Kernel, name: str) -> int:
    return len(kernel.param(name).shape)


def _window_run(kernel: Kernel) -> tuple[Kernel, str]:
    """The loops over kw and input channels as one run."""
    loops = _loops(kernel)
    inner = [v for v in ("kw", "ic") if v in loops]
    require(bool(inner), "nothing to sum along a row")
    return (fuse(kernel, "kw", "ic", "k"), "k") if len(inner) == 2 else (kernel, inner[0])


def staged_rows(kernel: Kernel) -> Kernel:
    """Stage the rows that one row of windows reads; margins are filled once, the image is copied row by row."""
    extent = kernel.param("x").shape[2]
    kernel = simplify(stage(kernel, "x", "h", "xs", "i16"))
    rows, columns = (v if (v := f"xs_{d}") in _loops(kernel) else "" for d in (1, 2))
    if columns and rows:
        kernel = reorder(kernel, columns, rows)
    kernel, image, margins = split_margins(kernel, columns, extent, "column")
    for margin in margins:
        kernel = lift(kernel, margin, "h")
    rows = inside(rows, columns, image)
    return reorder(kernel, rows, image) if rows and image else kernel


def split_margins(kernel: Kernel, var: str, extent: int, name: str) -> tuple[Kernel, str, list[str]]:
    """Peel the iterations of a staging loop that lie outside of the tensor's `extent` off it. Returns the loop that is
    left, called `name` if something was peeled before it, and the loops over margins."""
    if not var:
        return kernel, var, []
    before, after = _margins(kernel, var, extent)
    margins = []
    if before:
        kernel = peel(kernel, var, before, name)
        margins.append(var)
        var = name
    if after:
        kernel = peel(kernel, var, _loops(kernel)[var].extent - after, f"{name}_end")
        margins.append(f"{name}_end")
    return simplify(kernel), var, margins


def inside(var: str, peeled: str, rest: str) -> str:
    """What the loop `var` in the loop `peeled` is called in the loop `rest` that was peeled off it."""
    return f"{var}_{rest}" if var and rest != peeled else var


def _margins(kernel: Kernel, var: str, extent: int) -> tuple[int, int]:
    """How many iterations of `var` at its start and end fail the guard that moves with it alone."""
    for expr in all_exprs(_loops(kernel)[var].body):
        for guard in expr.guards if isinstance(expr, Cond) else ():
            if guard.expr.vars == (var,) and guard.bound == extent:
                n = _loops(kernel)[var].extent
                before = max(0, -guard.expr.const)
                return before, max(0, n + guard.expr.const - extent)
    return 0, 0


def word_products(kernel: Kernel, run: str) -> Kernel:
    """Staged rows kept in the order of SXTB16, which unpacks both the image and the weights."""
    source = _copy_loops(kernel)
    kernel = flatten(kernel, "x", 2)
    if len(source) == 2:
        kernel = fuse(kernel, source[0], source[1], "j")
        source = ["j"]
    if _has_guards(kernel):
        kernel = simplify(unswitch(kernel, source[0]))
    for var in (source[0], run):
        kernel = split(kernel, var, 4, f"{var}o", f"{var}4")
        kernel = split(kernel, f"{var}4", 2, f"{var}b", f"{var}a")
        kernel = reorder(kernel, f"{var}a", f"{var}b")
    kernel = interleave(kernel, "xs")
    for var in (source[0], run):
        kernel = tensorize(kernel, f"{var}b", f"{var}a")
    return kernel


def _copy_loops(kernel: Kernel) -> list[str]:
    """The loops over columns and channels that copy the image itself."""
    for var, loop in _loops(kernel).items():
        if var.startswith(("xs_2", "column")) and any(
            isinstance(e, Load) and e.buffer == "x" for e in all_exprs(loop.body)
        ):
            return [var, *loops_of(loop.body)]
    raise ScheduleError("the image is not copied by rows")


def padded_products(kernel: Kernel, run: str) -> Kernel:
    """Staged rows in their natural order; the weights are packed so that SXTB16 unpacks neighbours."""
    kernel = pad_sum(kernel, run, 4)
    kernel = split(kernel, run, 4, f"{run}o", f"{run}4")
    kernel = split(kernel, f"{run}4", 2, f"{run}a", f"{run}b")
    outer = [v for v in ("c", "kh") if v in _loops(kernel)]
    kernel = pack(kernel, "weights", *outer, f"{run}o", f"{run}b", f"{run}a")
    kernel = flatten(kernel, "weights", len(outer))
    return tensorize(kernel, f"{run}b", f"{run}a")


# -- depthwise convolutions -------------------------------------------------------------------------------------------


def depthwise(kernel: Kernel) -> Kernel:
    """Channel by channel: the channel's plane is gathered into scratch with its padding, the filter stays in registers,
    two outputs of a row are made together."""
    loops, x = _loops(kernel), kernel.param("x")
    channel = "ic" if "ic" in loops else "c"
    require({"h", channel} <= loops.keys() and x.dtype is DType.I8, "no int8 image of several channels")
    inner = [v for v in ("m", "h", "w") if v in loops]
    kernel = reorder(kernel, channel, *inner)
    kernel = simplify(stage(kernel, "x", channel, "xs", "i8"))
    kernel = plane_margins(kernel, channel, x.shape)
    taps = [v for v in ("kh", "kw") if v in loops]
    outer = next(v for v in inner if v != "m")
    if _product(loops, taps) <= MAX_UNROLLED_TAPS:
        for tap in taps:
            kernel = unroll(kernel, next(v for v in _loops(kernel) if v == tap or v.startswith(f"{tap}_")))
        kernel = hoist(kernel, outer)
    column = inner[-1]
    pixels = block_size(_loops(kernel)[column].extent, 2, 3)
    kernel = split(kernel, column, pixels, f"{column}o", f"{column}i")
    return finish(jam(kernel, f"{column}i"))


def _product(loops: dict[str, For], names: Sequence[str]) -> int:
    total = 1
    for name in names:
        total *= loops[name].extent
    return total


def plane_margins(kernel: Kernel, channel: str, shape: tuple[int, ...]) -> Kernel:
    """Fill the margins of the staged plane once, before the loop over channels."""
    rows, columns = (v if (v := f"xs_{d}") in _loops(kernel) else "" for d in (1, 2))
    kernel, plane, margins = split_margins(kernel, rows, shape[1], "row")
    for margin in margins:
        kernel = lift(kernel, margin, channel)
    columns = inside(columns, rows, plane)
    if columns and plane:
        kernel = reorder(kernel, columns, plane)
    kernel, image, margins = split_margins(kernel, columns, shape[2], "column")
    for margin in margins:
        kernel = lift(kernel, margin, channel)
    plane = inside(plane, columns, image)
    return reorder(kernel, plane, image) if plane and image else kernel


# -- elementwise ------------------------------------------------------------------------------------------------------


def flat_elementwise(kernel: Kernel) -> Kernel:
    """One loop over all elements, where every tensor is read and written in the order of memory."""
    kernel = flat_tensors(kernel)
    while len(nest := _outer_nest(kernel)) > 1:
        kernel = fuse(kernel, nest[-2], nest[-1], f"{nest[-2]}{nest[-1]}")
    return kernel


def _outer_nest(kernel: Kernel) -> list[str]:
    """The loops that stand alone in one another, from the outside."""
    names = []
    body = kernel.body
    while len(body) == 1 and isinstance(body[0], For):
        names.append(body[0].var)
        body = body[0].body
    return names


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "int.conv2d": (pointwise, convolution),
    "int.depthwise_conv2d": (depthwise,),
    "int.dense": (dense,),
}
