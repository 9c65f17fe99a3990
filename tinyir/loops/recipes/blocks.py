"""Register blocks: two output channels by up to three pixels, their products summed by SMLAD.

The weights of two channels are interleaved so that one word serves both: SXTB16 unpacks two taps of the first, SXTB16
with ROR #8 the same two of the second. The image lies in scratch as int16, in the order in which the words come.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyir.loops.ir import Cond, For, Kernel
from tinyir.loops.recipes.policy import Policy
from tinyir.loops.schedule import (
    ScheduleError,
    collapse,
    flatten,
    hoist,
    jam,
    order,
    pack,
    peel,
    reorder,
    share,
    simplify,
    split,
    tensorize,
    unroll,
    widen,
)
from tinyir.loops.walk import all_exprs, loops_of


def require(condition: bool, reason: str) -> None:
    """Give a recipe up."""
    if not condition:
        raise ScheduleError(reason)


def loops(kernel: Kernel) -> dict[str, For]:
    """Every loop by its variable."""
    return loops_of(kernel.body)


def extent_of(kernel: Kernel, var: str) -> int:
    """The iterations over `var`; a loop of one iteration was never made."""
    loop = loops(kernel).get(var)
    return 1 if loop is None else loop.extent


def has_guards(kernel: Kernel) -> bool:
    return any(isinstance(e, Cond) for e in all_exprs(kernel.body))


def tables_ahead(kernel: Kernel, var: str) -> Kernel:
    """The numbers of a channel (bias, multiplier ...) are read before the loop `var`."""
    tables = [p.name for p in kernel.by_role("const") if p.name != "weights"]
    return hoist(kernel, var, *tables) if tables else kernel


def finish(kernel: Kernel) -> Kernel:
    """What every recipe ends with. Words that windows have in common are loaded anew: there is no register for them."""
    return order(collapse(simplify(kernel)), "all")


def block_size(extent: int, *preferred: int) -> int:
    """The first of `preferred` that divides `extent`, else 1."""
    return next((n for n in preferred if extent % n == 0), 1)


def by_fours(kernel: Kernel, var: str) -> Kernel:
    """A loop as words of four elements, the two halves of a word as SXTB16 unpacks them: var = 4*varo + 2*varb + vara,
    with varb innermost."""
    kernel = split(kernel, var, 4, f"{var}o", f"{var}4")
    kernel = split(kernel, f"{var}4", 2, f"{var}b", f"{var}a")
    return reorder(kernel, f"{var}a", f"{var}b")


def interleave_channels(kernel: Kernel, policy: Policy, channel: str, *inner: str) -> Kernel:
    """Pairs of output channels whose weights lie side by side, in the order in which the loops `inner` use them:
    element by element as int8, word by word as int16. Where the channels are odd in number each is alone: its words
    hold neighbours in turn, the last two loops exchanged. Weights that are no constants stay as they are, which is the
    same as each channel alone."""
    alone = (*inner[:-2], inner[-1], inner[-2])
    extent = extent_of(kernel, channel)
    if kernel.param("weights").role != "const":
        require(len(inner) == 3, "weights in no words")
        kernel = flatten(kernel, "weights", 0)
        return kernel if extent == 1 else split(kernel, channel, block_size(extent, 2), f"{channel}o", f"{channel}i")
    if extent == 1:
        return flatten(pack(kernel, "weights", *alone), "weights", 0)
    pair = block_size(extent, 2)
    kernel = split(kernel, channel, pair, f"{channel}o", f"{channel}i")
    if pair == 1:
        lanes = (*alone, f"{channel}i")
    elif policy.wide_weights:
        kernel, lanes = widen(kernel, "weights", "i16"), (*inner[:-1], f"{channel}i", inner[-1])
    else:
        lanes = (*inner, f"{channel}i")
    return flatten(pack(kernel, "weights", f"{channel}o", *lanes), "weights", 1)


def parts_of(kernel: Kernel, pixel: str, pixels: int) -> tuple[Kernel, list[tuple[str, str, int]]]:
    """The loop over pixels in parts of blocks of `pixels`, what does not fill a block apart: for each part its loop,
    what the names inside end with, and its pixels per block."""
    extent = loops(kernel)[pixel].extent
    rest = extent % pixels
    if rest == 0 or extent < pixels:
        return kernel, [(pixel, "", min(extent, pixels))]
    if extent == 4:
        return kernel, [(pixel, "", 2)]
    tail = f"{pixel}_rest"
    return peel(kernel, pixel, extent - rest, tail), [(pixel, "", pixels), (tail, f"_{tail}", rest)]


def register_block(kernel: Kernel, channel: str, pixel: str, words: Sequence[str], written: int) -> Kernel:
    """Sums for a pair of channels and the pixels of a block side by side, in instructions (see `channel_blocks`). The
    loop over `pixel` is split into blocks, `{pixel}o`, and the pixels of one, `{pixel}i`."""
    kernel = reorder(kernel, f"{pixel}o", f"{pixel}i", channel)
    around = f"{pixel}o"
    return tables_ahead(channel_blocks(kernel, [channel, f"{pixel}i"], words, written, around), around)


def channel_blocks(kernel: Kernel, side: Sequence[str], words: Sequence[str], written: int, around: str = "") -> Kernel:
    """The sums over the loops `side` side by side, in the loop `around` or everywhere; the innermost of the loops
    `words`, with the one around it where words are of four elements, becomes instructions. A loop over up to `written`
    words of weights is written out."""
    for var in side:
        kernel = jam(kernel, var)
    fours = len(words) == 3 and loops(kernel)[words[1]].extent == 2
    if fours:
        return go_on_by(share(tensorize(kernel, words[-1], words[-2]), around), words[0], 1, written)
    kernel = share(tensorize(kernel, words[-1]), around)
    for var in words[1:-1]:
        kernel = unroll(kernel, var)
    return go_on_by(kernel, words[0], 1 if len(words) == 3 else 2, written)


def go_on_by(kernel: Kernel, var: str, per_word: int, written: int) -> Kernel:
    """Write a loop over up to `written` words out, or some iterations of a longer one; `per_word` iterations use up a
    word of weights."""
    extent = loops(kernel)[var].extent
    if extent <= written * per_word:
        return unroll(kernel, var)
    by = block_size(extent, *(n * per_word for n in (2, 1)), 3, 2) if written > 1 else 1
    return unroll(split(kernel, var, by, f"{var}n", f"{var}m"), f"{var}m") if by > 1 else kernel
