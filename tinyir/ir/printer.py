"""IR text. `parse(print(m)) == m` for every module, constants included.

Big constants are resources, declared before the functions and written inline (base64) or to a side `.npz` file:

    resource @conv2d_0_w = "person.npz:conv2d_0_w"
    resource @scales_0 = "f32[2] base64:AACAPwAAAEA="
"""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.ir.core import Block, Func, Module, Op, Symbol, Value
from tinyir.ir.types import ElemType, QType, TensorType, dtype_of

INLINE_ELEMENTS = 16
"""Constants up to this many elements are written in the text itself."""

_NPZ_RESERVED = ("file", "allow_pickle")
"""Arrays cannot have these names: `numpy.savez_compressed` has parameters called so."""

Array = npt.NDArray[Any]


def print_module(module: Module, npz: str = "") -> str:
    """The module as text. With `npz`, resources refer to that file (see `save_module`); else they are inline."""
    return _module_text(module, npz, Printer())


def save_module(module: Module, path: Path, comment: str = "") -> None:
    """Write the text to `path`, after the lines of `comment`, and its big constants to the `.npz` beside it."""
    side = path.with_suffix(".npz")
    printer = Printer()
    text = _module_text(module, side.name, printer)
    path.write_text("".join(f"// {line}\n" for line in comment.splitlines()) + text, encoding="utf-8")
    if printer.resources:
        arrays: dict[str, Any] = dict(printer.resources)
        np.savez_compressed(side, **arrays)


def _module_text(module: Module, npz: str, printer: Printer) -> str:
    """The text; afterwards `printer.resources` holds the arrays it refers to."""
    body = [printer.func(func) for func in module.funcs.values()]
    body += [kernel.text() for kernel in module.kernels.values()]
    resources = [_resource(name, array, npz) for name, array in printer.resources.items()]
    head = "module"
    if module.attrs:
        head += f" attributes {_dict_text(module.attrs)}"
    parts = ["\n".join(resources)] if resources else []
    text = "\n\n".join(parts + body)
    return f"{head} {{\n{_indent(text)}\n}}\n"


def _resource(name: str, array: Array, npz: str) -> str:
    if npz:
        return f'resource @{name} = "{npz}:{name}"'
    dims = ",".join(str(n) for n in array.shape)
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return f'resource @{name} = "{dtype_of(array)}[{dims}] base64:{data}"'


class Printer:
    """Prints functions; collects the resources that their text refers to."""

    def __init__(self) -> None:
        self.resources: dict[str, Array] = {}
        self._resource_names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    # -- resources --------------------------------------------------------------------------------------------------

    def resource(self, array: Array, hint: str) -> str:
        """The name under which `array` is declared; equal arrays share one."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._resource_names:
            name = _unique(_identifier(hint) or "c", self.resources)
            if name in _NPZ_RESERVED:
                name = _unique(f"{name}_c", self.resources)
            self._resource_names[key] = name
            self.resources[name] = array
        return self._resource_names[key]

    # -- types and attributes ---------------------------------------------------------------------------------------

    def type(self, type: TensorType) -> str:
        dims = "".join(f"{n}x" for n in type.shape)
        layout = f", {type.layout}" if type.layout else ""
        return f"tensor<{dims}{self.elem(type.elem)}{layout}>"

    def elem(self, elem: ElemType) -> str:
        if not isinstance(elem, QType):
            return str(elem)
        name = f"!q{'u' if str(elem.storage).startswith('u') else ''}{str(elem.storage)[1:]}"
        if not elem.per_axis:
            return f"{name}<{_float32(elem.scale)}, {elem.zero_point}>"
        if len(elem.scales) <= INLINE_ELEMENTS:
            scales = "[" + ", ".join(_float32(s) for s in elem.scales) + "]"
        else:
            scales = "@" + self.resource(np.array(elem.scales, np.float32), "scales")
        if len(set(elem.zero_points)) == 1:
            zeros = str(elem.zero_points[0])
        else:
            zeros = "[" + ", ".join(str(z) for z in elem.zero_points) + "]"
        return f"{name}<axis {elem.axis}, {scales}, {zeros}>"

    def array(self, array: Array, hint: str) -> str:
        """An array attribute: inline when it is small and finite, else a reference to a resource."""
        finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
        if array.size <= INLINE_ELEMENTS and array.ndim <= 1 and finite:
            items = [_float32(v) if array.dtype.kind == "f" else str(int(v)) for v in array.reshape(-1)]
            dims = "".join(f"{n}x" for n in array.shape)
            return f"dense<{dims}{dtype_of(array)}, [{', '.join(items)}]>"
        return f"@{self.resource(array, hint)}"

    def attrs(self, op: Op, hint: str) -> str:
        items = []
        for name, field in op.spec.attrs.items():
            value = op.attrs[name]
            if not field.required and _equal(value, field.default):
                continue
            text = self.array(value, hint) if isinstance(value, np.ndarray) else attr_text(value)
            items.append(f"{name} = {text}")
        return " {" + ", ".join(items) + "}" if items else ""

    # -- functions --------------------------------------------------------------------------------------------------

    def func(self, func: Func) -> str:
        names = _Names()
        args = ", ".join(f"%{names.of(arg)}: {self.type(arg.type)}" for arg in func.args)
        attrs = f" attributes {_dict_text(func.attrs)}" if func.attrs else ""
        body = "\n".join(self.op(op, names) for op in func.ops)
        return f"func @{func.name}({args}){attrs} {{\n{_indent(body)}\n}}"

    def op(self, op: Op, names: _Names) -> str:
        operands = ", ".join(f"%{names.of(value)}" for value in op.operands)
        region = f" {self.region(op.region, names)}" if op.region is not None else ""
        results = ", ".join(f"%{names.of(value)}" for value in op.results)
        text = f"{results} = " if results else ""
        text += f"{op.opname}({operands})"
        text += self.attrs(op, names.of(op.results[0]) if op.results else "") + region
        if op.results:
            text += " : " + ", ".join(self.type(value.type) for value in op.results)
        if op.loc.sources:
            text += f" loc({op.loc})"
        return text

    def region(self, block: Block, names: _Names) -> str:
        args = ", ".join(f"%{names.of(arg)}: {self.type(arg.type)}" for arg in block.args)
        body = "\n".join(self.op(op, names) for op in block.ops)
        return f"region({args}) {{\n{_indent(body)}\n}}"


class _Names:
    """Unique names for the values of one function: their hint, or a number."""

    def __init__(self) -> None:
        self.names: dict[Value, str] = {}
        self.taken: dict[str, Value] = {}
        self.next_number = 0

    def of(self, value: Value) -> str:
        if value not in self.names:
            hint = _identifier(value.name)
            if hint:
                name = _unique(hint, self.taken)
            else:
                name = str(self.next_number)
                self.next_number += 1
            self.names[value] = name
            self.taken[name] = value
        return self.names[value]


def type_text(type: TensorType) -> str:
    """A type on its own, as in messages; long lists of scales are named, not listed."""
    return Printer().type(type)


def op_text(op: Op) -> str:
    """One op on its own, as in messages; operand names are those of a print of the op alone."""
    return Printer().op(op, _Names())


def attr_text(value: Any) -> str:
    """An attribute value. Raises TypeError for what the text form cannot hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, float):
        return _float64(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Symbol):
        return str(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(attr_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return _dict_text(value)
    raise TypeError(f"no text form for the attribute value {value!r}")


def _dict_text(attrs: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name} = {attr_text(value)}" for name, value in attrs.items()) + "}"


def _float64(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return str(value)
    text = repr(value)
    return text if any(c in text for c in ".e") else text + ".0"


def _float32(value: Any) -> str:
    """The shortest text that reads back as the same float32."""
    text = str(np.float32(value))
    return text if any(c in text for c in ".en") else text + ".0"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    return type(a) is type(b) and bool(a == b)


def _identifier(text: str) -> str:
    """`text` as a name: letters, digits, `_`, `.`; not starting with a digit."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", text).strip("_.")
    return f"_{name}" if name[:1].isdigit() else name


def _unique(name: str, taken: dict[str, Any]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _indent(text: str) -> str:
    return "\n".join("  " + line if line else line for line in text.splitlines())
