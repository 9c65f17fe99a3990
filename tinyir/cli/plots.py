"""Pictures of figures, with matplotlib where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyir.diagnostics import ToolError, UsageError
from tinyir.fit import History


def require_matplotlib() -> Any:
    """Its Figure class. Raises ToolError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("matplotlib was not found", help="pip install matplotlib, or leave --plot out") from error
    return Figure


def require_format(path: Path) -> None:
    """Raise UsageError where matplotlib writes no files of that kind."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UsageError(f"{path}: no picture of that kind is drawn", help=f"end it in .{', .'.join(sorted(known))}")


def plot_history(history: History, title: str, path: Path) -> None:
    """The loss of each step with its mean, and the scores, over the steps. Raises ToolError, UsageError."""
    figure = require_matplotlib()(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(title)
    above.plot(range(1, len(history.losses) + 1), history.losses, color="0.75", linewidth=0.8, label="each step")
    known = [(m.step, m.loss) for m in history.measurements if m.loss is not None]
    above.plot([step for step, _ in known], [loss for _, loss in known], marker="o", label="mean")
    above.set_ylabel("loss")
    above.legend()
    steps = [m.step for m in history.measurements]
    for name in ("accuracy", "precision", "recall", "f1"):
        below.plot(steps, [getattr(m.scores, name) for m in history.measurements], marker="o", label=name)
    below.set_ylim(0, 1.02)
    below.set_xlabel("steps")
    below.legend()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}") from None
