"""A planned module as a program: which C name each thing has, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tinyir.backends.cortex_m7.cnames import identifier
from tinyir.backends.cortex_m7.functions import Function, functions_of
from tinyir.backends.cortex_m7.names import header_names, prefix, unique
from tinyir.diagnostics import IRError
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.types import TensorType
from tinyir.loops.ir import Kernel


@dataclass(frozen=True)
class Port:
    """An input or output: its name in the model, its type, its place in the arena, its C parameter."""

    name: str
    type: TensorType
    offset: int
    parameter: str


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in flash."""

    symbol: str
    array: npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """One kernel call: the function, what is passed for each parameter, the constants among that, and the arena bytes
    alive meanwhile."""

    index: int
    call: LoopCall
    kernel: Kernel
    function: Function
    arguments: tuple[str, ...]
    constants: tuple[Constant, ...]
    live_bytes: int


class Program:
    """Everything the printers need, worked out once."""

    def __init__(self, module: Module) -> None:
        func = module.main
        if "arena_bytes" not in func.attrs:
            raise IRError("the module has no memory plan", help="run the whole pipeline, `plan-memory` included")
        self.module, self.func = module, func
        self.name = prefix(str(module.attrs.get("name", "")))
        self.arena_bytes = int(func.attrs["arena_bytes"])
        self.arena_align = int(func.attrs["arena_align"])
        self.arena_lower_bound = int(func.attrs["arena_lower_bound"])
        self.offsets = _offsets(func)
        self.inputs = [
            Port(arg.name or f"input{i}", arg.type, self.offsets[arg], f"input{i}") for i, arg in enumerate(func.args)
        ]
        self.outputs = [
            Port(_port_name(value, i), value.type, self.offsets[_root(value)], f"output{i}")
            for i, value in enumerate(func.outputs)
        ]
        self.constants: dict[Value, Constant] = {}
        self._by_content: dict[tuple[str, bytes], Constant] = {}
        ports = [port.parameter for port in [*self.inputs, *self.outputs]]
        self._symbols = {f"{self.name}_{name}" for name in header_names(ports)}
        self._places = self._named_places(func)
        calls = [op for op in func.ops if isinstance(op, LoopCall)]
        self._functions = self._functions_of(calls)
        live = LiveBytes(self, calls)
        self.steps = [self._step(i, call, live.at(i)) for i, call in enumerate(calls)]

    @property
    def macs(self) -> int:
        return sum(step.call.macs() for step in self.steps)

    def kernel(self, call: LoopCall) -> Kernel:
        kernel = self.module.kernels[call.kernel.name]
        assert isinstance(kernel, Kernel)
        return kernel

    # -- names ------------------------------------------------------------------------------------------------------

    def _named_places(self, func: Func) -> dict[Value, str]:
        """C expressions of the tensors that the caller passes."""
        places = {arg: port.parameter for arg, port in zip(func.args, self.inputs, strict=True)}
        places.update({_root(v): port.parameter for v, port in zip(func.outputs, self.outputs, strict=True)})
        return places

    def _functions_of(self, calls: list[LoopCall]) -> dict[str, Function]:
        """The C function of each kernel that is called."""
        aliased: dict[str, set[str]] = {}
        for call in calls:
            aliased.setdefault(call.kernel.name, set()).update(self._overlapping(call))
        kernels = {call.kernel.name: self.kernel(call) for call in calls}

        def name_of(kernel: Kernel) -> str:
            return unique(f"{self.name}_{identifier(kernel.name)}", self._symbols)

        return functions_of([(kernels[name], aliased[name]) for name in kernels], name_of)

    @property
    def functions(self) -> list[Function]:
        """Every kernel function, in the order of first use."""
        return list(dict.fromkeys(self._functions.values()))

    def constant(self, value: Value) -> Constant:
        """The array in flash behind a constant value; equal arrays share one."""
        op = value.defining_op
        assert isinstance(op, Const)
        if value not in self.constants:
            key = (op.value.dtype.str, op.value.tobytes())
            if key not in self._by_content:
                symbol = unique(f"{self.name}_{identifier(value.name) or 'c'}", self._symbols)
                self._by_content[key] = Constant(symbol, op.value)
            self.constants[value] = self._by_content[key]
        return self.constants[value]

    @property
    def tables(self) -> list[Constant]:
        """Every array in flash, in the order of first use."""
        return list(self._by_content.values())

    # -- calls ------------------------------------------------------------------------------------------------------

    def _step(self, index: int, call: LoopCall, live_bytes: int) -> Step:
        kernel = self.kernel(call)
        operands, results, scratch = iter(call.operands), iter(call.results), iter(call.scratch)
        arguments = []
        for p in kernel.params:
            if p.role in ("in", "const"):
                arguments.append(self._read(next(operands)))
            elif p.role == "out":
                arguments.append(self._place(next(results)))
            else:
                arguments.append(_in_arena(next(scratch)))
        function = self._functions[kernel.name]
        arguments += function.numbers(kernel)
        values = [value for value in call.operands if isinstance(value.defining_op, Const)]
        constants = tuple(dict.fromkeys(self.constant(value) for value in values))
        return Step(index, call, kernel, function, tuple(arguments), constants, live_bytes)

    def _read(self, value: Value) -> str:
        if isinstance(value.defining_op, Const):
            return self.constant(value).symbol
        return self._place(_root(value))

    def _place(self, root: Value) -> str:
        """The caller's buffer, or a place in the arena."""
        return self._places.get(root) or _in_arena(self.offsets[root])

    def _overlapping(self, call: LoopCall) -> set[str]:
        """The parameters of a call whose memory shares bytes with another's: the compiler must not assume otherwise."""
        spans = {}
        operands, results = iter(call.operands), iter(call.results)
        for p in self.kernel(call).params:
            if p.role in ("in", "const"):
                root = _root(next(operands))
                if not isinstance(root.defining_op, Const):
                    spans[p.name] = (self.offsets[root], self.offsets[root] + root.type.bytes)
            elif p.role == "out":
                value = next(results)
                spans[p.name] = (self.offsets[value], self.offsets[value] + value.type.bytes)
        return {
            a for a, (lo, hi) in spans.items() for b, (low, high) in spans.items() if a != b and lo < high and low < hi
        }


class LiveBytes:
    """How many arena bytes hold something that is still needed, at each step; bytes that tensors share count once."""

    def __init__(self, program: Program, calls: list[LoopCall]) -> None:
        self.spans: list[tuple[int, int, int, int]] = []
        step = {call: i for i, call in enumerate(calls)}
        for value, offset in program.offsets.items():
            op = value.defining_op
            first = step[op] if isinstance(op, LoopCall) else -1
            self.spans.append((first, max(first, _last_use(value, step)), offset, offset + value.type.bytes))
        for call in calls:
            kernel = program.kernel(call)
            for p, offset in zip(kernel.by_role("scratch"), call.scratch, strict=True):
                self.spans.append((step[call], step[call], offset, offset + p.bytes))

    def at(self, index: int) -> int:
        total = reached = 0
        for start, end in sorted((lo, hi) for first, last, lo, hi in self.spans if first <= index <= last):
            total += max(0, end - max(start, reached))
            reached = max(reached, end)
        return total


def _last_use(value: Value, step: dict[LoopCall, int]) -> int:
    last = -1
    for user in value.users:
        if isinstance(user, LoopCall):
            last = max(last, step[user])
        elif user.has(Trait.TERMINATOR):
            last = max(last, len(step))
        else:
            last = max(last, *(_last_use(view, step) for view in user.results))
    return last


def _offsets(func: Func) -> dict[Value, int]:
    """The arena offset of every tensor that has bytes of its own."""
    offsets = dict(zip(func.args, func.attrs["input_offsets"], strict=True))
    for op in func.ops:
        if isinstance(op, LoopCall):
            offsets.update(zip(op.results, op.offsets, strict=True))
    return offsets


def _root(value: Value) -> Value:
    """The tensor whose bytes `value` is a view of."""
    op = value.defining_op
    while op is not None and op.has(Trait.VIEW):
        value = op.operands[0]
        op = value.defining_op
    return value


def _port_name(value: Value, index: int) -> str:
    root = _root(value)
    return value.name or root.name or f"output{index}"


def _in_arena(offset: int) -> str:
    return f"(void *)(base + {offset})" if offset else "(void *)base"
