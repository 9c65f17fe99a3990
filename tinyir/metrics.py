"""How well a classifier does: accuracy, precision, recall, F1, all from one table of what it took for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """Accuracy over all examples; precision, recall and F1 as means over the classes (macro averages). A quotient
    without examples (a class that is never predicted, or has none) counts as 0. Classes that neither occur nor are
    predicted do not count."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def confusion(labels: Sequence[int] | Array, predicted: Sequence[int] | Array, classes: int) -> Array:
    """How often an example of class i (row) was taken for class j (column)."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (np.asarray(labels, np.int64), np.asarray(predicted, np.int64)), 1)
    return table


def scores(table: Array) -> Scores:
    """The scores of a confusion table; all 0 for one without examples."""
    right = np.diag(table)
    of_class, taken = table.sum(1), table.sum(0)
    present = (of_class + taken) > 0
    if not present.any():
        return Scores(0.0, 0.0, 0.0, 0.0)
    precision, recall = _quotients(right, taken), _quotients(right, of_class)
    f1 = _quotients(2 * right, of_class + taken)
    accuracy = float(right.sum() / table.sum())
    return Scores(accuracy, *(float(each[present].mean()) for each in (precision, recall, f1)))


def _quotients(a: Array, b: Array) -> Array:
    """a / b, 0 where b is."""
    return np.asarray(np.where(b > 0, a / np.maximum(b, 1), 0.0))
