"""Scores against scikit-learn's, and what they are where a class is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinyir.metrics import Scores, confusion, scores

sklearn: Any = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    """Seeds beyond 3 leave classes out, of the labels and of the predictions."""
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 5 if seed < 4 else 3, 40), rng.integers(0 if seed < 6 else 2, 5, 40)
    found = scores(confusion(labels, predicted, 5))
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    wanted = (sklearn.accuracy_score(labels, predicted), precision, recall, f1)
    np.testing.assert_allclose((found.accuracy, found.precision, found.recall, found.f1), wanted, rtol=1e-12)


def test_confusion_has_labels_in_rows() -> None:
    assert confusion([0, 0, 1], [0, 1, 1], 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_no_examples_score_nothing() -> None:
    assert scores(np.zeros((3, 3), np.int64)) == Scores(0.0, 0.0, 0.0, 0.0)
