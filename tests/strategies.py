"""Random whole models: every supported operator, odd shapes, strides and paddings, zero points at the ends.

`graph_cases()` is the hypothesis strategy; `graph_case(seed)` gives one case without hypothesis. A model starts from
one or two images and applies up to six operators to what there is; everything that nothing reads is an output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.graph_maker import Chooser, GraphCase, GraphMaker, HypothesisChooser, RandomChooser
from tests.graph_steps import STEPS

__all__ = ["GraphCase", "graph_case", "graph_cases", "make_case"]

MAX_OPERATORS = 6


def make_case(choose: Chooser, quantized: bool, seed: int) -> GraphCase:
    """One model of up to six operators; `seed` is that of the weights and inputs."""
    return GraphMaker(choose, quantized, seed).make(choose.integer(1, MAX_OPERATORS), STEPS)


def graph_case(seed: int, quantized: bool = True) -> GraphCase:
    """The case that belongs to `seed`."""
    return make_case(RandomChooser(np.random.default_rng(seed)), quantized, seed)


def graph_cases(quantized: bool = True) -> st.SearchStrategy[GraphCase]:
    """Random models, which hypothesis shrinks to fewer operators and smaller shapes."""

    @st.composite
    def cases(draw: Any) -> GraphCase:
        return make_case(HypothesisChooser(draw), quantized, draw(st.integers(0, 2**16)))

    return cases()
