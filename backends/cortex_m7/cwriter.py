"""Lines of C with indentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CWriter:
    """Collects lines; a block indents what is written inside it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str = "") -> None:
        self.lines.append("    " * self.depth + text if text else "")

    def comment(self, lines: list[str]) -> None:
        """A block comment of its own lines."""
        safe = [line.replace("*/", "* /") for line in lines]
        for i, text in enumerate(safe):
            end = " */" if i == len(safe) - 1 else ""
            self.line(f"{'/*' if i == 0 else ' *'} {text}".rstrip() + end)

    @contextmanager
    def block(self, head: str, end: str = "}") -> Iterator[None]:
        """`head {`, the lines written inside, `}`."""
        self.line(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.line(end)

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"
