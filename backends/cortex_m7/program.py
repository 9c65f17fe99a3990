"""A planned module as a program: which C name each thing has, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tinyir.backends.cortex_m7.cnames import identifier
from tinyir.backends.cortex_m7.functions import Function, functions_of
from tinyir.backends.cortex_m7.names import field, header_names, prefix, unique
from tinyir.diagnostics import IRError
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.training import RATE, STEP, Signature, arena_args, entries, state_args, updated_outputs
from tinyir.ir.types import TensorType
from tinyir.ir.views import view_root
from tinyir.loops.ir import Kernel

PARAM_NAMES = ("params", "params_save", "params_load", "params_seed", "identity")
"""What the C of a program that trains defines besides its entries, without the prefix."""

PARAM_ALIGN = 4
"""What each field of NAME_params is aligned to, so that words of it can be loaded."""


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


@dataclass(frozen=True)
class Param:
    """A parameter that is trained: its name in the model, its field in NAME_params, its place in there."""

    name: str
    type: TensorType
    field: str
    offset: int


class Entry:
    """One of the program's functions for the caller, and what its kernels are given.

    `inputs` and `outputs` are passed by address; `values` by value; parameters that are trained lie behind `p`.
    """

    def __init__(self, program: Program, func: Func) -> None:
        self.program, self.func = program, func
        suffix = "run" if func is program.func else func.name
        self.name = f"{program.name}_{suffix}"
        self.offsets = _offsets(func)
        signature = Signature.of(func)
        self.has_params = bool(signature.state or signature.updates)
        self.writes_params = bool(signature.updates)
        self.inputs = self._inputs(arena_args(func))
        updates = updated_outputs(func)
        self.outputs = [
            Port(
                _port_name(value, i),
                value.type,
                self.offsets[view_root(value)],
                f"output{i}" if i or func.name != STEP else "loss",
            )
            for i, value in enumerate(func.outputs)
            if value not in updates
        ]
        self.values = [
            Port(func.args[i].name, func.args[i].type, -1, "lr" if i == RATE else "label") for i in signature.by_value
        ]
        self.places = self._named_places()

    @property
    def ports(self) -> list[Port]:
        return [*self.inputs, *self.outputs]

    @property
    def calls(self) -> list[LoopCall]:
        return [op for op in self.func.ops if isinstance(op, LoopCall)]

    def _inputs(self, args: list[Value]) -> list[Port]:
        return [Port(arg.name or f"input{i}", arg.type, self.offsets[arg], f"input{i}") for i, arg in enumerate(args)]

    def _named_places(self) -> dict[Value, str]:
        """C expressions of the tensors that the caller passes."""
        func, signature = self.func, Signature.of(self.func)
        places = {arg: port.parameter for arg, port in zip(arena_args(func), self.inputs, strict=True)}
        places |= {func.args[i]: f"&{v.parameter}" for i, v in zip(signature.by_value, self.values, strict=True)}
        updates = updated_outputs(func)
        results = [value for value in func.outputs if value not in updates]
        places |= {view_root(v): port.parameter for v, port in zip(results, self.outputs, strict=True)}
        fields = [f"p->{param.field}" for param in self.program.params]
        places |= dict(zip(state_args(func), fields, strict=False))
        return places | {view_root(v): field for v, field in zip(updates, fields, strict=False)}


class Program:
    """Everything the printers need, worked out once."""

    def __init__(self, module: Module) -> None:
        func = module.main
        if "arena_bytes" not in func.attrs:
            raise IRError("the module has no memory plan", help="run the whole pipeline, `plan-memory` included")
        self.module, self.func = module, func
        self.name = prefix(str(module.attrs.get("name", "")))
        self.params = _params(module)
        self.entries = [Entry(self, entry) for entry in entries(module)]
        self.main = self.entries[0]
        self.arena_bytes = max(int(entry.func.attrs["arena_bytes"]) for entry in self.entries)
        self.arena_align = int(func.attrs["arena_align"])
        self.arena_lower_bound = max(int(entry.func.attrs["arena_lower_bound"]) for entry in self.entries)
        self.inputs, self.outputs, self.offsets = self.main.inputs, self.main.outputs, self.main.offsets
        self.constants: dict[Value, Constant] = {}
        self._by_content: dict[tuple[str, bytes], Constant] = {}
        ports = [port.parameter for entry in self.entries for port in entry.ports]
        self._symbols = {f"{self.name}_{name}" for name in header_names(ports)}
        self._symbols |= {entry.name for entry in self.entries} | {f"{self.name}_{own}" for own in PARAM_NAMES}
        self._functions = self._functions_of([(entry, call) for entry in self.entries for call in entry.calls])
        self._steps = {entry: self._steps_of(entry) for entry in self.entries}

    @property
    def steps(self) -> list[Step]:
        """The kernel calls of NAME_run."""
        return self._steps[self.main]

    def steps_of(self, entry: Entry) -> list[Step]:
        """The kernel calls of an entry."""
        return self._steps[entry]

    @property
    def macs(self) -> int:
        return sum(step.call.macs() for step in self.steps)

    @property
    def params_bytes(self) -> int:
        """The size of NAME_params."""
        return _size(self.params)

    def kernel(self, call: LoopCall) -> Kernel:
        kernel = self.module.kernels[call.kernel.name]
        assert isinstance(kernel, Kernel)
        return kernel

    # -- names ------------------------------------------------------------------------------------------------------

    def _functions_of(self, calls: list[tuple[Entry, LoopCall]]) -> dict[str, Function]:
        """The C function of each kernel that is called."""
        aliased: dict[str, set[str]] = {}
        for entry, call in calls:
            aliased.setdefault(call.kernel.name, set()).update(self._overlapping(entry, call))
        kernels = {call.kernel.name: self.kernel(call) for _, call in calls}

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

    def _steps_of(self, entry: Entry) -> list[Step]:
        live = LiveBytes(self, entry)
        return [self._step(entry, i, call, live.at(i)) for i, call in enumerate(entry.calls)]

    def _step(self, entry: Entry, index: int, call: LoopCall, live_bytes: int) -> Step:
        kernel = self.kernel(call)
        operands, results, scratch = iter(call.operands), iter(call.results), iter(call.scratch)
        arguments = []
        for p in kernel.params:
            if p.role in ("in", "const"):
                arguments.append(self._read(entry, next(operands)))
            elif p.role == "out":
                arguments.append(_place(entry, next(results)))
            else:
                arguments.append(_in_arena(next(scratch)))
        function = self._functions[kernel.name]
        arguments += function.numbers(kernel)
        values = [value for value in call.operands if isinstance(value.defining_op, Const)]
        constants = tuple(dict.fromkeys(self.constant(value) for value in values))
        return Step(index, call, kernel, function, tuple(arguments), constants, live_bytes)

    def _read(self, entry: Entry, value: Value) -> str:
        if isinstance(value.defining_op, Const):
            return self.constant(value).symbol
        return _place(entry, view_root(value))

    def _overlapping(self, entry: Entry, call: LoopCall) -> set[str]:
        """The parameters of a call whose memory shares bytes with another's: the compiler must not assume otherwise."""
        spans: dict[str, tuple[str, int, int]] = {}
        operands, results = iter(call.operands), iter(call.results)
        for p in self.kernel(call).params:
            if p.role in ("in", "const"):
                root = view_root(next(operands))
                if not isinstance(root.defining_op, Const):
                    spans[p.name] = _span(entry, root)
            elif p.role == "out":
                spans[p.name] = _span(entry, next(results))
        return {
            a
            for a, (memory, lo, hi) in spans.items()
            for b, (other, low, high) in spans.items()
            if a != b and memory == other and lo < high and low < hi
        }


def _place(entry: Entry, root: Value) -> str:
    """The caller's buffer, or a place in the arena."""
    return entry.places.get(root) or _in_arena(entry.offsets[root])


def _span(entry: Entry, root: Value) -> tuple[str, int, int]:
    """A memory, and the bytes of a tensor in it: the arena, or a buffer that is the caller's alone."""
    offset = entry.offsets[root]
    return ("arena", offset, offset + root.type.bytes) if offset >= 0 else (entry.places[root], 0, root.type.bytes)


def _params(module: Module) -> list[Param]:
    """The fields of NAME_params, one after the other."""
    params: list[Param] = []
    taken: set[str] = set()
    end = 0
    for value in state_args(module.main):
        offset = align_up(end, PARAM_ALIGN)
        params.append(Param(value.name, value.type, unique(field(value.name), taken), offset))
        end = offset + value.type.bytes
    return params


def params_bytes(module: Module) -> int:
    """The size of NAME_params in the program of `module`."""
    return _size(_params(module))


def _size(params: list[Param]) -> int:
    last = params[-1] if params else None
    return align_up(last.offset + last.type.bytes, PARAM_ALIGN) if last else 0


class LiveBytes:
    """How many arena bytes hold something that is still needed, at each step; bytes that tensors share count once."""

    def __init__(self, program: Program, entry: Entry) -> None:
        self.spans: list[tuple[int, int, int, int]] = []
        step = {call: i for i, call in enumerate(entry.calls)}
        for value, offset in entry.offsets.items():
            if offset < 0:
                continue
            op = value.defining_op
            first = step[op] if isinstance(op, LoopCall) else -1
            self.spans.append((first, max(first, _last_use(value, step)), offset, offset + value.type.bytes))
        for call in entry.calls:
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
    """The arena offset of every tensor that has bytes of its own; -1 for what lies outside."""
    offsets = dict(zip(func.args, func.attrs["input_offsets"], strict=True))
    for op in func.ops:
        if isinstance(op, LoopCall):
            offsets.update(zip(op.results, op.offsets, strict=True))
    return offsets


def _port_name(value: Value, index: int) -> str:
    root = view_root(value)
    return value.name or root.name or f"output{index}"


def align_up(value: int, align: int) -> int:
    return (value + align - 1) & -align


def _in_arena(offset: int) -> str:
    return f"(void *)(base + {offset})" if offset else "(void *)base"
