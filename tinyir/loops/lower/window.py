"""Pooling, sums over axes, and softmax as plain nests."""

from __future__ import annotations

import numpy as np

from tinyir.ir.core import Op, Value
from tinyir.ir.ops.int_window import IntSoftmax
from tinyir.ir.ops.nn_window import Mean
from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.instrs import (
    DIV,
    DOUBLING_HIGH_MUL,
    EXPF,
    LOGF,
    MAXF,
    ROUNDING_SHIFT_RIGHT,
    SOFTMAX_SCALE,
    SOFTMAX_SHIFT,
    SSAT8,
)
from tinyir.loops.ir import (
    F32,
    I8,
    I32,
    Bin,
    Body,
    Cast,
    Cond,
    Const,
    Expr,
    Gather,
    Let,
    Load,
    Local,
    Set,
    Stmt,
    Store,
    Ty,
    Var,
)
from tinyir.loops.lower.context import Lowering, by_letter, const_of, nest, ordered
from tinyir.loops.lower.contraction import Finish, accumulate, padding_guards, widened, window_index
from tinyir.loops.lower.elementwise import clamp_expr

LOWEST_FLOAT = float(np.finfo(np.float32).min)


class _Window:
    """The read of a pooling window: x at (window, tap), its guards, and the loops over windows and taps."""

    def __init__(self, low: Lowering, op: Op, x: Value, y: Value) -> None:
        kernel, stride, pad = op.attrs["kernel"], op.attrs["stride"], op.attrs["pad"]
        self.point, self.loops = low.space(y.type)
        out = by_letter(y.type, self.point)
        kh, rows = low.axis("kh", kernel[0])
        kw, columns = low.axis("kw", kernel[1])
        self.taps = [*rows, *columns]
        self.count = kernel[0] * kernel[1]
        index = {
            **out,
            "H": window_index(out["H"], kh, stride[0], 1, pad[0][0]),
            "W": window_index(out["W"], kw, stride[1], 1, pad[1][0]),
        }
        self.guards: tuple[Guard, ...] = padding_guards(index, {"H": x.type.size("H"), "W": x.type.size("W")}, pad)
        self.read = low.load(x, ordered(x.type, index))

    def inside(self, value: Expr, outside: Expr) -> Expr:
        """`value` where the tap lies inside x."""
        return Cond(self.guards, value, outside) if self.guards else value

    def counted(self, low: Lowering) -> tuple[list[tuple[str, int]], Expr]:
        """Loops of their own over the taps, and 1 where the tap lies inside x, else 0."""
        names = {tap: low.unique(tap) for tap, _ in self.taps}
        own = {tap: Affine.of(name) for tap, name in names.items()}
        guards = tuple(guard.substitute(own) for guard in self.guards)
        return [(names[tap], extent) for tap, extent in self.taps], Cond(guards, Const(1), Const(0))


def lower_average_pool(low: Lowering, op: Op, finish: Finish) -> Body:
    """Sum over the window, divided by the taps inside x; integers round half away from zero."""
    x, y = op.operands[0], op.result
    window = _Window(low, op, x, y)
    ty = Ty(DType.F32 if x.type.elem is DType.F32 else DType.I32)
    total, acc = accumulate(low, const_of(0, ty), window.taps, window.inside(widened(window.read, ty), const_of(0, ty)))
    body: list[Stmt] = list(total)
    count: Expr = Const(window.count)
    if window.guards:
        counting, count = accumulate(low, Const(0), *window.counted(low))
        body += counting
    if ty.dtype is DType.F32:
        mean: Expr = Bin("/", acc, Cast(count, ty) if isinstance(count, Local) else const_of(window.count, ty))
    else:
        mean = _rounded_division(low, acc, count, body)
        mean = Cast(clamp_expr(mean, op.attrs["lo"], op.attrs["hi"], x.type.storage.limits), Ty(y.type.storage))
    return nest(window.loops, (*body, *finish(window.point, mean)))


def _rounded_division(low: Lowering, acc: Expr, count: Expr, into: list[Stmt]) -> Expr:
    """acc / count rounded half away from zero: half the count is added with the sign of acc, then truncated."""
    half = low.let("half", Bin(">>", count, Const(1)), into) if not isinstance(count, Const) else None
    half = Const(int(count.value) // 2) if isinstance(count, Const) else half
    assert half is not None
    # acc >> 31 is -1 for a negative sum, else 0: half * (1 + 2 * (acc >> 31)) carries the sign.
    sign = Bin("+", Bin("<<", Bin(">>", acc, Const(31)), Const(1)), Const(1))
    return DIV(Bin("+", acc, Bin("*", half, sign)), count)


def lower_max_pool(low: Lowering, op: Op, finish: Finish) -> Body:
    """The largest element of the window inside x."""
    x, y = op.operands[0], op.result
    window = _Window(low, op, x, y)
    ty = Ty(x.type.storage)
    if ty.dtype is DType.F32:
        return _float_max_pool(low, window, finish)
    lowest = x.type.storage.limits[0]
    name = low.unique("best")
    best = Local(name, I32)
    step = Set(name, Bin("max", best, window.inside(Cast(window.read, I32), Const(lowest))))
    body = (Var(name, I32, Const(lowest)), *nest(window.taps, (step,)))
    result = Cast(clamp_expr(best, op.attrs["lo"], op.attrs["hi"], x.type.storage.limits), ty)
    return nest(window.loops, (*body, *finish(window.point, result)))


def _float_max_pool(low: Lowering, window: _Window, finish: Finish) -> Body:
    name = low.unique("best")
    best = Local(name, F32)
    lowest = Const(LOWEST_FLOAT, F32)
    step = Set(name, MAXF(best, window.inside(window.read, lowest)))
    body = (Var(name, F32, lowest), *nest(window.taps, (step,)))
    return nest(window.loops, (*body, *finish(window.point, best)))


def lower_sum(low: Lowering, op: Op, finish: Finish) -> Body:
    """A sum over axes (int.sum, nn.sum), or a mean (float nn.mean): added in the order of memory."""
    x, y = op.operands[0], op.result
    axes, keep_dims = op.attrs["axes"], op.attrs["keep_dims"]
    point, loops = low.space(y.type)
    index: list[Affine] = []
    taps: list[tuple[str, int]] = []
    kept = iter(point)
    for axis, extent in enumerate(x.type.shape):
        if axis in axes:
            tap, loop = low.axis(f"r{axis}", extent)
            index.append(tap)
            taps += loop
            if keep_dims:
                next(kept)
        else:
            index.append(next(kept))
    ty = Ty(y.type.storage)
    start = const_of(op.attrs.get("offset", 0), ty)
    body, acc = accumulate(low, start, taps, widened(low.load(x, tuple(index)), ty))
    count = x.type.elements // y.type.elements
    value: Expr = Bin("/", acc, const_of(count, ty)) if isinstance(op, Mean) else acc
    return nest(loops, (*body, *finish(point, value)))


def lower_softmax(low: Lowering, op: Op, finish: Finish) -> Body:
    """Rows of int8: the largest element, the sum of exponentials, then each element's share in fixed point."""
    assert isinstance(op, IntSoftmax)
    x, y = op.x, op.y
    point, loops = low.space(y.type)
    inner = loops[-1:] if y.type.shape[-1] > 1 else []
    outer = loops[: len(loops) - len(inner)]
    table = low.buffer(op.exp_table)

    def row(hint: str) -> tuple[tuple[Affine, ...], list[tuple[str, int]]]:
        at, loop = low.axis(hint, y.type.shape[-1])
        return (*point[:-1], at), loop

    at, loop = row("a")
    top = Local(low.unique("top"), I32)
    find = (
        Var(top.name, I32, Const(-128)),
        *nest(loop, (Set(top.name, Bin("max", top, Cast(low.load(x, at), I32))),)),
    )
    at, loop = row("b")
    exp = Gather(table, Bin("-", top, Cast(low.load(x, at), I32)), I32)
    add, total = accumulate(low, Const(0), loop, ROUNDING_SHIFT_RIGHT(exp, Const(12)))
    scale, shift = Local(low.unique("scale"), I32), Local(low.unique("shift"), I32)
    share = (Let(scale.name, SOFTMAX_SCALE(total)), Let(shift.name, SOFTMAX_SHIFT(total)))
    exp = Gather(table, Bin("-", top, Cast(low.load(x, point), I32)), I32)
    scaled = Bin("-", ROUNDING_SHIFT_RIGHT(DOUBLING_HIGH_MUL(scale, exp), shift), Const(128))
    write = nest(inner, finish(point, Cast(SSAT8(scaled), I8)))
    return nest(outer, (*find, *add, *share, *write))


def lower_softmax_float(low: Lowering, op: Op, finish: Finish) -> Body:
    """Rows of floats: the largest element, exponentials into scratch and their sum, then the division."""
    row = _Row(low, op)
    at, loop = row.index("b")
    scaled = Bin("*", Bin("-", low.load(row.x, at), row.top), Const(op.attrs["beta"], F32))
    powers = low.scratch("powers", DType.F32, (row.extent,))
    power = Local(low.unique("power"), F32)
    add = row.sum(loop, (Let(power.name, EXPF(scaled)), Store(powers, (at[row.axis],), power)), power)
    share = Bin("/", Load(powers, (row.point[row.axis],), F32), row.total)
    return nest(row.outer, (*row.find, *add, *nest(row.inner, finish(row.point, share))))


def lower_log_softmax(low: Lowering, op: Op, finish: Finish) -> Body:
    """Rows of floats: the largest element, the logarithm of the sum of exponentials, then the difference."""
    row = _Row(low, op)
    at, loop = row.index("b")
    power = Local(low.unique("power"), F32)
    add = row.sum(loop, (Let(power.name, EXPF(Bin("-", low.load(row.x, at), row.top))),), power)
    log = Local(low.unique("log"), F32)
    value = Bin("-", Bin("-", low.load(row.x, row.point), row.top), log)
    body = (*row.find, *add, Let(log.name, LOGF(row.total)), *nest(row.inner, finish(row.point, value)))
    return nest(row.outer, body)


class _Row:
    """What the softmaxes share: rows along the last axis (C of an image), and the largest element of each."""

    def __init__(self, low: Lowering, op: Op) -> None:
        self.low, self.x, y = low, op.operands[0], op.result
        self.axis = y.type.axis("C") if y.type.layout else len(y.type.shape) - 1
        self.extent = y.type.shape[self.axis]
        self.point, loops = low.space(y.type)
        self.inner = [loop for loop in loops if loop[0] in self.point[self.axis].vars]
        self.outer = [loop for loop in loops if loop not in self.inner]
        at, loop = self.index("a")
        self.top = Local(low.unique("top"), F32)
        lowest = Const(LOWEST_FLOAT, F32)
        step = Set(self.top.name, MAXF(self.top, low.load(self.x, at)))
        self.find: Body = (Var(self.top.name, F32, lowest), *nest(loop, (step,)))

    def index(self, hint: str) -> tuple[tuple[Affine, ...], list[tuple[str, int]]]:
        """A point of this row with an index of its own, and its loop."""
        at, loop = self.low.axis(hint, self.extent)
        return (*self.point[: self.axis], at, *self.point[self.axis + 1 :]), loop

    def sum(self, loop: list[tuple[str, int]], body: Body, term: Expr) -> Body:
        """`total`, the sum of `term`, which `body` computes, over the row."""
        self.total = Local(self.low.unique("total"), F32)
        step = Set(self.total.name, Bin("+", self.total, term))
        return (Var(self.total.name, F32, Const(0.0, F32)), *nest(loop, (*body, step)))
