"""What is being done, on the last line of a terminal; nothing elsewhere."""

from __future__ import annotations

import sys


def show_step(text: str) -> None:
    """Show `text` in place of the step before; an empty text clears the line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
