"""Parts of images in scratch: which rows, where their margins are filled, how they are copied."""

from __future__ import annotations

from tinyir.loops.ir import Cond, Kernel, Load
from tinyir.loops.recipes.blocks import by_fours, has_guards, loops
from tinyir.loops.schedule import (
    ScheduleError,
    flatten,
    fuse,
    interleave,
    lift,
    peel,
    reorder,
    share,
    simplify,
    stage,
    tensorize,
    unroll,
    unswitch,
)
from tinyir.loops.walk import all_exprs, loops_of

MAX_CHANNELS_WRITTEN_OUT = 4


def one_pixel_loop(kernel: Kernel) -> tuple[Kernel, str]:
    """The loops over h and w as one over pixels, where they read and write rows without gaps. Returns the innermost
    pixel loop, "" for a single pixel."""
    nest = loops(kernel)
    if not {"h", "w"} <= nest.keys():
        return flat_tensors(kernel), next((v for v in ("w", "h") if v in nest), "")
    try:
        return fuse(flat_tensors(kernel), "h", "w", "p"), "p"
    except ScheduleError:
        return kernel, "w"


def flat_tensors(kernel: Kernel) -> Kernel:
    """Inputs and outputs as buffers of one dimension."""
    for p in kernel.by_role("in", "out"):
        kernel = flatten(kernel, p.name, 0)
    return kernel


def _reads_image(kernel: Kernel, var: str) -> bool:
    return any(isinstance(e, Load) and e.buffer == "x" for e in all_exprs(loops(kernel)[var].body))


def widen_by_words(kernel: Kernel, staged: str, copy: str) -> Kernel:
    """Scratch in the order in which SXTB16 unpacks words, filled by words in the loop `copy`."""
    kernel = interleave(by_fours(kernel, copy), staged)
    return share(tensorize(kernel, f"{copy}b", f"{copy}a"), f"{copy}o")


def staged_rows(kernel: Kernel, dtype: str = "i16") -> Kernel:
    """Stage the rows that one row of windows reads, as `dtype`; margins are filled once, the image is copied row by
    row."""
    extent = kernel.param("x").shape[2]
    kernel = simplify(stage(kernel, "x", "h", "xs", dtype))
    rows, columns = (v if (v := f"xs_{d}") in loops(kernel) else "" for d in (1, 2))
    if columns and rows:
        kernel = reorder(kernel, columns, rows)
    kernel, image, margins = split_margins(kernel, columns, extent, "column")
    kernel = lifted(kernel, margins, ["h"])
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
        kernel = peel(kernel, var, loops(kernel)[var].extent - after, f"{name}_end")
        margins.append(f"{name}_end")
    return simplify(kernel), var, margins


def lifted(kernel: Kernel, margins: list[str], around: list[str]) -> Kernel:
    """Loops that fill margins, in front of the loops `around`."""
    for margin in margins:
        for outer in reversed(around):
            kernel = lift(kernel, margin, outer)
    return kernel


def guards_ahead(kernel: Kernel, var: str) -> Kernel:
    """Guards in the loop `var`, which must not move with it, are asked once before it."""
    guarded = has_guards(kernel.with_body((loops(kernel)[var],)))
    return simplify(unswitch(kernel, var)) if guarded else kernel


def inside(var: str, peeled: str, rest: str) -> str:
    """What the loop `var` in the loop `peeled` is called in the loop `rest` that was peeled off it."""
    return f"{var}_{rest}" if var and rest != peeled else var


def _margins(kernel: Kernel, var: str, extent: int) -> tuple[int, int]:
    """How many iterations of `var` at its start and end fail the guard that moves with it alone."""
    for expr in all_exprs(loops(kernel)[var].body):
        for guard in expr.guards if isinstance(expr, Cond) else ():
            if guard.expr.vars == (var,) and guard.bound == extent:
                n = loops(kernel)[var].extent
                before = max(0, -guard.expr.const)
                return before, max(0, n + guard.expr.const - extent)
    return 0, 0


def copy_by_rows(kernel: Kernel) -> tuple[Kernel, str]:
    """The loops over columns and channels that copy a row of the image as one; what the padding above and below asks
    is asked once a row."""
    source = _row_loops(kernel)
    kernel = flatten(kernel, "x", 2)
    if len(source) == 2:
        kernel = fuse(kernel, source[0], source[1], "j")
        source = ["j"]
    return guards_ahead(kernel, source[0]), source[0]


def _row_loops(kernel: Kernel) -> list[str]:
    for var, loop in loops(kernel).items():
        if var.startswith(("xs_2", "column")) and _reads_image(kernel, var):
            return [var, *loops_of(loop.body)]
    raise ScheduleError("the image is not copied by rows")


def copy_by_pixels(kernel: Kernel) -> Kernel:
    """The copy of a row of the image pixel by pixel, few channels written out; what the padding above and below asks is
    asked once a row."""
    source = _row_loops(kernel)
    kernel = guards_ahead(kernel, source[0])
    if len(source) == 2 and loops(kernel)[source[1]].extent <= MAX_CHANNELS_WRITTEN_OUT:
        kernel = unroll(kernel, source[1])
    return kernel
