"""What is being done, on the last line of a terminal; nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


def show_step(text: str) -> None:
    """Show `text` in place of the step before; an empty text clears the line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar for `total` steps of one kind, with the time left. Yields a function that is told how many are done, and
    what to say beside the bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
    console = Console(file=sys.stderr, markup=False)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total)

        def show(done: int, text: str) -> None:
            progress.update(task, completed=done, description=text)

        yield show
