"""The primitive pair_products: sums of single products as SMLAD and its kin on halves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard, flatten
from tinyir.loops.analysis import extents_of
from tinyir.loops.instrs import HALF_PRODUCTS, SMLAD, SXTB16, SXTB16_ROR8
from tinyir.loops.ir import (
    I8X4,
    I16,
    I16X2,
    I32,
    Bin,
    Body,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    Local,
    Packing,
    Param,
    Set,
    Stmt,
    Store,
)
from tinyir.loops.schedule.core import param_of, primitive, refuse, require_new
from tinyir.loops.schedule.data import is_gathered, with_param
from tinyir.loops.schedule.tidy import lies_inside
from tinyir.loops.walk import all_exprs, map_exprs, map_stmts, substitute, walk


@primitive
def pair_products(kernel: Kernel, weights: str) -> Kernel:
    """s = s + x[2*i] * w[0]; s = s + x[2*i + 1] * w[1]; s = s + x[2*i + 2] * w[2]
        ->  s = smlad(x[2*i] as i16x2, w[0, 0] as i16x2, s); s = smlabb(x[2*i + 2] as i16x2, w[1, 0] as i16x2, s)

    Two products are one instruction where their elements of x share an aligned word and their weights are neighbours;
    the others multiply halves of words. The last dimension of the constant becomes the pairs that are needed (see
    `_Pairs`): words of int16 as they are, or words of int8 that hold two pairs, which SXTB16 and SXTB16 with ROR #8
    unpack. Weights may also be scratch of int16 that one loop over the last dimension fills: it then fills the pairs.
    Refuses weights that are used for anything else, and words of x that end outside of their row.
    """
    param = param_of(kernel, weights)
    dtypes = {"const": (DType.I8, DType.I16), "scratch": (DType.I16,)}.get(param.role, ())
    if param.dtype not in dtypes or not param.shape or is_gathered(kernel, weights):
        reason = "it is no constant of int8 or int16, nor scratch of int16"
        raise refuse(kernel, f"pair the products of `{weights}`", reason)
    old = param.packing or Packing.identity(param.shape, param.shape)
    if old.dims != param.shape:
        raise refuse(kernel, f"pair the products of `{weights}`", "it was packed and flattened")
    loads = [e for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == weights]
    if not loads or any(load.ty.lanes > 1 for load in loads):
        raise refuse(kernel, f"pair the products of `{weights}`", "it is read by words, or not at all")
    pairs = _Pairs.of(kernel, weights)
    body = _paired(kernel, pairs, kernel.body)
    if any(isinstance(e, Load) and e.buffer == weights and e.ty.lanes == 1 for e in all_exprs(body)):
        raise refuse(kernel, f"pair the products of `{weights}`", "it is used for something else")
    packed = pairs.packed(param, old)
    if param.role == "const":
        return with_param(kernel.with_body(body), packed)
    body = _filled_in_pairs(kernel, pairs, body)
    return with_param(kernel.with_body(body), replace(packed, packing=None))


@primitive
def read_pairs(kernel: Kernel, weights: str) -> Kernel:
    """w[.., 2]  ->  w[.., place of tap 2]: a constant laid out in pairs of neighbours as `pair_products` wants them for
    windows one element apart, and read element by element, so that both can share one array. Refuses taps whose numbers
    are not known.
    """
    param = param_of(kernel, weights)
    known = param.role == "const" and param.dtype in (DType.I8, DType.I16) and len(param.shape) > 0
    old = param.packing or Packing.identity(param.shape, param.shape)
    loads = [e for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == weights]
    if not known or is_gathered(kernel, weights) or old.dims != param.shape:
        raise refuse(kernel, f"read pairs of `{weights}`", "it is no constant of int8 or int16, or flat")
    if any(load.ty.lanes > 1 or load.index[-1].terms for load in loads):
        raise refuse(kernel, f"read pairs of `{weights}`", "it is read by words, or by a loop over taps")
    pairs = _Pairs(weights, param.dtype, param.shape[-1], 1, 0)

    def placed(expr: Expr) -> Expr:
        if not isinstance(expr, Load) or expr.buffer != weights:
            return expr
        return replace(expr, index=(*expr.index[:-1], *pairs.place(expr.index[-1].const)))

    return with_param(kernel.with_body(map_exprs(kernel.body, placed)), pairs.packed(param, old))


def _filled_in_pairs(kernel: Kernel, pairs: _Pairs, body: Body) -> Body:
    """A body whose loop that fills the weights, tap by tap, fills pairs instead."""
    count = sum(isinstance(stmt, Store) and stmt.buffer == pairs.weights for stmt in walk(body))
    done = 0

    def visit(stmt: Stmt) -> Body:
        nonlocal done
        match stmt:
            case For(var=var, body=(Store(buffer=buffer, index=(*outer, last), value=value),)):
                if buffer == pairs.weights and last == Affine.of(var) and stmt.extent == pairs.taps:
                    done += 1
                    pair, half = f"{var}_pair", f"{var}_half"
                    require_new(kernel, pair, half)
                    tap = Affine.of(pair) * pairs.step + Affine.of(half) - pairs.before
                    moved = substitute((Let("", value),), {var: tap})[0]
                    assert isinstance(moved, Let)
                    held = Cond((Guard(tap, pairs.taps),), moved.value, Const(0, value.ty))
                    store = Store(buffer, (*outer, Affine.of(pair), Affine.of(half)), held)
                    return (For(pair, pairs.count, (For(half, 2, (store,)),)),)
        return (stmt,)

    body = map_stmts(body, visit)
    if not count == done == 1:
        raise refuse(kernel, f"pair the products of `{pairs.weights}`", "no loop over its taps fills it")
    return body


@dataclass(frozen=True)
class _Pairs:
    """The pairs of neighbours among `taps` weights that products need, as pair `d` of taps step*d - before and the one
    after it (0 where there is none): every pair, so that either half of every word is at hand, or, where windows begin
    at the same half of a word each, those that begin there."""

    weights: str
    dtype: DType
    taps: int
    step: int
    before: int

    @staticmethod
    def of(kernel: Kernel, weights: str) -> _Pairs:
        """What the products of a kernel need."""
        param = kernel.param(weights)
        terms = [term for stmt in walk(kernel.body) if (term := _term(kernel, weights, stmt)) is not None]
        halves = {(term.half - term.tap) % 2 for term in terms}
        step, before = (2, halves.pop()) if len(halves) == 1 else (1, 0)
        return _Pairs(weights, param.dtype, param.shape[-1], step, before)

    @property
    def count(self) -> int:
        return (self.taps + self.before + 1) // 2 if self.step == 2 else max(1, self.taps - 1)

    def holding(self, tap: int) -> tuple[int, int]:
        """The pair with a tap that no other is multiplied with, and the half that it is there."""
        pair = min((tap + self.before) // self.step, self.count - 1)
        return pair, tap - self.first(pair)

    def place(self, tap: int) -> tuple[Affine, ...]:
        """Where a tap lies in the last dimensions that `packed` makes."""
        pair, half = self.holding(tap)
        if self.dtype is DType.I16:
            return Affine.of(pair), Affine.of(half)
        return (Affine.of(pair // 2), Affine.of(2 * half + pair % 2))

    def first(self, pair: int) -> int:
        return self.step * pair - self.before

    def word(self, outer: tuple[Affine, ...], pair: int) -> Expr:
        """What fetches a pair."""
        if self.dtype is DType.I16:
            return Load(self.weights, (*outer, Affine.of(pair), Affine()), I16X2)
        return (SXTB16, SXTB16_ROR8)[pair % 2](Load(self.weights, (*outer, Affine.of(pair // 2), Affine()), I8X4))

    def packed(self, param: Param, old: Packing) -> Param:
        """The constant in words: [.., pair, half] of int16, or [.., word, half, pair of the word] of int8."""
        outer = tuple(Affine.of(f"d{i}") for i in range(len(param.shape) - 1))
        last = [Affine.of(f"d{len(outer) + i}") for i in range(3)]
        if self.dtype is DType.I16:
            dims = shape = (*param.shape[:-1], self.count, 2)
            tap = last[0] * self.step + last[1] - self.before
        else:
            dims = (*param.shape[:-1], -(-self.count // 2), 2, 2)
            shape = (*dims[:-2], 4)
            tap = (last[0] * 2 + last[2]) * self.step + last[1] - self.before
        return replace(param, shape=shape, packing=old.after(dims, (*outer, tap)))


@dataclass(frozen=True)
class _Term:
    """A product of an element of the image, at `place` from the start of its buffer, and a weight."""

    image: Load
    place: Affine
    weight: Load

    @property
    def tap(self) -> int:
        return self.weight.index[-1].const

    @property
    def half(self) -> int:
        """Which half of its aligned word the element is."""
        return self.place.const % 2


def _paired(kernel: Kernel, pairs: _Pairs, body: Body) -> Body:
    """A body with the runs of products in it paired."""
    result: list[Stmt] = []
    run: list[tuple[str, _Term]] = []

    def flush() -> None:
        for name in dict.fromkeys(name for name, _ in run):
            result.extend(_instructions(kernel, pairs, name, [term for other, term in run if other == name]))
        run.clear()

    for stmt in body:
        term = _term(kernel, pairs.weights, stmt)
        if term is not None and isinstance(stmt, Set):
            run.append((stmt.name, term))
            continue
        flush()
        match stmt:
            case For(body=inner):
                result.append(replace(stmt, body=_paired(kernel, pairs, inner)))
            case If(body=inner, orelse=orelse):
                paired = _paired(kernel, pairs, inner), _paired(kernel, pairs, orelse)
                result.append(replace(stmt, body=paired[0], orelse=paired[1]))
            case _:
                result.append(stmt)
    flush()
    return tuple(result)


def _term(kernel: Kernel, weights: str, stmt: Stmt) -> _Term | None:
    """The product that a statement adds to a local, if it is one of those sought."""
    match stmt:
        case Set(
            name=name,
            value=Bin(
                op="+", a=Local(name=same), b=Bin(op="*", a=Cast(value=Load() as a, ty=ty), b=Cast(value=Load() as b))
            ),
        ) if same == name and ty == I32:
            image, weight = (a, b) if b.buffer == weights else (b, a)
            if weight.buffer != weights or image.buffer == weights or image.ty != I16 or not image.index:
                return None
            place = flatten(image.index, kernel.param(image.buffer).shape)
            if (place - place.const).multiple_of(2) and not weight.index[-1].terms:
                return _Term(image, place, weight)
    return None


def _instructions(kernel: Kernel, pairs: _Pairs, name: str, terms: list[_Term]) -> list[Stmt]:
    """The instructions that add all `terms` to the local `name`."""
    left = {(t.image.buffer, t.place, t.weight.index): t for t in terms}
    if len(left) != len(terms):
        raise refuse(kernel, f"pair the products of `{terms[0].weight.buffer}`", f"one is added to `{name}` twice")
    result: list[Stmt] = []
    for term in terms:
        if (term.image.buffer, term.place, term.weight.index) not in left:
            continue
        del left[term.image.buffer, term.place, term.weight.index]
        next_weight = (*term.weight.index[:-1], term.weight.index[-1] + 1)
        partner = left.pop((term.image.buffer, term.place + 1, next_weight), None) if term.half == 0 else None
        pair, half = pairs.holding(term.tap)
        if partner is not None:
            pair = (term.tap + pairs.before) // pairs.step
        instr = SMLAD if partner is not None else HALF_PRODUCTS[term.half][half]
        word, weight = _image_word(kernel, term), pairs.word(term.weight.index[:-1], pair)
        result.append(Set(name, instr(word, weight, Local(name, instr.result))))
    return result


def _image_word(kernel: Kernel, term: _Term) -> Expr:
    """The aligned word that holds the element of the image. Raises ScheduleError where it leaves the row."""
    buffer, index = term.image.buffer, term.image.index
    word = Load(buffer, (*index[:-1], index[-1] - term.half), I16X2)
    if not lies_inside(word, kernel.param(buffer).shape, extents_of(kernel)):
        at = ", ".join(map(str, word.index))
        raise refuse(kernel, f"pair the products of `{term.weight.buffer}`", f"the word {buffer}[{at}] leaves its row")
    return word
