"""Lowered programs run in Python, kernel by kernel: each tensor by itself, or all in one planned arena of bytes.

The second way shows what a wrong plan would do: tensors really share their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.memory import buffer_in
from tinyir.ir.core import Module, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.expand import constant_of
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.views import view_root
from tinyir.loops.interp import Buffer, execute, run_kernel
from tinyir.loops.ir import Kernel, Param
from tinyir.passes.plan_memory import kernel_of

Array = npt.NDArray[Any]
GARBAGE = b"\xa5\x3c\x7f"
"""What the arena holds before the program begins."""


def run_calls(module: Module, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of a lowered function; every tensor has memory of its own."""
    func = module.main
    values: dict[Value, Array] = dict(zip(func.args, inputs, strict=True))
    for op in func.ops:
        if isinstance(op, Const):
            values[op.result] = op.value
        elif op.has(Trait.VIEW):
            values[op.result] = values[op.operands[0]].reshape(op.type.shape)
        elif isinstance(op, LoopCall):
            values.update(_called(op, kernel_of(module, op), values))
    return [values[value] for value in func.outputs]


def _called(call: LoopCall, kernel: Kernel, values: Mapping[Value, Array]) -> dict[Value, Array]:
    """The results of one call. Constants are packed as the kernel wants them."""
    arrays = {}
    for p, value in zip(kernel.by_role("in", "const"), call.operands, strict=True):
        arrays[p.name] = values[value] if p.packing is None else p.packing.apply(values[value])
    rng = np.random.default_rng(1)
    for p in kernel.by_role("scratch"):
        arrays[p.name] = rng.integers(0, 256, p.bytes, dtype=np.uint8).view(p.dtype.numpy)
    found = run_kernel(kernel, arrays)
    return {v: found[p.name].reshape(v.type.shape) for p, v in zip(kernel.by_role("out"), call.results, strict=True)}


class ArenaMachine:
    """Runs a planned program with everything in one arena, and outside of it only constants."""

    def __init__(self, module: Module) -> None:
        self.module, self.func = module, module.main
        self.offsets = dict(zip(self.func.args, self.func.attrs["input_offsets"], strict=True))
        for op in self.func.ops:
            if isinstance(op, LoopCall):
                self.offsets.update(zip(op.results, op.offsets, strict=True))
        self.memory = bytearray()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs, read where the plan puts them when the last call is done."""
        size = int(self.func.attrs["arena_bytes"])
        self.memory = bytearray((GARBAGE * (size // len(GARBAGE) + 1))[:size])
        for arg, array in zip(self.func.args, inputs, strict=True):
            self.memory[self.offsets[arg] : self.offsets[arg] + array.nbytes] = array.tobytes()
        for op in self.func.ops:
            if isinstance(op, LoopCall):
                self._call(op)
        assert len(self.memory) == size
        return [self._output(value) for value in self.func.outputs]

    def _call(self, call: LoopCall) -> None:
        kernel = kernel_of(self.module, call)
        operands, results, scratch = iter(call.operands), iter(call.results), iter(call.scratch)
        buffers = {}
        for p in kernel.params:
            if p.role in ("in", "const"):
                buffers[p.name] = self._read(p, next(operands))
            else:
                offset = self.offsets[next(results)] if p.role == "out" else next(scratch)
                buffers[p.name] = buffer_in(self.memory, offset, p)
        execute(kernel, buffers)

    def _read(self, p: Param, value: Value) -> Buffer:
        array = constant_of(value)
        return Buffer(p, array) if array is not None else buffer_in(self.memory, self.offsets[view_root(value)], p)

    def _output(self, value: Value) -> Array:
        offset = self.offsets[view_root(value)]
        data = bytes(self.memory[offset : offset + value.type.bytes])
        return np.frombuffer(data, value.type.storage.numpy).reshape(value.type.shape)


def run_in_arena(module: Module, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of a planned program that runs in its arena."""
    return ArenaMachine(module).run(inputs)


def assert_same_bits(found: Sequence[Array], wanted: Sequence[Array], what: str = "") -> None:
    """Fail unless the arrays are equal to the bit; any NaN is as good as another."""
    assert len(found) == len(wanted)
    for i, (one, two) in enumerate(zip(found, wanted, strict=True)):
        assert (one.dtype, one.shape) == (two.dtype, two.shape), f"output {i} {what}"
        nan = np.isnan(one) & np.isnan(two) if one.dtype.kind == "f" else np.zeros(one.shape, np.bool_)
        integers = f"i{one.dtype.itemsize}"
        same = (np.ascontiguousarray(one).view(integers) == np.ascontiguousarray(two).view(integers)) | nan
        assert same.all(), f"output {i} {what}"
