"""Tables on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

NUMERIC = frozenset("0123456789.,-+%")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """Print `rows` under `columns`; columns of numbers are aligned to the right.

    On a terminal long cells wrap; in a file the table is as wide as it needs to be, without colours.
    """
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(set(row[i]) <= NUMERIC for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    if out.isatty():
        Console(file=out, highlight=False, markup=False).print(table)
        return
    console = Console(file=StringIO(), highlight=False, markup=False, width=4096)
    with console.capture() as capture:
        console.print(table)
    out.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())
