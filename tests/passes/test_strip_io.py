"""`strip-io`: conversions at the ends go, and stay where a float value is needed."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker

WEIGHTS = "%w = nn.const() {value = dense<1x2xi8, [3, -4]>} : tensor<1x2x!q8<0.25, 0>>"
FLOAT_ENDS = f"""func @main(%x: tensor<3x2xf32>) {{
  {WEIGHTS}
  %q = nn.quantize(%x) : tensor<3x2x!q8<0.5, 3>> loc("quantize" op 0)
  %r = nn.dense(%q, %w) : tensor<3x1x!q8<0.375, -1>>
  %y = nn.dequantize(%r) : tensor<3x1xf32> loc("dequantize" op 2)
  func.return(%y)
}}"""


def test_both_ends_become_integers(check_pass: PassChecker) -> None:
    stats = check_pass(
        FLOAT_ENDS,
        "strip-io{io=int8}",
        f"""func @main(%x: tensor<3x2x!q8<0.5, 3>>) {{
          {WEIGHTS}
          %r = nn.dense(%x, %w) : tensor<3x1x!q8<0.375, -1>>
          func.return(%r)
        }}""",
        same_results=False,
    )
    assert stats == {"inputs": 1, "outputs": 1}


def test_the_ends_stay_as_the_model_has_them(check_pass: PassChecker) -> None:
    check_pass.unchanged(FLOAT_ENDS, "strip-io{io=model}")


def test_an_input_quantised_twice_to_one_type_goes(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<2xf32>) {
          %p = nn.quantize(%x) : tensor<2x!q8<0.5, 3>>
          %q = nn.quantize(%x) : tensor<2x!q8<0.5, 3>>
          func.return(%p, %q)
        }""",
        "strip-io",
        "func @main(%x: tensor<2x!q8<0.5, 3>>) { func.return(%x, %x) }",
        same_results=False,
    )


@pytest.mark.parametrize(
    "second",
    [
        "%y = nn.quantize(%x) : tensor<2x!q8<0.25, 3>>",  # another type
        "%y = nn.clamp(%x) {lo = 0.0} : tensor<2xf32>",  # another op
        "%y = tensor.reshape(%x) {shape = [1, 2]} : tensor<1x2xf32>",
    ],
)
def test_an_input_that_is_read_otherwise_stays(check_pass: PassChecker, second: str) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<2xf32>) {{
          %p = nn.quantize(%x) : tensor<2x!q8<0.5, 3>>
          {second}
          func.return(%p, %y)
        }}""",
        "strip-io",
    )


def test_an_input_that_is_also_an_output_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2xf32>) {
          %p = nn.quantize(%x) : tensor<2x!q8<0.5, 3>>
          func.return(%p, %x)
        }""",
        "strip-io",
    )


def test_a_quantised_input_that_is_requantised_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2x!q8<0.5, 3>>) {
          %p = nn.quantize(%x) : tensor<2x!q8<0.25, 3>>
          func.return(%p)
        }""",
        "strip-io",
    )


def test_a_dequantised_value_inside_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2x!q8<0.5, 3>>) {
          %p = nn.dequantize(%x) : tensor<2xf32>
          %y = nn.clamp(%p) {lo = 0.0} : tensor<2xf32>
          func.return(%y)
        }""",
        "strip-io",
    )


def test_unused_inputs_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        "func @main(%x: tensor<2xf32>, %z: tensor<2xf32>) { func.return(%x) }",
        "strip-io",
    )
