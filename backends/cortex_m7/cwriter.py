"""Lines of C with indentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LINE_WIDTH = 118


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

    def call(self, function: str, arguments: Sequence[str]) -> None:
        """A call as a statement; one that is too long for a line has its arguments on lines of their own."""
        whole = f"{function}({', '.join(arguments)});"
        if 4 * self.depth + len(whole) <= LINE_WIDTH:
            self.line(whole)
            return
        self.line(f"{function}(")
        lines = [""]
        for i, argument in enumerate(arguments):
            word = argument + (");" if i == len(arguments) - 1 else ",")
            if lines[-1] and 4 * (self.depth + 1) + len(lines[-1]) + 1 + len(word) > LINE_WIDTH:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
        self.depth += 1
        for line in lines:
            self.line(line)
        self.depth -= 1

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
