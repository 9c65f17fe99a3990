"""Declaring an op: the class body lists operands, attributes and results; everything else follows.

    @define_op("nn.dense", Trait.PURE)
    class Dense(Op):
        \"\"\"y[n, o] = sum over i of x[n, i] * w[o, i], plus bias[o].\"\"\"

        x: Value = operand("N,I")
        w: Value = operand("O,I")
        bias: Value | None = operand("O", optional=True)
        y: Value = result("N,O")

        def infer(self) -> TensorType: ...

`op.x`, `op.stride` and so on are typed accessors. The registry serves the parser, `tinyir ops` and the generated
reference of ops in docs/.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from tinyir.diagnostics import IRError, did_you_mean
from tinyir.ir.core import Op, Symbol, Value

_REQUIRED: Any = object()


class Trait(Enum):
    """What passes may ask of any op."""

    PURE = "no effect but its results: unused ones may go, equal ones may merge, constant ones may fold"
    ELEMENTWISE = "each element of the result depends on the elements at the same place in the operands (broadcast)"
    CONTRACTION = "a weighted sum over a window or a row: what a kernel is built around"
    WINDOW = "a reduction over a window or over axes, without weights"
    VIEW = "the result is the operand's bytes under another type; no code"
    DATA_MOVEMENT = "every element of the result is an element of an operand, or a constant"
    UPDATE = "the results take the place of operands, so what they are made of is computed in the same kernel"
    TERMINATOR = "ends a block"


@dataclass(frozen=True)
class Field:
    """One operand, attribute or result of a declaration."""

    kind: str
    doc: str
    optional: bool = False
    variadic: bool = False
    default: Any = _REQUIRED
    name: str = ""
    type: Any = None

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED


def operand(doc: str = "", *, optional: bool = False, variadic: bool = False) -> Any:
    """A value the op reads. Optional ones come last; a variadic one (a tuple of values) is the last of all."""
    return Field("operand", doc, optional=optional, variadic=variadic)


def attr(doc: str = "", *, default: Any = _REQUIRED) -> Any:
    """A compile-time constant of the op; left out of the text when it has its default."""
    return Field("attr", doc, default=default)


def result(doc: str = "", *, variadic: bool = False) -> Any:
    """A value the op defines."""
    return Field("result", doc, variadic=variadic)


class OpSpec:
    """The declaration of an op, as data."""

    def __init__(self, opname: str, fields: Sequence[Field], doc: str) -> None:
        self.opname = opname
        self.doc = doc
        self.operands = [f for f in fields if f.kind == "operand"]
        self.attrs = {f.name: f for f in fields if f.kind == "attr"}
        self.results = [f for f in fields if f.kind == "result"]
        loose = [f for f in self.operands if f.optional or f.variadic]
        assert self.operands[len(self.operands) - len(loose) :] == loose, f"{opname}: optional operands come last"
        assert sum(f.variadic for f in loose) == 0 or len(loose) == 1, f"{opname}: one variadic operand, no optional"

    def flatten_operands(self, op: Op, given: Sequence[Value | Sequence[Value] | None]) -> list[Value]:
        """The operands in order. Accepts one Python argument per declared operand (a sequence for a variadic one)
        or the flat list. Raises IRError for a wrong count."""
        flat: list[Value] = []
        for value in given:
            if isinstance(value, Value):
                flat.append(value)
            elif value is not None:
                flat.extend(value)
        least = sum(not (f.optional or f.variadic) for f in self.operands)
        variadic = any(f.variadic for f in self.operands)
        if len(flat) < least or (len(flat) > len(self.operands) and not variadic):
            most = "or more" if variadic else f"to {len(self.operands)}" if len(self.operands) > least else ""
            raise op.fail(f"takes {least} {most} operands, {len(flat)} given".replace("  ", " "))
        return flat

    def check_attrs(self, op: Op, given: dict[str, Any]) -> dict[str, Any]:
        """The attributes with defaults filled in and values of the declared types. Raises IRError."""
        for name in given:
            if name not in self.attrs:
                raise op.fail(f"has no attribute `{name}`", did_you_mean(name, self.attrs))
        checked = {}
        for name, f in self.attrs.items():
            if name in given:
                checked[name] = _coerce(op, f, given[name])
            elif f.required:
                raise op.fail(f"needs the attribute `{name}`")
            else:
                checked[name] = f.default
        return checked


def _coerce(op: Op, f: Field, value: Any) -> Any:
    """`value` as the declared type: lists become tuples, ints become floats where floats are wanted."""
    fitted = _fit(value, f.type)
    if fitted is _REQUIRED:
        wanted = getattr(f.type, "__name__", None) if not typing.get_args(f.type) else None
        raise op.fail(f"attribute `{f.name}` must be {wanted or f.type}, not {value!r}")
    return fitted


def _fit(value: Any, wanted: Any) -> Any:
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return _REQUIRED
        kinds = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(kinds) != len(value):
            return _REQUIRED
        items = [_fit(item, kind) for item, kind in zip(value, kinds, strict=True)]
        return _REQUIRED if any(item is _REQUIRED for item in items) else tuple(items)
    if origin is np.ndarray or wanted is np.ndarray:
        return value if isinstance(value, np.ndarray) else _REQUIRED
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if wanted in (str, bool, Symbol) or isinstance(wanted, type):
        return value if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)) else _REQUIRED
    return _REQUIRED


OPS: dict[str, type[Op]] = {}
"""Every declared op by name."""

OpT = TypeVar("OpT", bound=Op)


def define_op(opname: str, *traits: Trait) -> Callable[[type[OpT]], type[OpT]]:
    """Class decorator that turns a class body into an op, and registers it under `opname`."""

    def decorate(cls: type[OpT]) -> type[OpT]:
        hints = inspect.get_annotations(cls, eval_str=True)
        fields = []
        for name, value in list(vars(cls).items()):
            if isinstance(value, Field):
                f = Field(value.kind, value.doc, value.optional, value.variadic, value.default, name, hints[name])
                fields.append(f)
        cls.opname = opname
        cls.traits = frozenset(traits)
        cls.spec = OpSpec(opname, fields, (cls.__doc__ or "").strip())
        for position, f in enumerate(cls.spec.operands):
            setattr(cls, f.name, _operand_accessor(position, f))
        for position, f in enumerate(cls.spec.results):
            setattr(cls, f.name, _result_accessor(position, f))
        for f in cls.spec.attrs.values():
            setattr(cls, f.name, _attr_accessor(f.name))
        assert opname not in OPS, f"{opname} is declared twice"
        OPS[opname] = cls
        return cls

    return decorate


def _operand_accessor(position: int, f: Field) -> property:
    if f.variadic:
        return property(lambda op: tuple(op.operands[position:]))
    if f.optional:
        return property(lambda op: op.operands[position] if position < len(op.operands) else None)
    return property(lambda op: op.operands[position])


def _result_accessor(position: int, f: Field) -> property:
    if f.variadic:
        return property(lambda op: tuple(op.results[position:]))
    return property(lambda op: op.results[position])


def _attr_accessor(name: str) -> property:
    return property(lambda op: op.attrs[name], lambda op, value: op.attrs.__setitem__(name, value))


def op_class(opname: str) -> type[Op]:
    """The class of the op called `opname`. Raises IRError with a suggestion."""
    import tinyir.ir.ops  # noqa: F401  # declares them all

    if opname not in OPS:
        raise IRError(f"unknown op `{opname}`", help=did_you_mean(opname, OPS))
    return OPS[opname]
