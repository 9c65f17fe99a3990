"""What flows backward through int8 layers, as int16 or int8."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.interp import evaluate
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.grad import DenseInput, DenseWeight
from tinyir.ir.ops.grad_conv import Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight
from tinyir.ir.ops.grad_narrow import EXPONENT, Exponent, Narrow, NextExponent, Peak, WidenGradient
from tinyir.ir.ops.int_window import IntSum
from tinyir.ir.ops.nn_elementwise import Add, Mul, Sub
from tinyir.ir.ops.nn_window import Sum
from tinyir.ir.ops.random import Random
from tinyir.ir.ops.tensor import Pad, Reshape, Slice, Transpose
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.semantics import exponent
from tinyir.ir.training import INIT, RATE, STEP, TARGET, forward_ops, state_args
from tinyir.ir.types import DType, TensorType
from tinyir.passes.build_backward import add_state
from tinyir.passes.optimizers import Slot
from tinyir.passes.registry import Pass
from tinyir.passes.step_state import add_update, next_salt, random_state

CONTRACTIONS = (DenseInput, DenseWeight, Conv2DInput, Conv2DWeight, DepthwiseInput, DepthwiseWeight)
MOVEMENTS = (Pad, Slice, Transpose, Reshape)

FEWEST = 64
"""Elements of a tensor that is worth an exponent."""

FEWEST_BITS = 8

PROBES = 4
"""Steps on noise that first exponents are estimated from."""


@dataclass(frozen=True)
class _Storage:
    """How gradients are stored: the type, whether rounding is random, how far peaks may fall below the limit before the
    exponent follows."""

    elem: DType
    stochastic: bool
    room: int


STORAGES = {"i16": _Storage(DType.I16, False, 6), "i8": _Storage(DType.I8, True, 3)}


@dataclass(frozen=True)
class NarrowGradients(Pass):
    """Store gradients of activations as integers with a power of two, and sum products with int8 exactly in int32.

        %g = nn.mul(%d, %factors)  : f32        %g = nn.mul(%d, %factors)
        %dx = grad.conv2d_input(%g, %w)     ->  %q = grad.narrow(%g, %exponent, %base)    : i8
        %db = nn.sum(%g)                        %s = grad.conv2d_input(%q, %w)            : i32
                                                %dx = grad.widen(%s, %exponent, %base)    : f32
                                                ... %db from int.sum(%q)
                                                %exponent.new = grad.next_exponent(%exponent, grad.peak(%q), %base)

    Narrowed is what would be stored: a gradient with several readers, or with one that makes loops of its own. What is
    computed element by element in between stays f32, in registers. `base` is the exponent of the gradient next to the
    loss in this step; `exponent`, relative to it, is state: it follows the peaks of earlier steps, so that the kernel
    that computes a gradient can write it as integers at once. It starts from the peaks of steps on noise, which are
    evaluated here. int8 is rounded at random (by the state `rng`), int16 to the nearest. int16 keep fewer than 16 bits
    where a sum of their products could leave int32.

    Needs: build-backward.  Leaves: gradients of parameters as f32.  Skips tensors of less than 64 elements and those
    that an op reads which takes floats alone (a pooling, a float layer). Refuses a model without integer layers.
    """

    name: ClassVar[str] = "narrow-gradients"
    grad: Literal["i16", "i8"] = "i16"

    def run(self, module: Module) -> dict[str, int]:
        func = module.funcs.get(STEP)
        if func is None:
            return {}
        if not any(op.opname.startswith("int.") for op in module.main.ops):
            raise IRError(
                f"grad={self.grad} stores the gradients of int8 layers, and @{module.main.name} has none",
                help="grad=f32, or quantise the model",
            )
        storage = STORAGES[self.grad]
        bits = _chosen(func, storage)
        if not bits:
            return {"narrow gradients": 0}
        head = _head(next(iter(bits)), _late_ops(func))
        first = _first_exponents(module, head, bits)
        work = _Narrowing(module, func, storage, bits, first, head)
        work.run()
        drop_dead_ops(func)
        saved = sum(value.type.elements * (4 - storage.elem.bytes) for value in bits)
        return {"narrow gradients": len(bits), "bytes less": saved}


# -- which ------------------------------------------------------------------------------------------------------------


def _late_ops(func: Func) -> list[Op]:
    """The ops behind the loss, in order."""
    ahead = forward_ops(func)
    return [op for op in func.ops if op not in ahead]


def _takes_integers(op: Op, g: Value) -> bool:
    """Whether `op` multiplies the gradient `g` with int8."""
    return isinstance(op, CONTRACTIONS) and op.operands[0] is g and op.operands[1].type.elem == DType.I8


def _handed(op: Op) -> list[Value]:
    """The operands of `op` that its result is linear in, as gradients are handed on; none for other ops."""
    if op.opname.startswith("grad."):
        return [op.operands[0]]
    if isinstance(op, Mul):
        values = [v for v in op.operands if constant_of(v) is None]
        return values if len(values) == 1 else []
    if isinstance(op, (Add, Sub)):
        return list(op.operands)
    return [op.operands[0]] if isinstance(op, (*MOVEMENTS, Sum)) else []


def _head(value: Value, late: list[Op]) -> Value:
    """The gradient next to the loss that `value` was handed on from."""
    while value.defining_op in late:
        before = [v for v in _handed(value.defining_op) if v.defining_op in late]
        if not before:
            break
        value = before[0]
    return value


def _chosen(func: Func, storage: _Storage) -> dict[Value, int]:
    """The gradients to narrow, in order, each with its bits: |q| <= 2^(bits - 1), and no sum leaves int32."""
    late = _late_ops(func)
    flows: set[Value] = set()
    for op in reversed(late):
        if any(v in flows for v in op.results):
            flows.update(v for v in _handed(op) if v.defining_op in late)
        flows.update(v for v in op.operands if _takes_integers(op, v) and v.defining_op in late)
    bits: dict[Value, int] = {}
    moved: set[Value] = set()
    for op in late:
        for value in op.results:
            gain = _gain(value)
            if isinstance(op, MOVEMENTS) and op.operands[0] in {*bits, *moved}:
                moved.add(value)
            elif value in flows and value.type.elements >= FEWEST and _is_stored(value) and gain is not None:
                found = min(8 * storage.elem.bytes, ((2**31 - 1) // gain).bit_length())
                if found >= FEWEST_BITS:
                    bits[value] = found
    return bits


def _is_stored(value: Value) -> bool:
    """Whether no kernel has the value in registers alone."""
    users = value.users
    return len(users) != 1 or not users[0].has(Trait.ELEMENTWISE) or users[0].type.shape != value.type.shape


def _gain(value: Value) -> int | None:
    """The most that a reader's sum can be for magnitudes of 1; None where one of them takes floats alone."""
    gains: list[int | None] = [1]
    for op in value.users:
        if _takes_integers(op, value):
            assert isinstance(op, CONTRACTIONS)
            gains.append(op.gain())
        elif isinstance(op, Sum):
            gains.append(value.type.elements // op.type.elements)
        elif isinstance(op, MOVEMENTS):
            gains.append(_gain(op.result))
        elif not op.has(Trait.ELEMENTWISE):
            return None
    known = [gain for gain in gains if gain is not None]
    return max(known) if len(known) == len(gains) else None


# -- how --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """A gradient as integers."""

    q: Value
    exponent: Value


@dataclass
class _Narrowing:
    """Rewrites @train_step, op by op."""

    module: Module
    func: Func
    storage: _Storage
    bits: dict[Value, int]
    first: dict[Value, int]
    head: Value
    _stored: dict[Value, _Stored] = field(default_factory=dict)

    def run(self) -> None:
        block, late = self.func.block, _late_ops(self.func)
        assert self.head.defining_op is not None
        behind = self.func.ops[1 + self.func.ops.index(self.head.defining_op)]
        self.base = Builder(block, before=behind).add(Exponent(self.head, name="gradient_base"))
        rng = random_state(self.module, self.func) if self.storage.stochastic else None
        for op in late:
            values = list(op.results)
            if any(v in self._stored for v in op.operands):
                values = self._read_integers(op)
            for old, value in zip(op.results, values, strict=True):
                if old in self.bits:
                    self._narrow(old, value, rng)

    def _narrow(self, old: Value, value: Value, rng: Value | None) -> None:
        """Store `value`, which has taken the place of `old`, as integers."""
        b = self._behind(self.base if value is self.head else value)
        name = f"gradient{list(self.bits).index(old)}"
        exponent = add_state(self.module, self.func, Slot(f"{name}_exponent", EXPONENT, self.first[old]))
        operands = [value, exponent, self.base]
        if rng is not None:
            words = value.type.with_elem(DType.I32)
            operands.append(b.add(Random(rng, salt=next_salt(self.func), shape=words.shape, types=words)))
        bits = self.bits[old]
        q = b.add(Narrow(*operands, bits=bits, types=value.type.with_elem(self.storage.elem), name=name))
        peak = b.add(Peak(q))
        limit = (1 << (bits - 1)) - 1
        reach: dict[str, Any] = {"limit": limit, "low": limit >> self.storage.room}
        add_update(self.func, b.add(NextExponent(exponent, peak, self.base, **reach, name=f"{exponent.name}.new")))
        self._stored[old] = self._stored[value] = _Stored(q, exponent)

    def _read_integers(self, op: Op) -> list[Value]:
        """Let `op` read integers where it can. Returns what has taken the place of its results."""
        b = Builder(self.func.block, before=op, loc=op.loc)
        value = op.operands[0]
        stored = self._stored.get(value)
        if stored is not None and isinstance(op, MOVEMENTS):
            q = b.add(type(op)(stored.q, types=op.type.with_elem(self.storage.elem), **op.attrs))
            self._stored[op.result] = moved = _Stored(q, stored.exponent)
            return [self._widened(b, op.result, moved, op.type)]
        if stored is not None and (_takes_integers(op, value) or isinstance(op, Sum)):
            types = op.type.with_elem(DType.I32)
            kind = IntSum if isinstance(op, Sum) else type(op)
            total = b.add(kind(stored.q, *op.operands[1:], types=types, **op.attrs))
            result = self._widened(b, op.result, _Stored(total, stored.exponent), op.type)
            op.result.replace_uses(result)
            return [result]
        for index, operand in enumerate(op.operands):
            found = self._stored.get(operand)
            if found is not None:
                op.set_operand(index, self._widened(b, operand, found, operand.type))
        return list(op.results)

    def _widened(self, b: Builder, old: Value, stored: _Stored, type: TensorType) -> Value:
        return b.add(WidenGradient(stored.q, stored.exponent, self.base, types=type, name=old.name))

    def _behind(self, value: Value) -> Builder:
        """A builder right behind what defines `value`."""
        op = value.defining_op
        assert op is not None
        return Builder(self.func.block, before=self.func.ops[1 + self.func.ops.index(op)], loc=op.loc)


# -- first exponents --------------------------------------------------------------------------------------------------


def _first_exponents(module: Module, head: Value, bits: dict[Value, int]) -> dict[Value, int]:
    """For each gradient the exponent with which it is up to half of its limit in steps on noise, relative to the
    exponent of the gradient next to the loss. One that is 0 there gets that of the one before it."""
    rng = np.random.default_rng(0)
    func = module.funcs[STEP]
    params = evaluate(module.funcs[INIT], [])
    peaks = dict.fromkeys(bits, -math.inf)
    seen: dict[Value, npt.NDArray[Any]] = {}
    for _ in range(PROBES):
        with np.errstate(all="ignore"):  # an optimiser may compute what it then leaves out
            evaluate(func, [*_noise(func, rng), *params], observe=lambda value, array: seen.update({value: array}))
        base = int(exponent(seen[head]))
        for value in bits:
            largest = float(np.max(np.abs(seen[value]), initial=0.0))
            if math.isfinite(largest) and largest > 0:
                peaks[value] = max(peaks[value], math.frexp(largest)[1] - base)
    first: dict[Value, int] = {}
    before = 0.0
    for value in bits:
        before = peaks[value] if math.isfinite(peaks[value]) else before
        first[value] = max(-96, min(96, int(before) + 2 - bits[value]))
    return first


def _noise(func: Func, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Arguments of a step but for the parameters: integers of their whole range, normal floats, a rate of 0."""
    state = set(state_args(func))
    arrays: list[npt.NDArray[Any]] = []
    for index, arg in enumerate(func.args):
        if arg in state:
            continue
        storage, shape = arg.type.storage, arg.type.shape
        if index == RATE:
            arrays.append(np.zeros(shape, np.float32))
        elif index == TARGET and "classes" in func.attrs:
            arrays.append(np.array(rng.integers(func.attrs["classes"]), storage.numpy))
        elif storage.is_integer:
            least, most = storage.limits
            arrays.append(rng.integers(least, most + 1, shape).astype(storage.numpy))
        else:
            arrays.append(rng.normal(size=shape).astype(storage.numpy))
    return arrays
