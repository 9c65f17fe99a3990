"""Schedule primitives: how a kernel's loops run, never what they compute."""

from tinyir.loops.schedule.core import PRIMITIVES, ScheduleError, apply
from tinyir.loops.schedule.data import flatten, pack, pad_sum, stage
from tinyir.loops.schedule.layout import fill, pad_rows, permute, transpose, unflatten, widen
from tinyir.loops.schedule.order import order
from tinyir.loops.schedule.pairs import pair_products, read_pairs
from tinyir.loops.schedule.structure import fuse, jam, peel, reorder, split, tile, unroll
from tinyir.loops.schedule.tensorize import chain, interleave, tensorize
from tinyir.loops.schedule.tidy import collapse, hoist, lift, share, simplify, unswitch

__all__ = [
    "PRIMITIVES",
    "ScheduleError",
    "apply",
    "chain",
    "collapse",
    "fill",
    "flatten",
    "fuse",
    "hoist",
    "interleave",
    "jam",
    "lift",
    "order",
    "pack",
    "pad_rows",
    "pad_sum",
    "pair_products",
    "peel",
    "permute",
    "read_pairs",
    "reorder",
    "share",
    "simplify",
    "split",
    "stage",
    "tensorize",
    "tile",
    "transpose",
    "unflatten",
    "unroll",
    "unswitch",
    "widen",
]
