"""Where things come from, and errors that say what, where and what to do.

A `Loc` follows an op from the model file through every pass, so that an error at the end can name the operator of
the input at its start. An `IRError` is a mistake of the user's (a model, a limit, a text); `assert` is for ours.
"""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TextPos:
    """A span in a text file; lines and columns count from 1."""

    file: str
    line: int
    column: int
    width: int
    line_text: str

    def render(self, message: str) -> str:
        gutter = f"{self.line:5d} | "
        carets = " " * (self.column - 1) + "^" * max(1, min(self.width, len(self.line_text) - self.column + 1))
        return (
            f"{self.file}:{self.line}:{self.column}: error: {message}\n"
            f"{gutter}{self.line_text}\n{' ' * (len(gutter) - 2)}| {carets}"
        )


@dataclass(frozen=True)
class Source:
    """One operator of the imported model: the name of its output, its index, and that tensor's index."""

    name: str
    op: int | None = None
    tensor: int | None = None

    def __str__(self) -> str:
        text = json.dumps(self.name)
        if self.op is not None:
            text += f" op {self.op}"
        if self.tensor is not None:
            text += f" tensor {self.tensor}"
        return text


@dataclass(frozen=True)
class Loc:
    """What an op was made from: operators of the model (several when ops were fused), and a place in a text."""

    sources: tuple[Source, ...] = ()
    text: TextPos | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return ", ".join(str(source) for source in self.sources)

    def __bool__(self) -> bool:
        return bool(self.sources) or self.text is not None


UNKNOWN = Loc()


def fuse_locs(locs: Iterable[Loc]) -> Loc:
    """One Loc that keeps every source of `locs`, each once, in order."""
    locs = list(locs)
    sources = tuple(dict.fromkeys(source for loc in locs for source in loc.sources))
    text = next((loc.text for loc in locs if loc.text is not None), None)
    return Loc(sources, text)


class TinyIRError(Exception):
    """A mistake outside this program, worth one clear message and exit status 1."""

    def __init__(self, message: str, *, loc: Loc = UNKNOWN, notes: Iterable[str] = (), help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.loc = loc
        self.notes = list(notes)
        self.help = help

    def render(self) -> str:
        """The whole message, with the source line where there is one."""
        if self.loc.text is not None:
            lines = [self.loc.text.render(self.message)]
        elif self.loc.sources:
            lines = [f"error: {self.message}", f"  at {self.loc}"]
        else:
            lines = [f"error: {self.message}"]
        lines += [f"note: {note}" for note in self.notes]
        if self.help:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


class IRError(TinyIRError):
    """The IR, or the text or model it was made from, breaks a rule. `op` is the op that does, where one does."""

    op: Any = None


class ModelError(TinyIRError):
    """A model file that cannot be read, or that holds what tinyir does not support."""


class LimitError(TinyIRError):
    """The compiled program needs more of something than the target or the user grants."""


class ToolError(TinyIRError):
    """A compiler, an emulator or another program that is missing or failed."""


class UsageError(TinyIRError):
    """An option or a pipeline that says nothing: exit status 2."""


class InternalError(TinyIRError):
    """A mistake of this program or of a pass it loaded; `__cause__` is the exception."""


class TinyIRWarning(UserWarning):
    """What a user should know of a result that is right all the same."""


def warn(message: str) -> None:
    """Warn of what is not as the user said; the command line shows it as `warning: ...`."""
    warnings.warn(message, TinyIRWarning, stacklevel=2)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A help line with the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean `{close[0]}`?" if close else ""
