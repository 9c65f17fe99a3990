"""Primitives that change buffers: stage (cache_read), flatten, pack, pad_sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.affine import flatten as flat_index
from tinyir.loops.analysis import extents_of, stored_buffers
from tinyir.loops.ir import (
    F32,
    Bin,
    Body,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    Gather,
    Kernel,
    Load,
    Local,
    Packing,
    Param,
    Set,
    Stmt,
    Store,
    Ty,
)
from tinyir.loops.schedule.core import find, inner_loops, param_of, primitive, refuse, replace_loop, require_new
from tinyir.loops.walk import all_exprs, map_expr, map_exprs, map_stmts

Index = tuple[Affine, ...]


@primitive
def stage(kernel: Kernel, buffer: str, at: str, name: str, dtype: str) -> Kernel:
    """Copy what one iteration of the loop `at` reads of `buffer` into a scratch buffer first (cache_read).

    for at { ... where [g] x[2*h + kh - 1, c] else 0 ... }
        ->  for at { for s0 { for s1 { name[s0, s1] = where [g'] x[...] else 0 } }  ... name[kh, c] ... }

    Guards go with the copy, so padding is part of what is staged. `dtype` widens the elements; integers are staged as
    f32 by their conversion, f32(x[..]) or f32(x[..] - 3). With `at` = "all" the copy stands before everything else.
    Refuses a buffer that is read in more than one way or written in the loop, and a copy that would read outside of it.
    """
    loop = For("", 1, kernel.body) if at == "all" else find(kernel, at)
    converted = dtype == "f32" and param_of(kernel, buffer).dtype.is_integer
    if not converted:
        _require_wider(kernel, buffer, dtype)
    region = _Region.of(kernel, loop, buffer, converted)
    wide = Ty(DType(dtype))
    loops = [(f"{name}_{d}", size) for d, size in enumerate(region.sizes)]
    require_new(kernel, name, *(var for var, size in loops if size > 1))
    steps = [Affine.of(var) if size > 1 else Affine() for var, size in loops]
    copied = region.source(kernel, steps)
    value: Expr = copied if wide == copied.ty else Cast(copied, wide)
    kept = [d for d, size in enumerate(region.sizes) if size > 1] or [0]
    copy: Body = (Store(name, tuple(steps[d] for d in kept), value),)
    for d in reversed(kept):
        if region.sizes[d] > 1:
            copy = (For(loops[d][0], loops[d][1], copy),)
    read = Load(name, tuple(region.inner[d] for d in kept), wide)

    back: Expr = read if wide == region.expr.ty else Cast(read, region.expr.ty)

    def visit(expr: Expr) -> Expr:
        if expr == region.expr:
            return back
        if isinstance(expr, Cast) and isinstance(back, Cast) and expr.value == back:
            return read if wide == expr.ty else Cast(read, expr.ty)
        return expr

    body = (*copy, *map_exprs(loop.body, visit))
    scratch = Param(name, "scratch", DType(dtype), tuple(region.sizes[d] for d in kept))
    kernel = replace(kernel, params=(*kernel.params, scratch))
    return kernel.with_body(body) if at == "all" else replace_loop(kernel, at, lambda old: (replace(old, body=body),))


def _require_wider(kernel: Kernel, buffer: str, dtype: str) -> None:
    """Raise ScheduleError unless every element of `buffer` keeps its value in the type called `dtype`."""
    old = param_of(kernel, buffer).dtype
    new = next((t for t in DType if str(t) == dtype), None)
    if new is old:
        return
    if new is None or not (old.is_integer and new.is_integer):
        raise refuse(kernel, f"stage `{buffer}` as {dtype}", f"an {old} is none")
    if new.limits[0] > old.limits[0] or new.limits[1] < old.limits[1]:
        raise refuse(kernel, f"stage `{buffer}` as {dtype}", f"not every {old} fits")


@dataclass(frozen=True)
class _Region:
    """What a loop body reads of a buffer: one expression, a load in it; for each dimension the part of the index that
    stays (outer), the part that moves inside the body, counted from 0 (inner), and how far that goes (sizes)."""

    expr: Expr
    load: Load
    outer: tuple[Affine, ...]
    inner: tuple[Affine, ...]
    sizes: tuple[int, ...]

    @staticmethod
    def of(kernel: Kernel, loop: For, buffer: str, converted: bool) -> _Region:
        """The region; with `converted` the expression is the element's conversion to f32."""

        def element(expr: Expr) -> Load | None:
            inside = expr.value if isinstance(expr, Cond) else expr
            load = _loaded(inside) if not converted or (isinstance(inside, Cast) and inside.ty == F32) else None
            return load if load is not None and load.buffer == buffer and (converted or inside == load) else None

        def reads(expr: Expr) -> bool:
            return element(expr) is not None

        if param_of(kernel, buffer).role == "out" or buffer in stored_buffers(loop.body):
            raise refuse(kernel, f"stage `{buffer}`", "what it holds changes while it is read")
        found = [e for e in all_exprs(loop.body) if reads(e)]
        guarded = {e.value for e in found if isinstance(e, Cond)}
        whole = {e for e in found if isinstance(e, Cond) or e not in guarded}
        if len(whole) != 1:
            raise refuse(kernel, f"stage `{buffer}`", f"it is read in {len(whole)} ways in `{loop.var}`")
        expr = whole.pop()
        load = element(expr)
        assert load is not None
        if load.ty.lanes > 1 or not load.index:
            raise refuse(kernel, f"stage `{buffer}`", "it is read by words" if load.index else "it is one element")
        extents, moving = extents_of(kernel), inner_loops(loop)
        outer, inner, sizes = [], [], []
        for part in load.index:
            inside = part.part(moving)
            lo, hi = inside.range(extents)
            outer.append(part - inside + lo)
            inner.append(inside - lo)
            sizes.append(hi - lo + 1)
        return _Region(expr, load, tuple(outer), tuple(inner), tuple(sizes))

    def source(self, kernel: Kernel, steps: list[Affine]) -> Expr:
        """The element that lies `steps` into the region, with its guards. Raises ScheduleError for a guard that is no
        index, and where the region leaves the buffer."""
        index = tuple(o + s for o, s in zip(self.outer, steps, strict=True))
        load = replace(self.load, index=index)
        moved = list(zip(self.load.index, index, strict=True))
        guards: list[Guard] = []
        for guard in self.expr.guards if isinstance(self.expr, Cond) else ():
            if guard.expr not in self.load.index:
                raise refuse(kernel, f"stage `{load.buffer}`", f"the guard {guard} is no index of it")
            guards += [Guard(new, guard.bound) for old, new in moved if old == guard.expr]
        extents = extents_of(kernel) | {s.vars[0]: n for s, n in zip(steps, self.sizes, strict=True) if s.terms}
        for at, size in zip(index, param_of(kernel, load.buffer).shape, strict=True):
            lo, hi = at.range(extents)
            if (lo < 0 or hi >= size) and not any(g.expr == at and g.bound <= size for g in guards):
                raise refuse(kernel, f"stage `{load.buffer}`", f"the copy would read it at {lo}..{hi} of {size}")
        inside = self.expr.value if isinstance(self.expr, Cond) else self.expr
        value = map_expr(inside, lambda e: load if e == self.load else e)
        if not isinstance(self.expr, Cond):
            return value
        if not isinstance(self.expr.other, Const):
            raise refuse(kernel, f"stage `{load.buffer}`", "it has no constant where its guards fail")
        return Cond(tuple(guards), value, self.expr.other)


def _loaded(expr: Expr) -> Load | None:
    """The load that an expression is made of, with conversions and numbers alone."""
    match expr:
        case Load():
            return expr
        case Cast(value=value) | Bin(a=value, b=Const()):
            return _loaded(value)
    return None


@primitive
def flatten(kernel: Kernel, buffer: str, first: int) -> Kernel:
    """The dimensions of a buffer from `first` on become one, with linear indices. Needed before loops over two of them
    are fused."""
    param = param_of(kernel, buffer)
    shape = param.shape
    if not 0 <= first < max(len(shape), 1):
        raise refuse(kernel, f"flatten `{buffer}` from {first}", f"it has {len(shape)} dimensions")

    kernel = reindexed(kernel, buffer, lambda index: (*index[:first], flat_index(index[first:], shape[first:])))
    return with_param(kernel, replace(param, shape=(*shape[:first], prod(shape[first:]))))


def reindexed(kernel: Kernel, buffer: str, new: Callable[[Index], Index]) -> Kernel:
    """The kernel with every index of a buffer changed."""

    def in_expr(expr: Expr) -> Expr:
        return replace(expr, index=new(expr.index)) if isinstance(expr, Load) and expr.buffer == buffer else expr

    def in_stmt(stmt: Stmt) -> Body:
        return (replace(stmt, index=new(stmt.index)),) if isinstance(stmt, Store) and stmt.buffer == buffer else (stmt,)

    return kernel.with_body(map_stmts(map_exprs(kernel.body, in_expr), in_stmt))


@primitive
def pack(kernel: Kernel, buffer: str, *order: str) -> Kernel:
    """Lay a constant out anew, in the order in which the loops `order` use it.

    w[2*oo + oi, k], order oo, k, oi  ->  w'[oo, k, oi]. Done at compile time; elements that the loops reach outside of
    the constant (see `pad_sum`) are 0. Refuses a buffer read in more than one way, or by words.
    """
    param = param_of(kernel, buffer)
    if param.role != "const":
        raise refuse(kernel, f"pack `{buffer}`", "it is no constant")
    loads = {e for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == buffer}
    if len(loads) != 1:
        raise refuse(kernel, f"pack `{buffer}`", f"it is read in {len(loads)} ways")
    load = loads.pop()
    if load.ty.lanes > 1 or is_gathered(kernel, buffer):
        raise refuse(kernel, f"pack `{buffer}`", "it is read by words, or as a table")
    extents = extents_of(kernel)
    used = {v for at in load.index for v in at.vars}
    if used != set(order) or len(used) != len(order):
        raise refuse(kernel, f"pack `{buffer}` by {', '.join(order)}", f"it is indexed by {', '.join(sorted(used))}")
    dims = {v: Affine.of(f"d{i}") for i, v in enumerate(order)}
    old = param.packing or Packing.identity(param.shape, param.shape)
    if old.dims != param.shape:
        raise refuse(kernel, f"pack `{buffer}`", "it was packed and flattened")
    shape = tuple(extents[v] for v in order)
    packing = old.after(shape, tuple(at.substitute(dims) for at in load.index))
    packed = replace(param, shape=shape, packing=packing)
    read = replace(load, index=tuple(Affine.of(v) for v in order))
    kernel = kernel.with_body(map_exprs(kernel.body, lambda e: read if e == load else e))
    return with_param(kernel, packed)


@primitive
def pad_sum(kernel: Kernel, var: str, multiple: int) -> Kernel:
    """Lengthen a loop that sums products to a multiple of `multiple`; the added weights are 0.

    The constant gets zeros at its end (through its packing), the other factor must be scratch, which gets room. Exact
    for integers: whatever lies in that room is multiplied by 0.
    """
    loop = find(kernel, var)
    if multiple < 1:
        raise refuse(kernel, f"pad `{var}`", f"{multiple} is no number of elements")
    extent = -(-loop.extent // multiple) * multiple
    if extent == loop.extent:
        return kernel
    consts, scratch = _factors(kernel, loop)
    param = kernel.param(consts.buffer)
    axis = _axis_of(kernel, consts, var)
    if consts.index[axis] != Affine.of(var):
        raise refuse(kernel, f"pad `{var}`", f"`{consts.buffer}` is indexed by {consts.index[axis]}")
    shape = tuple(extent if d == axis else n for d, n in enumerate(param.shape))
    if param.packing is not None:
        raise refuse(kernel, f"pad `{var}`", f"`{consts.buffer}` is packed")
    kernel = with_param(kernel, replace(param, shape=shape, packing=Packing.identity(param.shape, shape)))
    room = kernel.param(scratch.buffer)
    at = _axis_of(kernel, scratch, var)
    _, most = scratch.index[at].range({**extents_of(kernel), var: extent})
    grown = tuple(max(n, most + 1) if d == at else n for d, n in enumerate(room.shape))
    kernel = with_param(kernel, replace(room, shape=grown))
    return replace_loop(kernel, var, lambda old: (replace(old, extent=extent),))


def _factors(kernel: Kernel, loop: For) -> tuple[Load, Load]:
    """The constant and the scratch factor of `acc = acc + cast(scratch) * cast(const)`, all that a loop does."""
    match loop.body:
        case (Set(name=name, value=Bin(op="+", a=Local(name=same), b=Bin(op="*", a=a, b=b) as term)),):
            loads = [e for e in (uncast(a), uncast(b)) if isinstance(e, Load) and e.ty.lanes == 1]
            consts = [e for e in loads if kernel.param(e.buffer).role == "const"]
            scratch = [e for e in loads if kernel.param(e.buffer).role == "scratch"]
            if same == name and term.ty.dtype is DType.I32 and len(consts) == len(scratch) == 1:
                return consts[0], scratch[0]
    raise refuse(kernel, f"pad `{loop.var}`", "it is no integer sum of scratch times constant")


def uncast(expr: Expr) -> Expr:
    """What is converted, however often."""
    while isinstance(expr, Cast):
        expr = expr.value
    return expr


def is_gathered(kernel: Kernel, buffer: str) -> bool:
    """Whether a buffer is read as a table, at computed indices."""
    return any(isinstance(e, Gather) and e.buffer == buffer for e in all_exprs(kernel.body))


def _axis_of(kernel: Kernel, load: Load, var: str) -> int:
    axes = [d for d, at in enumerate(load.index) if at.coef(var)]
    if len(axes) != 1 or load.index[axes[0]].coef(var) != 1:
        raise refuse(kernel, f"pad `{var}`", f"it does not run along one dimension of `{load.buffer}`")
    return axes[0]


def with_param(kernel: Kernel, new: Param) -> Kernel:
    """The kernel with the parameter of that name replaced."""
    return replace(kernel, params=tuple(new if p.name == new.name else p for p in kernel.params))
