"""Random graphs of primitives, by seed: `canonicalize` keeps what they compute, and comes to rest."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passcheck import random_inputs
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.clone import clone_func
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.interp import evaluate
from tinyir.ir.ops import int_elementwise as integer
from tinyir.ir.ops import tensor
from tinyir.ir.printer import print_module
from tinyir.ir.types import DType, TensorType, q8
from tinyir.ir.verifier import verify_func
from tinyir.passes.canonicalize import canonicalize

LAYOUTS = ("", "NHW", "CHW", "HWC")


class RandomGraph:
    """A function that grows by random ops on random earlier values, all of rank 3."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = FuncBuilder()
        layout = str(self.rng.choice(LAYOUTS))
        shape = tuple(int(n) for n in self.rng.integers(1, 4, 3))
        self.values = [self.b.arg(TensorType(shape, DType.I8, layout), f"x{i}") for i in range(2)]

    def func(self, size: int) -> Func:
        makers = [
            self.reshape, self.transpose, self.pad, self.slice, self.concat, self.clamp, self.requantize,
            self.lookup, self.cast, self.constant, self.float_and_back,
        ]  # fmt: skip
        for _ in range(size):
            maker = makers[self.rng.integers(len(makers))]
            x = self.values[self.rng.integers(len(self.values))]
            self.values.append(maker(x))
        count = int(self.rng.integers(1, 4))
        return self.b.ret(*(self.values[-1 - int(i)] for i in self.rng.integers(0, 4, count)))

    def numbers(self, least: int, most: int, count: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.rng.integers(least, most + 1, count))

    def add(self, op: Op) -> Value:
        return self.b.add(op)

    def reshape(self, x: Value) -> Value:
        order = self.rng.permutation(3)
        shape = tuple(x.type.shape[i] for i in order)
        return self.add(tensor.Reshape(x, shape=shape, types=x.type.with_shape(shape, str(self.rng.choice(LAYOUTS)))))

    def transpose(self, x: Value) -> Value:
        perm = tuple(int(i) for i in self.rng.permutation(3))
        shape = tuple(x.type.shape[i] for i in perm)
        named = self.rng.random() < 0.3
        layout = str(self.rng.choice(LAYOUTS)) if named else "".join(x.type.layout[i] for i in perm if x.type.layout)
        return self.add(tensor.Transpose(x, perm=perm, types=x.type.with_shape(shape, layout)))

    def pad(self, x: Value) -> Value:
        margins = self.rng.choice([0, 0, 0, 1], (3, 2))
        pads = tuple((int(before), int(after)) for before, after in margins)
        return self.add(tensor.Pad(x, pads=pads, value=float(self.rng.integers(0, 2))))

    def slice(self, x: Value) -> Value:
        begin, size, stride = list[int](), list[int](), list[int]()
        for n in x.type.shape:
            step = int(self.rng.choice([-2, -1, 1, 1, 1, 2]))
            first = 0 if step > 0 else n - 1
            most = 1 + (n - 1) // abs(step)
            count = most if self.rng.random() < 0.7 else int(self.rng.integers(1, most + 1))
            begin, size, stride = [*begin, first], [*size, count], [*stride, step]
        return self.add(tensor.Slice(x, begin=tuple(begin), size=tuple(size), stride=tuple(stride)))

    def concat(self, x: Value) -> Value:
        count = 1 if x.type.elements > 60 else int(self.rng.integers(1, 3))
        return self.add(tensor.Concat([x] * count, axis=int(self.rng.integers(3))))

    def clamp(self, x: Value) -> Value:
        lo, hi = sorted(self.numbers(-128, 127, 2)) if self.rng.random() < 0.8 else (-128, 127)
        return self.add(integer.Clamp(x, lo=lo, hi=hi))

    def requantize(self, x: Value) -> Value:
        """An accumulator as the sum of two values where they go together, and back to int8."""
        fitting = [v for v in self.values if v.type == x.type]
        other = fitting[self.rng.integers(len(fitting))]
        wide = [self.add(integer.Widen(v, offset=int(self.rng.integers(0, 2)))) for v in (x, other)]
        acc = self.add(integer.Add(*wide))
        multiplier, shift = self.b.const(np.array(1 << 30, np.int32)), self.b.const(np.array(-1, np.int32))
        return self.add(integer.Requantize(acc, multiplier, shift, zero_point=int(self.rng.integers(-9, 9))))

    def lookup(self, x: Value) -> Value:
        table = self.rng.integers(-128, 128, 256) if self.rng.random() < 0.8 else np.arange(-128, 128)
        return self.add(integer.Lookup(x, self.b.const(table.astype(np.int8))))

    def cast(self, x: Value) -> Value:
        quantised = self.add(tensor.Typed(x, types=x.type.with_elem(q8(0.5, 3))))
        return self.add(tensor.Storage(quantised))

    def constant(self, x: Value) -> Value:
        return self.b.const(self.rng.integers(-128, 128, x.type.shape).astype(np.int8), layout=x.type.layout)

    def float_and_back(self, x: Value) -> Value:
        real = self.add(integer.Dequantize(x, scale=0.5, zero_point=3))
        zero_point = int(self.rng.choice([3, 4]))
        return self.add(integer.Quantize(real, scale=0.5, zero_point=zero_point))


@pytest.mark.parametrize("seed", range(150))
def test_canonicalize_keeps_the_results(seed: int) -> None:
    func = RandomGraph(seed).func(size=14)
    before = clone_func(func)
    canonicalize(func)
    verify_func(func)
    inputs = random_inputs(before, seed)
    for one, two in zip(evaluate(before, inputs), evaluate(func, inputs), strict=True):
        assert one.dtype == two.dtype and np.array_equal(one, two), print_module(Module([before]))
    assert not canonicalize(func), "a second run finds nothing to do"
