"""`build-backward`: the loss, the gradients that are needed, the updates."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker
from tests.train.networks import dense_network
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.core import Module
from tinyir.passes.manager import PassManager, parse_pipeline

MAIN = """func @main(%x: tensor<1x2xf32>, %w: tensor<3x2xf32>) attributes {state = [1]} {
  %y = nn.dense(%x, %w) : tensor<1x3xf32>
  func.return(%y)
}
"""


def run(module: Module, passes: str) -> Module:
    PassManager(parse_pipeline(passes)).run(module)
    return module


def test_a_step_of_one_layer(check_pass: PassChecker) -> None:
    """The input gets no gradient; the factor 2 of the square is a sum, the mean a factor of 1/3."""
    check_pass(
        MAIN,
        "build-backward{loss=mean-squared-error,target=tensor},canonicalize",
        MAIN
        + """
func @train_step(%x: tensor<1x2xf32>, %target: tensor<1x3xf32>, %lr: tensor<f32>, %w: tensor<3x2xf32>)
    attributes {state = [3], by_value = [2], updates = [1]} {
  %y = nn.dense(%x, %w) : tensor<1x3xf32>
  %0 = nn.sub(%y, %target) : tensor<1x3xf32>
  %1 = nn.mul(%0, %0) : tensor<1x3xf32>
  %loss = nn.mean(%1) {axes = [0, 1]} : tensor<f32>
  %2 = nn.const() {value = dense<1x3xf32, [0.33333334, 0.33333334, 0.33333334]>} : tensor<1x3xf32>
  %3 = nn.mul(%2, %0) : tensor<1x3xf32>
  %4 = nn.add(%3, %3) : tensor<1x3xf32>
  %5 = grad.dense_weight(%4, %x) : tensor<3x2xf32>
  %6 = train.sgd(%w, %5, %lr) : tensor<3x2xf32>
  %w.new = train.accept(%w, %6, %6) {states = 1} : tensor<3x2xf32>
  func.return(%loss, %w.new)
}""",
    )


def test_layers_before_the_first_parameter_get_no_gradient() -> None:
    module = parse(
        """func @main(%x: tensor<1x2xf32>, %w: tensor<3x2xf32>) attributes {state = [1]} {
          %h = nn.tanh(%x) : tensor<1x2xf32>
          %y = nn.dense(%h, %w) : tensor<1x3xf32>
          func.return(%y)
        }""",
        "frozen.tir",
    )
    ops = [op.opname for op in run(module, "build-backward").funcs["train_step"].ops]
    assert ops.count("nn.tanh") == 1 and "grad.dense_input" not in ops and ops.count("grad.dense_weight") == 1


def test_each_parameter_is_updated_where_its_gradient_is_complete() -> None:
    step = run(dense_network((4, 3, 2)), "select-params,build-backward").funcs["train_step"]
    order = [op.operands[0].name for op in step.ops if op.opname == "train.sgd"]
    assert order == ["w1", "b1", "w0", "b0"]
    assert [value.name for value in step.outputs] == ["loss", "w0.new", "b0.new", "w1.new", "b1.new"]


def test_a_last_softmax_goes_into_the_loss() -> None:
    main = MAIN.replace("func.return(%y)", "%p = nn.softmax(%y) : tensor<1x3xf32>\n  func.return(%p)")
    step = run(parse(main, "softmax.tir"), "build-backward").funcs["train_step"]
    logs = next(op for op in step.ops if op.opname == "nn.log_softmax")
    assert logs.operands[0].name == "y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAIN.replace("state = [1]", "inputs = [1]"), "@main has no parameters to train"),
        (MAIN.replace("1x2x", "2x2x").replace("1x3x", "2x3x"), r"its output is tensor<2x3xf32>, not \[1, classes\]"),
        (
            MAIN.replace("nn.dense(%x, %w)", "nn.dense(%x, %v)").replace(
                "  %y",
                "  %v = nn.const() {value = dense<3x2xf32, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]>} : tensor<3x2xf32>\n  %y",
            ),
            "the loss does not depend on the parameter `w`",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        run(parse(text, "refused.tir"), "build-backward")
