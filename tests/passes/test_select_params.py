"""`select-params`: weights and biases become state, other constants stay."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.passes.manager import PassManager, parse_pipeline


def test_weights_become_arguments_and_other_constants_stay(check_pass: PassChecker) -> None:
    stats = check_pass(
        """func @main(%x: tensor<1x2xf32>) {
          %w = nn.const() {value = dense<3x2xf32, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]>} : tensor<3x2xf32>
          %c = nn.const() {value = dense<f32, [2.0]>} : tensor<f32>
          %y = nn.dense(%x, %w) : tensor<1x3xf32>
          %z = nn.add(%y, %c) : tensor<1x3xf32>
          func.return(%z)
        }""",
        "select-params",
        """func @main(%x: tensor<1x2xf32>, %w: tensor<3x2xf32>) attributes {state = [1]} {
          %c = nn.const() {value = dense<f32, [2.0]>} : tensor<f32>
          %y = nn.dense(%x, %w) : tensor<1x3xf32>
          %z = nn.add(%y, %c) : tensor<1x3xf32>
          func.return(%z)
        }
        func @params_init() attributes {updates = [0]} {
          %w = nn.const() {value = dense<3x2xf32, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]>} : tensor<3x2xf32>
          func.return(%w)
        }""",
        same_results=False,
    )
    assert stats == {"parameters": 1, "bytes": 24}


def test_a_constant_of_two_layers_becomes_two_parameters() -> None:
    module = parse(
        """func @main(%x: tensor<1x2xf32>) {
          %w = nn.const() {value = dense<2x2xf32, [1.0, 2.0, 3.0, 4.0]>} : tensor<2x2xf32>
          %y = nn.dense(%x, %w) : tensor<1x2xf32>
          %z = nn.dense(%y, %w) : tensor<1x2xf32>
          func.return(%z)
        }""",
        "two.tir",
    )
    PassManager(parse_pipeline("select-params")).run(module)
    assert module.main.attrs["state"] == (1, 2)
    assert [arg.name for arg in module.main.args] == ["x", "w", "w_1"]
    assert parse(str(module), "again.tir") == module


def test_a_model_without_weights_is_refused() -> None:
    module = parse("func @main(%x: tensor<2xf32>) { func.return(%x) }", "none.tir")
    with pytest.raises(IRError, match="@main has no weights to train"):
        PassManager(parse_pipeline("select-params")).run(module)
