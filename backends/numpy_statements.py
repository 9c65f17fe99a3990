"""The statements of the printed program: one per op, in blocks that follow the model's operators and the groups."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.backends.numpy_names import UniqueNames
from tinyir.diagnostics import Source
from tinyir.ir import semantics
from tinyir.ir.core import Block, Func, Op, Reference, Value
from tinyir.ir.interp import operand_layouts, result_layouts
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const, Fused, LoopCall
from tinyir.ir.shapes import broadcast_axes
from tinyir.ir.training import INIT, STEP
from tinyir.ir.types import TensorType, layout_order

Array = npt.NDArray[Any]

WIDTH = 100
"""Columns that code takes; the comment behind it may go further."""

GLOBALS = (
    "CLASSES",
    "INPUTS",
    "K",
    "OUTPUTS",
    "W",
    "Path",
    "RNG",
    "STATE_SHA256",
    "Tensor",
    "check",
    "load_weights",
    "main",
    "np",
    INIT,
    "run",
    STEP,
)
"""Names of the printed module that no variable may take."""

HELP = (
    "print the module before `lower-to-loops` and, if the model is quantised, after "
    "`canonicalize,fold-pad,legalize-quant,canonicalize`"
)


@dataclass
class Section:
    """Statements of one operator of the model, or of one group, under comments that name it."""

    heading: list[str]
    sources: tuple[Source, ...]
    is_group: bool = False
    lines: list[str] = field(default_factory=list)


class Shared:
    """What the functions of a program have in common: its constants, and the functions that it calls."""

    def __init__(self) -> None:
        self.constants: dict[str, Array] = {}
        self.functions: set[str] = set()
        self.unique = UniqueNames()


class Statements:
    """The ops of a function as Python statements; what they refer to is added to `shared`."""

    def __init__(self, func: Func, shared: Shared) -> None:
        self.func, self.shared = func, shared
        self.sections: list[Section] = []
        self.names: dict[Value, str] = {}
        self._unique = UniqueNames(GLOBALS)
        self._expressions: dict[Value, str] = {}
        for i, arg in enumerate(func.args):
            self._name(arg, arg.name or f"input{i}")
        self._block(func.block)

    @property
    def parameters(self) -> list[str]:
        return [self.names[arg] for arg in self.func.args]

    @property
    def results(self) -> list[str]:
        """The expressions of the function's outputs."""
        return [self._expressions[value] for value in self.func.outputs]

    # -- ops --------------------------------------------------------------------------------------------------------

    def _block(self, block: Block) -> None:
        for op in block.ops:
            if isinstance(op, Const):
                self._constant(op)
            elif isinstance(op, Fused):
                self._group(op)
            elif not op.has(Trait.TERMINATOR):
                self._statement(op)

    def _constant(self, op: Const) -> None:
        name = self.shared.unique.take(op.result.name or "c")
        self.shared.constants[name] = op.value
        self._expressions[op.result] = f'W["{name}"]'

    def _group(self, op: Fused) -> None:
        """The statements of a group. Its results are called as they are inside."""
        assert op.region is not None
        for arg, operand in zip(op.region.args, op.operands, strict=True):
            self._share(arg, operand)
        self.sections.append(Section(_group_heading(op), op.loc.sources, is_group=True))
        self._block(op.region)
        for result, inner in zip(op.results, op.region.terminator.operands, strict=True):
            self._share(result, inner)

    def _statement(self, op: Op) -> None:
        reference = reference_of(op)
        arguments = self._arguments(op)
        arguments += [f"{name}={literal(op, value)}" for name, value in reference.kwargs.items()]
        self.shared.functions.add(reference.function.__name__)
        targets = ", ".join(self._name(value, value.name) for value in op.results)
        head, tail = f"{targets} = K.{reference.function.__name__}(", ")" + _result_conversion(op)
        if any(not value.type.shape for value in op.results):
            head, tail = head.replace("K.", "np.asarray(K.", 1), f"{tail})"
        section = self._section(op)
        section.lines += _wrapped(head, arguments, tail, _comment(op))

    def _section(self, op: Op) -> Section:
        """Where the statement of `op` belongs: in its group, or with its neighbours from the same operator."""
        last = self.sections[-1] if self.sections else None
        inside = op.block is not self.func.block
        if last is not None and (inside or (not last.is_group and last.sources == op.loc.sources)):
            return last
        self.sections.append(Section(_source_comments(op), op.loc.sources))
        return self.sections[-1]

    # -- values -----------------------------------------------------------------------------------------------------

    def _name(self, value: Value, hint: str) -> str:
        self.names[value] = self._expressions[value] = self._unique.take(hint)
        return self.names[value]

    def _share(self, value: Value, origin: Value) -> None:
        """Let `value` be the same variable, or the same constant, as `origin`."""
        self._expressions[value] = self._expressions[origin]
        if origin in self.names:
            self.names[value] = self.names[origin]

    def _arguments(self, op: Op) -> list[str]:
        """The operands in the layouts that the function takes (what `interp.prepare_operands` does to arrays)."""
        if op.has(Trait.ELEMENTWISE):
            return [self._expressions[v] + _alignment(v.type, op.results[0].type) for v in op.operands]
        return [
            self._expressions[v] + (_transpose(layout_order(v.type.layout, layout)) if layout else "")
            for v, layout in zip(op.operands, operand_layouts(op), strict=True)
        ]


def reference_of(op: Op) -> Reference:
    """The function of `tinyir.ir.semantics` that `op` stands for. Raises IRError where there is none."""
    if isinstance(op, LoopCall):
        raise op.fail(f"runs the kernel {op.kernel} of the loop IR, which has no form in NumPy", HELP)
    moves = op.has(Trait.VIEW) or op.has(Trait.DATA_MOVEMENT)
    for value in (*op.operands, *op.results):
        if value.type.quant is not None and not moves:
            raise op.fail(f"works on a quantised tensor, {value.type}, and has a form in NumPy on integers only", HELP)
    reference = op.reference()
    if reference is None:
        raise op.fail("has no reference to print")
    name = reference.function.__name__
    if getattr(semantics, name, None) is not reference.function:
        raise op.fail(
            "has a reference that cannot be printed: it is no named function of tinyir.ir.semantics",
            help="add the function to a file of that package, and to its `__init__.py`",
        )
    return reference


# -- expressions ----------------------------------------------------------------------------------------------------


def literal(op: Op, value: Any) -> str:
    """A keyword argument as Python. Raises IRError for what has no text."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f"{'-' if value < 0 else ''}np.{abs(value)}"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        items = [literal(op, item) for item in value]
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    raise op.fail(f"has a keyword argument that cannot be printed: {type(value).__name__}")


def _transpose(order: Sequence[int]) -> str:
    """The change of axes behind an expression; nothing where they stay."""
    return "" if list(order) == sorted(order) else f".transpose({', '.join(str(i) for i in order)})"


def _alignment(operand: TensorType, result: TensorType) -> str:
    """What makes an operand broadcast to the result by the letters of their axes."""
    if not (operand.layout and result.layout) or operand.layout == result.layout:
        return ""
    axes = broadcast_axes(operand, result)
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    shape = [1] * len(result.shape)
    for i in order:
        shape[axes[i]] = operand.shape[i]
    moved = tuple(operand.shape[i] for i in order)
    aligned = moved == tuple(shape[len(shape) - len(moved) :])
    return _transpose(order) + ("" if aligned else f".reshape({', '.join(str(n) for n in shape)})")


def _result_conversion(op: Op) -> str:
    """What brings the function's result into the layout of the op's type."""
    orders = [
        _transpose(layout_order(canonical, value.type.layout)) if canonical else ""
        for canonical, value in zip(result_layouts(op), op.results, strict=True)
    ]
    op.require(len(orders) == 1 or not any(orders), "has several results in layouts of their own")
    return orders[0] if orders else ""


def _wrapped(head: str, arguments: Sequence[str], tail: str, comment: str) -> list[str]:
    """A statement with its comment: on one line, or with as many arguments on each line as fit."""
    line = head + ", ".join(arguments) + tail
    if len(line) <= WIDTH:
        return [f"{line}  # {comment}"]
    lines, current = [head], "   "
    for argument in arguments:
        if len(current) + len(argument) + 2 > WIDTH and current.strip():
            lines.append(current)
            current = "   "
        current += f" {argument},"
    return [*lines, current, f"{tail}  # {comment}"]


# -- comments -------------------------------------------------------------------------------------------------------


def _comment(op: Op) -> str:
    """The types of the results, and the operators of the model that the op comes from."""
    types = "; ".join(type_text(value.type) for value in op.results)
    indices = list(dict.fromkeys(source.op for source in op.loc.sources if source.op is not None))
    if not indices:
        return types
    return f"{types}, op{'s' if len(indices) > 1 else ''} {', '.join(str(i) for i in indices)}"


def _group_heading(op: Fused) -> list[str]:
    assert op.region is not None
    inner = [inner.opname for inner in op.region.ops if not inner.has(Trait.TERMINATOR)]
    return [f"# Group: {', '.join(inner)}", *_source_comments(op)]


def _source_comments(op: Op) -> list[str]:
    """A line for each operator of the model that the op comes from."""
    return [f"# {_source_text(source)}" for source in op.loc.sources]


def _source_text(source: Source) -> str:
    place = [f"op {source.op}"] if source.op is not None else []
    place += [f"tensor {source.tensor}"] if source.tensor is not None else []
    return ", ".join(place) + (": " if place else "") + json.dumps(source.name)


def type_text(type: TensorType) -> str:
    """A type as NumPy has it, with the layout and, for a quantised one, what its integers stand for."""
    text = f"{type.storage.numpy} {list(type.shape)}" + (f" {type.layout}" if type.layout else "")
    if type.quant is None:
        return text
    if type.quant.per_axis:
        return f"{text}, a scale for each index of axis {type.quant.axis}"
    return f"{text}, scale {np.float32(type.quant.scale)}, zero point {type.quant.zero_point}"
