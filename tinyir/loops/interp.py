"""Running a kernel in Python, with every access checked: the meaning of the loop IR, executable.

The kernel is translated to Python source, one statement per statement, and run on flat lists. Slow and strict: an
index outside its dimension, a word that crosses the end of its row and an output read before it is written raise
KernelError. Scratch holds anything at first: zeros here, unless the caller gives it contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.types import DType
from tinyir.loops.affine import Affine, Guard
from tinyir.loops.instrs import INSTRS, wrap_i32
from tinyir.loops.ir import (
    Bin,
    Body,
    Call,
    Cast,
    Cond,
    Const,
    Expr,
    For,
    Gather,
    If,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Param,
    Set,
    Stmt,
    Store,
    Ty,
    Var,
)

Array = npt.NDArray[Any]


class KernelError(Exception):
    """A kernel did what it must not: a mistake of ours in lowering or scheduling."""


class Buffer:
    """A parameter's memory: a flat list, None where nothing was written yet. Who wants to watch a kernel, or to lay
    two buffers over each other, puts something else that can be indexed and sliced in the place of `data`."""

    def __init__(self, param: Param, data: Array | None) -> None:
        self.param = param
        if data is None:
            self.data: list[Any] = [None] * param.elements
        else:
            assert data.size == param.elements, f"{param.name}: {data.shape} given, {param.shape} expected"
            flat = data.reshape(-1)
            self.data = [np.float32(v) for v in flat] if param.dtype is DType.F32 else [int(v) for v in flat]

    def offset(self, index: tuple[int, ...], lanes: int) -> int:
        for i, (at, extent) in enumerate(zip(index, self.param.shape, strict=True)):
            last = at + (lanes - 1 if i == len(index) - 1 else 0)
            if not 0 <= at <= last < extent:
                raise KernelError(f"{self.param.name}{list(index)} x{lanes} leaves {list(self.param.shape)}")
        return reduce(lambda flat, pair: flat * pair[1] + pair[0], zip(index, self.param.shape, strict=True), 0)

    def load(self, index: tuple[int, ...], lanes: int) -> Any:
        at = self.offset(index, lanes)
        values = self.data[at : at + lanes]
        if self.param.role == "out" and any(v is None for v in values):
            raise KernelError(f"{self.param.name}{list(index)} is read before it is written")
        values = [0 if v is None else v for v in values]
        return values[0] if lanes == 1 else tuple(values)

    def store(self, index: tuple[int, ...], value: Any) -> None:
        if self.param.role in ("in", "const"):
            raise KernelError(f"{self.param.name} is not to be written")
        lanes = value if isinstance(value, tuple) else (value,)
        at = self.offset(index, len(lanes))
        if self.param.dtype is not DType.F32:
            lo, hi = self.param.dtype.limits
            if not all(lo <= v <= hi for v in lanes):
                raise KernelError(f"{self.param.name}{list(index)} = {lanes} does not fit {self.param.dtype}")
        self.data[at : at + len(lanes)] = lanes

    def gather(self, at: int) -> Any:
        if not 0 <= at < self.param.elements:
            raise KernelError(f"{self.param.name}[[{at}]] leaves {self.param.elements} elements")
        value = self.data[at]
        if value is None and self.param.role == "out":
            raise KernelError(f"{self.param.name}[[{at}]] is read before it is written")
        return 0 if value is None else value


def run_kernel(kernel: Kernel, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The `out` buffers of one run. `arrays` holds every `in` and `const` parameter by name, and what scratch holds at
    first where that matters.

    Raises KernelError for an access outside a buffer, a value that does not fit, and outputs left unwritten.
    """
    buffers = {p.name: Buffer(p, arrays.get(p.name)) for p in kernel.params}
    execute(kernel, buffers)
    return {p.name: _result(buffers[p.name]) for p in kernel.by_role("out")}


def execute(kernel: Kernel, buffers: Mapping[str, Buffer]) -> None:
    """Run a kernel on these buffers, one for each parameter."""
    compiled(kernel)(buffers)


def compiled(kernel: Kernel) -> Callable[[Mapping[str, Buffer]], None]:
    """`execute` for this kernel, which may be called often."""
    namespace: dict[str, Any] = {f"i_{name}": instr.means for name, instr in INSTRS.items()}
    namespace.update(wrap=_wrap, arith=_arith, f32=np.float32)
    names = ", ".join(f"b_{p.name}" for p in kernel.params)
    source = f"def run({names}):\n{_block(kernel.body, 1)}"
    exec(compile(source, f"<kernel {kernel.name}>", "exec"), namespace)
    run = namespace["run"]
    return lambda buffers: run(*(buffers[p.name] for p in kernel.params))


def _result(buffer: Buffer) -> Array:
    if any(v is None for v in buffer.data):
        raise KernelError(f"{buffer.param.name} has elements that were never written")
    return np.array(buffer.data, buffer.param.dtype.numpy).reshape(buffer.param.shape)


def _wrap(value: Any, dtype: str) -> Any:
    """`value` converted to an element type as C does: integers wrap, floats truncate."""
    if dtype == "f32":
        return np.float32(value)
    bits = DType(dtype).bytes * 8
    value = int(value)
    if dtype.startswith("u"):
        return value & ((1 << bits) - 1)
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def _arith(op: str, a: Any, b: Any) -> Any:
    if isinstance(a, np.floating):
        with np.errstate(all="ignore"):
            return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[op](a, b)
    match op:
        case "+":
            return wrap_i32(a + b)
        case "-":
            return wrap_i32(a - b)
        case "*":
            return wrap_i32(a * b)
        case ">>":
            return a >> b
        case "<<":
            return wrap_i32(a << b)
        case "&":
            return a & b
        case "min":
            return min(a, b)
        case "max":
            return max(a, b)
    raise KernelError(f"no arithmetic called {op}")


def _block(body: Body, depth: int) -> str:
    return "".join(_stmt(stmt, depth) for stmt in body) or "    " * depth + "pass\n"


def _stmt(stmt: Stmt, depth: int) -> str:
    pad = "    " * depth
    match stmt:
        case For(var=var, extent=extent, body=body):
            return f"{pad}for v_{var} in range({extent}):\n{_block(body, depth + 1)}"
        case If(guards=guards, body=body, orelse=orelse):
            text = f"{pad}if {_guards(guards)}:\n{_block(body, depth + 1)}"
            return text + (f"{pad}else:\n{_block(orelse, depth + 1)}" if orelse else "")
        case Let(name=name, value=value) | Var(name=name, value=value) | Set(name=name, value=value):
            return f"{pad}l_{name} = {_expr(value)}\n"
        case Store(buffer=buffer, index=index, value=value):
            return f"{pad}b_{buffer}.store({_index(index)}, {_expr(value)})\n"


def _expr(expr: Expr) -> str:
    match expr:
        case Const(value=value, ty=ty):
            return f"f32('{value!r}')" if ty.dtype is DType.F32 else repr(value)
        case Index(at=at):
            return f"({_affine(at)})"
        case Local(name=name):
            return f"l_{name}"
        case Load(buffer=buffer, index=index, ty=ty):
            return f"b_{buffer}.load({_index(index)}, {ty.lanes})"
        case Gather(buffer=buffer, index=index):
            return f"b_{buffer}.gather({_expr(index)})"
        case Cast(value=value, ty=Ty(dtype=dtype)):
            return f"wrap({_expr(value)}, {str(dtype)!r})"
        case Bin(op=op, a=a, b=b):
            return f"arith({op!r}, {_expr(a)}, {_expr(b)})"
        case Cond(guards=guards, value=value, other=other):
            return f"({_expr(value)} if {_guards(guards)} else {_expr(other)})"
        case Call(name=name, args=args):
            return f"i_{name}({', '.join(_expr(a) for a in args)})"


def _guards(guards: tuple[Guard, ...]) -> str:
    return " and ".join(f"0 <= {_affine(g.expr)} < {g.bound}" for g in guards) or "True"


def _index(index: tuple[Affine, ...]) -> str:
    return f"({''.join(_affine(i) + ', ' for i in index)})"


def _affine(expr: Affine) -> str:
    return " + ".join([f"{c} * v_{var}" for var, c in expr.terms] + [str(expr.const)])
