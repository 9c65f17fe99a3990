"""Quantised ops to integer primitives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

from tinyir.ir.builder import Builder
from tinyir.ir.core import Block, Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.expand import storage, typed
from tinyir.ir.ops.func import Const
from tinyir.ir.ops.tensor import Storage, Typed
from tinyir.ir.rewrite import drop_dead_ops, rewrite_until_stable
from tinyir.passes.registry import Pass

Numerics = Literal["tflm", "litert"]


@dataclass(frozen=True)
class LegalizeQuant(Pass):
    """Replace every op on quantised tensors by what it means in integer primitives.

        nn.dense(x, w)  ->  quant.typed(int.requantize(int.dense(quant.storage(x), w'), multipliers, shifts))

    The scales of the types become multipliers and shifts, zero points become offsets. Ops that only move elements
    move the stored integers instead: `tensor.op(x)` -> `quant.typed(tensor.op(quant.storage(x)))`. `numerics` chooses
    whose rounding is reproduced: that of TFLite Micro, or that of LiteRT's reference kernels.

    Weights and biases may be arguments, for training: then the program folds the zero point of the input.

    Needs: nothing.  Leaves: no op on quantised tensors but quant.storage, quant.typed, constants
    and func.return; `canonicalize` then cancels the pairs of the former, so that function arguments and results alone
    keep quantised types.  Refuses an op that has no integer form.
    """

    name: ClassVar[str] = "legalize-quant"
    numerics: Numerics = "tflm"

    def run(self, module: Module) -> dict[str, int]:
        hits: Counter[str] = Counter()
        for func in module.funcs.values():
            hits += rewrite_until_stable(func, [expand_op, move_stored_integers], self.numerics)
            drop_dead_ops(func)
            _refuse_quantised_ops(func)
        return dict(hits)


def expand_op(op: Op, b: Builder) -> list[Value] | None:
    """An op -> its expansion in primitives"""
    values = op.expand(b)
    if values is None:
        return None
    results = [values] if isinstance(values, Value) else list(values)
    for old, new in zip(op.results, results, strict=True):
        _name_stored_integers(new, old.name)
    return results


def _name_stored_integers(value: Value, name: str) -> None:
    """Let the integers behind `value` have the name of the tensor, and not the accumulators that they come from."""
    if isinstance(value.owner, Typed):
        stored = value.owner.x
        for operand in stored.owner.operands if isinstance(stored.owner, Op) else []:
            if operand.name == name and not isinstance(operand.owner, Block):
                operand.name = f"{name}_acc"
        stored.name = stored.name or name


def move_stored_integers(op: Op, b: Builder) -> Value | None:
    """tensor.op(xs) on quantised types -> typed(tensor.op(storage(x) for each x))"""
    if not op.opname.startswith("tensor.") or op.type.quant is None:
        return None
    plain = op.type.with_elem(op.type.storage)
    xs = [storage(b, x) for x in op.operands]
    return typed(b, b.add(type(op)(*xs, types=plain, loc=op.loc, name=op.result.name, **op.attrs)), op.type)


def _refuse_quantised_ops(func: Func) -> None:
    """Raise IRError at an op that still works on quantised tensors."""
    for op in func.walk():
        if isinstance(op, Storage | Typed | Const) or op.has(Trait.TERMINATOR) or op.region is not None:
            continue
        for value in (*op.operands, *op.results):
            if value.type.quant is not None:
                raise op.fail(f"has no form in integer primitives for {value.type}")
