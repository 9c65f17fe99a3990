"""Random whole models: the reference semantics against TFLite Micro and LiteRT, and the text form.

A failure prints the model as IR, shrunk. `TINYIR_EXAMPLES=2000` tries more.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.differential import check
from tests.strategies import GraphCase, graph_case, graph_cases
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.printer import print_module

EXAMPLES = int(os.environ.get("TINYIR_EXAMPLES", "250"))

many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, derandomize=True
)


@many
@given(graph_cases(quantized=True))
def test_int8_graphs(case: GraphCase) -> None:
    check(case.model, case.inputs)


@many
@given(graph_cases(quantized=False))
def test_float_graphs(case: GraphCase) -> None:
    check(case.model, case.inputs)


@many
@given(graph_cases())
def test_text_reads_back(case: GraphCase) -> None:
    module = parse_tflite(case.model, "case")
    assert parse(print_module(module)) == module


@pytest.mark.parametrize("quantized", [True, False])
def test_a_seed_gives_one_case(quantized: bool) -> None:
    assert graph_case(7, quantized).model == graph_case(7, quantized).model


def test_every_operator_is_drawn() -> None:
    kinds = {kind for seed in range(300) for kind in graph_case(seed).kinds}
    assert len(kinds) == 27, sorted(kinds)
