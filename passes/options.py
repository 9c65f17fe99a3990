"""The options of a pass as text. A value is written by its type: an integer, a float, `true` or `false`, a word or a
"quoted string", `none`, and `[1,2]` for a tuple."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from typing import Any

from tinyir.passes.registry import Pass

_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")
_CLOSING = {"{": "}", "[": "]"}


def option_fields(cls: type[Pass]) -> tuple[dataclasses.Field[Any], ...]:
    """The options of a pass; none for a pass that is no dataclass."""
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def option_types(cls: type[Pass]) -> dict[str, Any]:
    """The type of each option by name."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in option_fields(cls)}


def option_default(f: dataclasses.Field[Any]) -> Any:
    """The default of an option, or dataclasses.MISSING."""
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default


def type_name(wanted: Any) -> str:
    """A type as messages and help name it: `int`, `tflm | litert`, `int | none`."""
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Literal:
        return " | ".join(value_text(choice) for choice in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is tuple:
        return f"[{type_name(args[0])}, ...]" if args[-1] is Ellipsis else f"[{', '.join(map(type_name, args))}]"
    return "none" if wanted is type(None) else str(getattr(wanted, "__name__", wanted))


def value_text(value: Any) -> str:
    """The text that `read_value` reads back."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{','.join(value_text(item) for item in value)}]"
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) and value != "none" else json.dumps(value)
    assert isinstance(value, (int, float)), f"no text form for the option value {value!r}"
    return repr(value)


def read_value(text: str, wanted: Any) -> Any:
    """`text` as a value of the type `wanted`. Raises ValueError."""
    text = text.strip()
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Literal:
        return _choice(text, {value_text(choice): choice for choice in args})
    if origin in (typing.Union, types.UnionType):
        return _read_first(text, args)
    if origin is tuple:
        return _read_tuple(text, args)
    if wanted is bool:
        return _choice(text, {"true": True, "false": False})
    if wanted is type(None):
        return _choice(text, {"none": None})
    if wanted is str:
        return json.loads(text) if text.startswith('"') else text
    assert wanted in (int, float), f"no text form for options of type {wanted}"
    return wanted(text)


def _choice(text: str, choices: dict[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(text)
    return choices[text]


def _read_first(text: str, kinds: tuple[Any, ...]) -> Any:
    """`none` before the other types, so that `str | None` can say both."""
    for kind in sorted(kinds, key=lambda kind: kind is not type(None)):
        try:
            return read_value(text, kind)
        except ValueError:
            continue
    raise ValueError(text)


def _read_tuple(text: str, kinds: tuple[Any, ...]) -> Any:
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(text)
    items = [item for _, item in split_commas(text[1:-1])] if text[1:-1].strip() else []
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(items) != len(kinds):
        raise ValueError(text)
    return tuple(read_value(item, kind) for item, kind in zip(items, kinds, strict=True))


class UnclosedError(ValueError):
    """A bracket or a quote, at `index`, that is not closed."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def split_commas(text: str) -> list[tuple[int, str]]:
    """The parts of `text` between its commas, each with its start. Commas inside of brackets and quotes do not count.

    Raises UnclosedError.
    """
    starts, closing, quote = [0], list[tuple[str, int]](), -1
    for i, char in enumerate(text):
        if quote >= 0:
            quote = -1 if char == '"' and text[i - 1] != "\\" else quote
        elif char == '"':
            quote = i
        elif char in _CLOSING:
            closing.append((_CLOSING[char], i))
        elif closing and char == closing[-1][0]:
            closing.pop()
        elif char == "," and not closing:
            starts.append(i + 1)
    if quote >= 0 or closing:
        raise UnclosedError(quote if quote >= 0 else closing[-1][1])
    ends = [start - 1 for start in starts[1:]] + [len(text)]
    return [(start, text[start:end]) for start, end in zip(starts, ends, strict=True)]
