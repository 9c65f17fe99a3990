"""IR text to a module: the other half of `ir/printer.py`. One grammar (`grammar.lark`) for every op.

Raises IRError with the line, the column and a caret for text that is not IR, names that are not defined, and ops that
break a rule.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tinyir.diagnostics import IRError, Loc, Source, TextPos, did_you_mean
from tinyir.frontends.text_kernel import KernelReader, Node
from tinyir.ir.core import Block, Func, Module, Op, Symbol, Value
from tinyir.ir.opdef import op_class
from tinyir.ir.types import DType, ElemType, QType, TensorType
from tinyir.ir.verifier import verify_module

Array = npt.NDArray[Any]


@cache
def _grammar() -> Lark:
    text = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def load_text(path: Path) -> Module:
    """The module in the file `path`; resources are looked up beside it. Raises IRError."""
    return parse(read_text(path), str(path), path.parent)


def read_text(path: Path) -> str:
    """The contents of `path`. Raises IRError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise IRError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise IRError(f"cannot read {path}: it is not IR text, nor a model of a known format ({error})") from None


def parse(text: str, name: str = "<text>", folder: Path = Path()) -> Module:
    """The module that `text` spells. `name` is for messages, `folder` holds the `.npz` files it refers to."""
    reader = _Reader(text, name, folder)
    module = reader.module(reader.tree())
    verify_module(module)
    return module


class _Reader:
    """Turns one parse tree into a module."""

    def __init__(self, text: str, name: str, folder: Path) -> None:
        self.text, self.name, self.folder = text, name, folder
        self.lines = text.splitlines()
        self.resources: dict[str, Array] = {}
        self.files: dict[str, dict[str, Array]] = {}

    # -- places and errors ------------------------------------------------------------------------------------------

    def place(self, line: int, column: int, width: int = 1) -> TextPos:
        content = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return TextPos(self.name, line, column, width, content)

    def loc_of(self, node: Node | Token, sources: tuple[Source, ...] = ()) -> Loc:
        position: Any = node if isinstance(node, Token) else node.meta
        same_line = position.end_line == position.line
        width = position.end_column - position.column if same_line else 1
        return Loc(sources, self.place(position.line, position.column, width))

    def error(self, node: Node | Token, message: str, help: str = "") -> IRError:
        return IRError(message, loc=self.loc_of(node), help=help)

    def tree(self) -> Node:
        try:
            return _grammar().parse(self.text)
        except UnexpectedToken as error:
            found = "the end of the text" if error.token.type == "$END" else f"`{error.token}`"
            raise self._syntax_error(error, f"did not expect {found}", len(error.token), error.expected) from None
        except UnexpectedCharacters as error:
            raise self._syntax_error(error, "cannot read this", 1, error.allowed or ()) from None

    def _syntax_error(self, error: UnexpectedInput, message: str, width: int, expected: Iterable[str]) -> IRError:
        line, column = max(1, error.line), max(1, error.column)
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            line, column = max(1, len(self.lines)), len(self.lines[-1]) + 1 if self.lines else 1
        wanted = ", ".join(sorted(_readable(name) for name in expected)[:8])
        return IRError(
            message,
            loc=Loc((), self.place(line, column, width)),
            help=f"expected one of: {wanted}" if wanted else "",
        )

    # -- module -----------------------------------------------------------------------------------------------------

    def module(self, tree: Node) -> Module:
        children = list(tree.children)
        attrs: dict[str, Any] = {}
        if tree.data == "module":
            head = children.pop(0)
            attrs = self.description(head) if isinstance(head, Tree) else {}
        module = Module(attrs=attrs)
        for item in children:
            assert isinstance(item, Tree)
            if item.data == "resource":
                self.resource(item)
            elif item.data == "kernel":
                kernel = KernelReader(self).kernel(item)
                if kernel.name in module.kernels:
                    raise self.error(item, f"@{kernel.name} is defined twice")
                module.kernels[kernel.name] = kernel
            else:
                func = self.func(item)
                if func.name in module.funcs:
                    raise self.error(item, f"@{func.name} is defined twice")
                module.funcs[func.name] = func
        return module

    def resource(self, item: Node) -> None:
        symbol, literal = _tokens(item)
        name, spec = symbol[1:], self.string(literal)
        if " base64:" in spec:
            self.resources[name] = self._inline_array(literal, spec)
        else:
            self.resources[name] = self._file_array(literal, spec)

    def _inline_array(self, where: Token, spec: str) -> Array:
        head, data = spec.split(" base64:", 1)
        elem, _, dims = head.partition("[")
        try:
            shape = tuple(int(n) for n in dims.rstrip("]").split(",") if n)
            raw = base64.b64decode(data, validate=True)
            return np.frombuffer(raw, DType(elem).numpy).reshape(shape)
        except (ValueError, binascii.Error) as error:
            raise self.error(where, f"damaged resource: {error}") from None

    def _file_array(self, where: Token, spec: str) -> Array:
        filename, _, key = spec.rpartition(":")
        if filename not in self.files:
            try:
                archive = np.load(self.folder / filename, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it is no .npz file")
                with archive:
                    self.files[filename] = {name: archive[name] for name in archive.files}
            except (OSError, ValueError, EOFError, BadZipFile) as error:
                raise self.error(where, f"cannot read {self.folder / filename}: {error}") from None
        if key not in self.files[filename]:
            raise self.error(where, f"{filename} holds no array `{key}`", did_you_mean(key, self.files[filename]))
        return self.files[filename][key]

    # -- functions --------------------------------------------------------------------------------------------------

    def func(self, item: Node) -> Func:
        children = list(item.children)
        symbol = children.pop(0)
        args = [c for c in children if isinstance(c, Tree) and c.data == "arg"]
        attrs = next((self.description(c) for c in children if isinstance(c, Tree) and c.data == "dict"), {})
        ops = [c for c in children if isinstance(c, Tree) and c.data == "op"]
        block = self.block(args, ops)
        return Func(str(symbol)[1:], block, attrs)

    def block(self, args: list[Node], ops: list[Node]) -> Block:
        env: dict[str, Value] = {}
        block = Block()
        for arg in args:
            name, type = arg.children
            assert isinstance(name, Token) and isinstance(type, Tree)
            self.define(env, name, block.add_arg(self.type(type), _hint(name)))
        for node in ops:
            op = self.op(node, env)
            block.append(op)
        return block

    def define(self, env: dict[str, Value], token: Token, value: Value) -> None:
        if str(token) in env:
            raise self.error(token, f"{token} is defined twice")
        env[str(token)] = value

    def op(self, node: Node, env: dict[str, Value]) -> Op:
        results, opname, operands, attrs, region, *rest = node.children
        assert isinstance(opname, Token)
        types = [self.type(c) for c in rest if isinstance(c, Tree) and c.data == "type"]
        sources = tuple(self.source(c) for c in rest if isinstance(c, Tree) and c.data == "source")
        names = _tokens(results) if isinstance(results, Tree) else []
        values = [self.value(token, env) for token in _tokens(operands)] if isinstance(operands, Tree) else []
        given = self.dict(attrs) if isinstance(attrs, Tree) else {}
        try:
            cls = op_class(str(opname))
            for name in sorted(given.keys() - cls.spec.attrs.keys()):  # `loc` and the like would mean something to Op
                raise self.error(opname, f"`{opname}` has no attribute `{name}`", did_you_mean(name, cls.spec.attrs))
            op = cls(
                *values,
                types=types or None,
                loc=self.loc_of(opname, sources),
                region=self.region(region) if isinstance(region, Tree) else None,
                **given,
            )
        except IRError as error:
            if error.loc.text is None:
                error.loc = self.loc_of(opname, sources)
            raise
        if len(names) != len(op.results):
            raise self.error(opname, f"`{opname}` has {len(op.results)} results, {len(names)} named")
        for token, value in zip(names, op.results, strict=True):
            value.name = _hint(token)
            self.define(env, token, value)
        return op

    def value(self, token: Token, env: dict[str, Value]) -> Value:
        if str(token) not in env:
            raise self.error(token, f"{token} is not defined here", did_you_mean(str(token), env))
        return env[str(token)]

    def region(self, node: Node) -> Block:
        trees = [c for c in node.children if isinstance(c, Tree)]
        return self.block([c for c in trees if c.data == "arg"], [c for c in trees if c.data == "op"])

    def source(self, node: Node) -> Source:
        name, op, tensor = node.children
        assert isinstance(name, Token)
        numbers = (None if token is None else int(str(token)) for token in (op, tensor))
        return Source(self.string(name), *numbers)

    # -- types ------------------------------------------------------------------------------------------------------

    def type(self, node: Node) -> TensorType:
        dims, elem, layout = node.children
        shape = _dims(dims)
        assert isinstance(elem, Tree)
        letters = str(layout) if layout is not None else ""
        if letters and (len(letters) != len(shape) or len(set(letters)) != len(letters)):
            raise self.error(node, f"layout {letters} does not name {len(shape)} axes")
        return TensorType(shape, self.elem(elem, len(shape)), letters)

    def elem(self, node: Node, rank: int) -> ElemType:
        parts = node.children
        if node.data == "plain":
            return DType(str(parts[0]))
        name = str(parts[0])[2:]
        storage = DType(name if name.startswith("u") else f"i{name}")
        if node.data == "quant":
            return QType(storage, (_float32(self.any(parts[1])),), (int(str(parts[2])),))
        axis, scales_node, zeros_node = parts[1:]
        assert isinstance(scales_node, Tree) and isinstance(zeros_node, Tree)
        scales = self.scales(scales_node)
        zero = self.any(zeros_node.children[0])
        zeros = tuple(zero) if isinstance(zero, tuple) else (zero,) * len(scales)
        if not all(isinstance(z, int) for z in zeros):
            raise self.error(node, "zero points are integers")
        if len(zeros) != len(scales) or not 0 <= int(str(axis)) < rank:
            raise self.error(node, f"{len(scales)} scales and {len(zeros)} zero points along axis {axis}")
        return QType(storage, scales, zeros, int(str(axis)))

    def scales(self, node: Node) -> tuple[float, ...]:
        child = node.children[0]
        values = self.find_resource(child) if isinstance(child, Token) else self.any(child)
        try:
            return tuple(_float32(v) for v in values)
        except (TypeError, ValueError):
            raise self.error(node, "scales are numbers") from None

    # -- attribute values -------------------------------------------------------------------------------------------

    def description(self, node: Node) -> dict[str, Any]:
        """The attributes of a module or a function, which hold no arrays."""
        attrs = self.dict(node)
        if _holds_array(attrs):
            raise self.error(node, "arrays belong to ops alone")
        return attrs

    def dict(self, node: Node) -> dict[str, Any]:
        entries = {}
        for entry in node.children:
            if isinstance(entry, Tree):
                name, value = entry.children
                entries[str(name)] = self.any(value)
        return entries

    def any(self, node: Any) -> Any:
        """An attribute value; a symbol that names a resource is that array."""
        if isinstance(node, Token):
            return int(node) if node.type == "INT" else float(node)
        readers: dict[str, Callable[[Node], Any]] = {
            "number": lambda n: self.any(n.children[0]),
            "string": lambda n: self.string(_tokens(n)[0]),
            "boolean": lambda n: str(n.children[0]) == "true",
            "symbol": lambda n: self.symbol(_tokens(n)[0]),
            "list": lambda n: tuple(self.any(c) for c in n.children if c is not None),
            "dense": self.dense,
            "dict": self.dict,
        }
        return readers[node.data](node)

    def string(self, token: Token) -> str:
        try:
            return str(json.loads(str(token)))
        except ValueError as error:
            raise self.error(token, f"cannot read this string: {error}") from None

    def symbol(self, token: Token) -> Symbol | Array:
        name = str(token)[1:]
        return self.resources[name] if name in self.resources else Symbol(name)

    def find_resource(self, token: Token) -> Array:
        name = str(token)[1:]
        if name not in self.resources:
            raise self.error(token, f"{token} is not declared", did_you_mean(name, self.resources))
        return self.resources[name]

    def dense(self, node: Node) -> Array:
        dims, elem, items = node.children
        try:
            return np.array(self.any(items), DType(str(elem)).numpy).reshape(_dims(dims))
        except (TypeError, ValueError, OverflowError) as error:
            raise self.error(node, f"the elements do not make a {_dims(dims)} array of {elem}: {error}") from None


def _tokens(node: Node) -> list[Token]:
    return [c for c in node.children if isinstance(c, Token)]


def _holds_array(value: Any) -> bool:
    if isinstance(value, dict):
        value = tuple(value.values())
    return isinstance(value, np.ndarray) or (isinstance(value, tuple) and any(_holds_array(item) for item in value))


def _dims(token: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in str(token).split("x") if n) if token is not None else ()


def _hint(token: Token) -> str:
    """The value's name, unless it is a number that the printer made up."""
    name = str(token)[1:]
    return "" if name.isdigit() else name


def _float32(value: Any) -> float:
    return float(np.float32(value))


def _readable(terminal: str) -> str:
    names = {
        "VALUE": "%value",
        "SYMBOL": "@symbol",
        "OPNAME": "an op",
        "INT": "an integer",
        "STRING": "a string",
    }
    definition = next((t for t in _grammar().terminals if t.name == terminal), None)
    if terminal in names or definition is None:
        return names.get(terminal, terminal.lower())
    return f"`{definition.pattern.value}`" if definition.pattern.type == "str" else terminal.lower()
