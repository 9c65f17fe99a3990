"""The primitive pair_products: sums of single products of int16 as SMLAD and its kin on halves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, flatten
from tinyir.loops.analysis import extents_of
from tinyir.loops.instrs import HALF_PRODUCTS, SMLAD
from tinyir.loops.ir import (
    I16,
    I16X2,
    I32,
    Bin,
    Body,
    Cast,
    Expr,
    For,
    If,
    Kernel,
    Load,
    Local,
    Packing,
    Set,
    Stmt,
    all_exprs,
)
from tinyir.loops.schedule.core import param_of, primitive, refuse
from tinyir.loops.schedule.data import is_gathered, with_param
from tinyir.loops.schedule.tidy import lies_inside


@primitive
def pair_products(kernel: Kernel, weights: str) -> Kernel:
    """s = s + x[2*i] * w[0]; s = s + x[2*i + 1] * w[1]; s = s + x[2*i + 2] * w[2]
        ->  s = smlad(x[2*i] as i16x2, w[0, 0] as i16x2, s); s = smlabt(x[2*i + 2] as i16x2, w[1, 0] as i16x2, s)

    Two products are one instruction where their elements of x share an aligned word and their weights are neighbours;
    the others multiply halves of words. The last dimension of the constant, n elements, becomes n - 1 pairs of
    neighbours, so that either half of every word is at hand. Refuses a constant that is used for anything else, and
    words of x that end outside of their row.
    """
    param = param_of(kernel, weights)
    if param.role != "const" or param.dtype is not DType.I16 or is_gathered(kernel, weights) or not param.shape:
        raise refuse(kernel, f"pair the products of `{weights}`", "it is no constant of int16")
    old = param.packing or Packing.identity(param.shape, param.shape)
    if old.dims != param.shape:
        raise refuse(kernel, f"pair the products of `{weights}`", "it was packed and flattened")
    loads = [e for e in all_exprs(kernel.body) if isinstance(e, Load) and e.buffer == weights]
    if not loads or any(load.ty.lanes > 1 for load in loads):
        raise refuse(kernel, f"pair the products of `{weights}`", "it is read by words, or not at all")
    pairs = max(1, param.shape[-1] - 1)
    dims = tuple(Affine.of(f"d{i}") for i in range(len(param.shape)))
    shape = (*param.shape[:-1], pairs, 2)
    packing = old.after(shape, (*dims[:-1], dims[-1] + f"d{len(dims)}"))
    body = _paired(kernel, weights, kernel.body)
    kernel = with_param(kernel.with_body(body), replace(param, shape=shape, packing=packing))
    if any(isinstance(e, Load) and e.buffer == weights and e.ty.lanes == 1 for e in all_exprs(body)):
        raise refuse(kernel, f"pair the products of `{weights}`", "it is used for something else")
    return kernel


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


def _paired(kernel: Kernel, weights: str, body: Body) -> Body:
    """A body with the runs of products in it paired."""
    result: list[Stmt] = []
    run: list[tuple[str, _Term]] = []

    def flush() -> None:
        for name in dict.fromkeys(name for name, _ in run):
            result.extend(_instructions(kernel, name, [term for other, term in run if other == name]))
        run.clear()

    for stmt in body:
        term = _term(kernel, weights, stmt)
        if term is not None and isinstance(stmt, Set):
            run.append((stmt.name, term))
            continue
        flush()
        match stmt:
            case For(body=inner):
                result.append(replace(stmt, body=_paired(kernel, weights, inner)))
            case If(body=inner, orelse=orelse):
                paired = _paired(kernel, weights, inner), _paired(kernel, weights, orelse)
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


def _instructions(kernel: Kernel, name: str, terms: list[_Term]) -> list[Stmt]:
    """The instructions that add all `terms` to the local `name`."""
    pairs = max(1, kernel.param(terms[0].weight.buffer).shape[-1] - 1)
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
        word = _image_word(kernel, term)
        tap = term.tap if partner is not None or term.tap < pairs else term.tap - 1
        weight = _weight_word(term, tap)
        instr = SMLAD if partner is not None else HALF_PRODUCTS[term.half][term.tap - tap]
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


def _weight_word(term: _Term, tap: int) -> Expr:
    """The pair of weights that begins with `tap`."""
    return Load(term.weight.buffer, (*term.weight.index[:-1], Affine.of(tap), Affine()), I16X2)
