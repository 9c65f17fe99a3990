"""The graph IR: values, ops, blocks, functions, modules.

SSA with one block per function and the ops in a fixed order. A `Value` knows the op that defines it and every use; an
`Op` is declared once by `define_op` (see `opdef.py`), from which its accessors, the parser, the printer, the verifier
and the documentation follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from tinyir.diagnostics import UNKNOWN, IRError, Loc
from tinyir.ir.types import ElemType, TensorType

if TYPE_CHECKING:
    from tinyir.ir.builder import Builder
    from tinyir.ir.opdef import OpSpec, Trait


class Value:
    """Something computed once: by an op (`owner` is the op) or as an argument of a block (`owner` is the block)."""

    def __init__(self, type: TensorType, owner: Op | Block, index: int, name: str = "") -> None:
        self.type = type
        self.owner = owner
        self.index = index
        self.name = name
        self.uses: list[Use] = []

    @property
    def users(self) -> list[Op]:
        """The ops that read this value, each once, in the order in which the uses were made."""
        return list(dict.fromkeys(use.op for use in self.uses))

    @property
    def defining_op(self) -> Op | None:
        return self.owner if isinstance(self.owner, Op) else None

    @property
    def outer(self) -> Value:
        """This value, or for an argument of a group's region the value outside that it stands for."""
        if isinstance(self.owner, Block) and self.owner.parent_op is not None:
            return self.owner.parent_op.operands[self.index].outer
        return self

    def replace_uses(self, new: Value) -> None:
        """Let every reader of this value read `new` instead."""
        for use in list(self.uses):
            use.op.set_operand(use.index, new)

    def __repr__(self) -> str:
        owner = self.owner.opname if isinstance(self.owner, Op) else "argument"
        return f"<Value {self.name or self.index} of {owner}: {self.type}>"


@dataclass(frozen=True, eq=False)
class Use:
    """Operand `index` of `op`."""

    op: Op
    index: int


@dataclass(frozen=True)
class Symbol:
    """A reference by name to a definition of the module: `@name`."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


@dataclass(frozen=True)
class Reference:
    """What an op means: `function(*operand_arrays, **kwargs)`, a function of `tinyir.ir.semantics`."""

    function: Callable[..., Any]
    kwargs: dict[str, Any] = field(default_factory=dict)


class Op:
    """One operation: operands, attributes, results, and for a group a region. Subclasses are made by `define_op`."""

    opname: ClassVar[str] = "?"
    traits: ClassVar[frozenset[Trait]] = frozenset()
    spec: ClassVar[OpSpec]

    def __init__(
        self,
        *operands: Value | Sequence[Value] | None,
        types: Sequence[TensorType] | TensorType | None = None,
        loc: Loc = UNKNOWN,
        name: str = "",
        region: Block | None = None,
        **attrs: Any,
    ) -> None:
        self.loc = loc
        self.block: Block | None = None
        self.operands: list[Value] = []
        self.region = region
        if region is not None:
            region.parent_op = self
        self.attrs: dict[str, Any] = self.spec.check_attrs(self, attrs)
        for value in self.spec.flatten_operands(self, operands):
            self._append_operand(value)
        self._declared: tuple[TensorType, ...] = ()
        self.results: list[Value] = []
        if types is not None:
            self._declared = (types,) if isinstance(types, TensorType) else tuple(types)
        inferred = self.inferred_types()
        self.results = [Value(type, self, index, name) for index, type in enumerate(self._declared or inferred)]

    # -- hooks that a declaration overrides -------------------------------------------------------------------------

    def infer(self) -> TensorType | Sequence[TensorType]:
        """Types of the results from operands and attributes. Raises IRError where they do not go together."""
        raise NotImplementedError(f"{self.opname} declares no infer()")

    def verify(self) -> None:
        """Check what `infer` does not; call `require`."""

    def expand(self, b: Builder) -> Value | Sequence[Value] | None:
        """The same computation in integer primitives, built with `b`; None for an op that is primitive already.

        This is what a quantised `nn` op means: `legalize-quant` replaces the op by it, and the interpreter evaluates
        it. `b.numerics` chooses among the runtimes that round differently.
        """
        return None

    def reference(self) -> Reference | None:
        """What the op computes, as a NumPy function; None for an op that is defined by its `expand`."""
        return None

    def canonical_layouts(self) -> tuple[str, ...] | None:
        """The layouts that `reference` works in, one for each operand and then each result ("" where any will do);
        None when it works in whatever layout the types have."""
        return None

    def macs(self) -> int:
        """Multiply-accumulate operations of one execution."""
        return 0

    # -- operands, results ------------------------------------------------------------------------------------------

    @property
    def result(self) -> Value:
        """The only result."""
        assert len(self.results) == 1, f"{self.opname} has {len(self.results)} results"
        return self.results[0]

    @property
    def type(self) -> TensorType:
        return self.result.type

    @property
    def declared_types(self) -> tuple[TensorType, ...]:
        """The types the results have or were given; empty while `infer` has to find them alone. For what operands and
        attributes leave open: the scales of a quantised result, its layout."""
        return tuple(value.type for value in self.results) or self._declared

    def declared_type(self) -> TensorType | None:
        """The first of `declared_types`, or None."""
        return self.declared_types[0] if self.declared_types else None

    def declared_elem(self, default: ElemType) -> ElemType:
        """The element type the result was given, else `default`."""
        declared = self.declared_type()
        return declared.elem if declared is not None else default

    def inferred_types(self) -> tuple[TensorType, ...]:
        inferred = self.infer()
        return (inferred,) if isinstance(inferred, TensorType) else tuple(inferred)

    def _append_operand(self, value: Value) -> None:
        value.uses.append(Use(self, len(self.operands)))
        self.operands.append(value)

    def set_operand(self, index: int, value: Value) -> None:
        old = self.operands[index]
        old.uses = [use for use in old.uses if not (use.op is self and use.index == index)]
        self.operands[index] = value
        value.uses.append(Use(self, index))

    def drop_operands(self) -> None:
        """Take this op out of the use lists of what it reads."""
        for value in self.operands:
            value.uses = [use for use in value.uses if use.op is not self]
        self.operands = []

    def erase(self) -> None:
        """Remove the op from its block. Its results must have no uses."""
        for value in self.results:
            assert not value.uses, f"erasing {self.opname} whose result is still read by {value.users[0].opname}"
        self.drop_operands()
        if self.region is not None:
            for inner in self.region.ops:
                inner.drop_operands()
        if self.block is not None:
            self.block.ops.remove(self)
            self.block = None

    def has(self, trait: Trait) -> bool:
        return trait in self.traits

    # -- errors -----------------------------------------------------------------------------------------------------

    def fail(self, message: str, help: str = "") -> IRError:
        """An IRError at this op; the caller raises it."""
        error = IRError(f"`{self.opname}` {message}", loc=self.loc, help=help)
        error.op = self
        return error

    def require(self, condition: bool, message: str, help: str = "") -> None:
        """Raise an IRError at this op unless `condition` holds."""
        if not condition:
            raise self.fail(message, help)

    def __repr__(self) -> str:
        return f"<{self.opname} {self.loc}>"


class Block:
    """Arguments and a list of ops, executed in order."""

    def __init__(self, arg_types: Iterable[TensorType] = (), arg_names: Iterable[str] = ()) -> None:
        types, names = list(arg_types), list(arg_names)
        names += [""] * (len(types) - len(names))
        self.args = [Value(t, self, i, n) for i, (t, n) in enumerate(zip(types, names, strict=True))]
        self.ops: list[Op] = []
        self.parent_op: Op | None = None

    def append(self, op: Op) -> Op:
        return self.insert(len(self.ops), op)

    def insert(self, index: int, op: Op) -> Op:
        assert op.block is None, f"{op.opname} is already in a block"
        op.block = self
        self.ops.insert(index, op)
        return op

    def insert_before(self, anchor: Op, op: Op) -> Op:
        return self.insert(self.ops.index(anchor), op)

    def add_arg(self, type: TensorType, name: str = "") -> Value:
        value = Value(type, self, len(self.args), name)
        self.args.append(value)
        return value

    @property
    def terminator(self) -> Op:
        """The last op, which hands the block's results out."""
        return self.ops[-1]


class Func:
    """A named block. Its outputs are the operands of its last op, `func.return`."""

    def __init__(self, name: str, block: Block | None = None, attrs: dict[str, Any] | None = None) -> None:
        self.name = name
        self.block = block if block is not None else Block()
        self.attrs: dict[str, Any] = attrs if attrs is not None else {}

    @property
    def args(self) -> list[Value]:
        return self.block.args

    @property
    def ops(self) -> list[Op]:
        return self.block.ops

    @property
    def outputs(self) -> list[Value]:
        return list(self.block.terminator.operands)

    def walk(self) -> Iterator[Op]:
        """Every op in order; a group before the ops in its region."""
        for op in self.ops:
            yield op
            if op.region is not None:
                yield from op.region.ops


class Definition(Protocol):
    """Something a module holds by name besides functions: a kernel of the loop IR."""

    @property
    def name(self) -> str: ...

    def text(self) -> str:
        """The definition in IR text."""


class Module:
    """Functions, and the kernels they call. `attrs` describes the model: its name, and the hash of its file."""

    def __init__(self, funcs: Iterable[Func] = (), attrs: dict[str, Any] | None = None) -> None:
        self.funcs: dict[str, Func] = {func.name: func for func in funcs}
        self.kernels: dict[str, Definition] = {}
        self.attrs: dict[str, Any] = attrs if attrs is not None else {}

    @property
    def main(self) -> Func:
        """The function that is compiled: `@main`, or the only one."""
        if "main" in self.funcs:
            return self.funcs["main"]
        if len(self.funcs) != 1:
            raise IRError(f"the module has no @main among its {len(self.funcs)} functions")
        return next(iter(self.funcs.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and _same_module(self, other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __str__(self) -> str:
        from tinyir.ir.printer import print_module

        return print_module(self)


def _same_module(a: Module, b: Module) -> bool:
    return (
        same_attr(a.attrs, b.attrs)
        and list(a.funcs) == list(b.funcs)
        and all(_same_func(a.funcs[name], b.funcs[name]) for name in a.funcs)
        and a.kernels == b.kernels
    )


def _same_func(a: Func, b: Func) -> bool:
    return same_attr(a.attrs, b.attrs) and _same_block(a.block, b.block)


def _same_block(a: Block, b: Block) -> bool:
    if [arg.type for arg in a.args] != [arg.type for arg in b.args] or len(a.ops) != len(b.ops):
        return False
    twin: dict[Value, Value] = dict(zip(a.args, b.args, strict=True))
    for one, two in zip(a.ops, b.ops, strict=True):
        if type(one) is not type(two) or one.loc != two.loc or not same_attr(one.attrs, two.attrs):
            return False
        if [v.type for v in one.results] != [v.type for v in two.results]:
            return False
        if len(one.operands) != len(two.operands):
            return False
        if any(twin.get(x) is not y for x, y in zip(one.operands, two.operands, strict=True)):
            return False
        if (one.region is None) != (two.region is None):
            return False
        if one.region is not None and two.region is not None and not _same_block(one.region, two.region):
            return False
        twin.update(zip(one.results, two.results, strict=True))
    return True


def same_attr(a: Any, b: Any) -> bool:
    """Whether two attribute values are equal; arrays by type, shape and bits."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return False
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_attr(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same_attr(x, y) for x, y in zip(a, b, strict=True))
    both_nan = isinstance(a, float) and a != a and b != b
    return type(a) is type(b) and (both_nan or bool(a == b))
