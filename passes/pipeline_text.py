"""Pipelines as text: `canonicalize,fuse-ops{max_ops=4},plan-memory` to passes and back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tinyir.diagnostics import Loc, TextPos, UsageError, did_you_mean
from tinyir.passes.options import (
    UnclosedError,
    option_default,
    option_fields,
    option_types,
    read_value,
    split_commas,
    type_name,
    value_text,
)
from tinyir.passes.registry import Pass, UnknownPassError, find_pass

_ITEM = re.compile(r"\s*(?P<name>[A-Za-z0-9_.-]+)\s*(\{(?P<options>.*)\}\s*)?", re.DOTALL)
_OPTION = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<value>.*)", re.DOTALL)


def pipeline_text(passes: Iterable[Pass]) -> str:
    """The text that `parse_pipeline` reads back to equal passes."""
    return ",".join(pass_text(a_pass) for a_pass in passes)


def pass_text(a_pass: Pass) -> str:
    """One pass with the options that differ from their defaults."""
    shown = []
    for f in option_fields(type(a_pass)):
        value = getattr(a_pass, f.name)
        if value != option_default(f):
            shown.append(f"{f.name}={value_text(value)}")
    return f"{a_pass.name}{{{','.join(shown)}}}" if shown else a_pass.name


def parse_pipeline(text: str, origin: str = "--passes") -> list[Pass]:
    """The passes that `text` names, with their options. Raises UsageError with a caret under the mistake; `origin`
    says there where the text came from."""
    whole = _Piece(text.replace("\n", " "), 0, text.replace("\n", " "), origin)
    return [_parse_pass(piece) for piece in whole.split()] if text.strip() else []


@dataclass(frozen=True)
class _Piece:
    """A part of the pipeline, and where in the whole text it starts."""

    text: str
    start: int
    whole: str
    origin: str

    def part(self, start: int, text: str) -> _Piece:
        return dataclasses.replace(self, text=text, start=self.start + start)

    def group(self, match: re.Match[str], group: str) -> _Piece:
        return self.part(match.start(group), match.group(group))

    def split(self) -> list[_Piece]:
        """The pieces between the commas. Raises UsageError."""
        try:
            return [self.part(start, text) for start, text in split_commas(self.text)]
        except UnclosedError as error:
            char = self.text[error.index]
            raise self.part(error.index, char).error(f"`{char}` is not closed") from None

    @property
    def loc(self) -> Loc:
        skipped = len(self.text) - len(self.text.lstrip())
        width = max(1, len(self.text.strip()))
        return Loc((), TextPos(self.origin, 1, self.start + skipped + 1, width, self.whole))

    def error(self, message: str, help: str = "") -> UsageError:
        return UsageError(message, loc=self.loc, help=help)


def _parse_pass(piece: _Piece) -> Pass:
    match = _ITEM.fullmatch(piece.text)
    if match is None:
        raise piece.error("expected a pass", "a pipeline looks like `canonicalize,fuse-ops{max_ops=4}`")
    try:
        cls = find_pass(match.group("name"))
    except UnknownPassError as error:
        error.loc = piece.group(match, "name").loc
        raise
    options: dict[str, Any] = {}
    if (match.group("options") or "").strip():
        for option in piece.group(match, "options").split():
            name, value = _parse_option(option, cls)
            if name in options:
                raise option.error(f"the option `{name}` of `{cls.name}` is given twice")
            options[name] = value
    for f in option_fields(cls):
        if f.name not in options and option_default(f) is dataclasses.MISSING:
            raise piece.error(f"`{cls.name}` needs the option `{f.name}`")
    return cls(**options)


def _parse_option(piece: _Piece, cls: type[Pass]) -> tuple[str, Any]:
    match = _OPTION.fullmatch(piece.text)
    if match is None:
        raise piece.error(f"expected an option of `{cls.name}`", "an option looks like `max_ops=4`")
    name, types = match.group("name"), option_types(cls)
    if name not in types:
        have = f"its options are: {', '.join(types)}" if types else "it has none"
        raise piece.group(match, "name").error(
            f"`{cls.name}` has no option `{name}`", did_you_mean(name, types) or have
        )
    value = piece.group(match, "value")
    try:
        return name, read_value(value.text, types[name])
    except ValueError:
        message = f"the option `{name}` of `{cls.name}` must be {type_name(types[name])}, not `{value.text.strip()}`"
        raise value.error(message) from None
