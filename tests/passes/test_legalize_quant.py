"""`legalize-quant`: what is left are integer primitives, and they compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passcheck import PassChecker, random_inputs, run_passes
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.interp import evaluate

DENSE = """func @main(%x: tensor<8x4x!q8<0.5, 3>>) {
  %w = nn.const() {value = dense<2x4xi8, [1, -2, 3, -4, 5, 6, -7, 8]>} : tensor<2x4x!q8<0.25, 0>> loc("w")
  %b = nn.const() {value = dense<2xi32, [100, -100]>} : tensor<2xi32> loc("b")
  %y = nn.dense(%x, %w, %b) : tensor<8x2x!q8<0.375, -1>> loc("fc" op 3 tensor 7)
  func.return(%y)
}"""


def test_dense_becomes_primitives(check_pass: PassChecker) -> None:
    check_pass(
        DENSE,
        "legalize-quant,canonicalize",
        """func @main(%x: tensor<8x4x!q8<0.5, 3>>) {
          %0 = quant.storage(%x) : tensor<8x4xi8> loc("fc" op 3 tensor 7)
          %w = nn.const() {value = dense<2x4xi8, [1, -2, 3, -4, 5, 6, -7, 8]>}
            : tensor<2x4xi8> loc("fc" op 3 tensor 7)
          %b = nn.const() {value = dense<2xi32, [106, -136]>} : tensor<2xi32> loc("fc" op 3 tensor 7)
          %y_acc = int.dense(%0, %w, %b) : tensor<8x2xi32> loc("fc" op 3 tensor 7)
          %y_multiplier = nn.const() {value = dense<1xi32, [1431655765]>} : tensor<1xi32> loc("fc" op 3 tensor 7)
          %y_shift = nn.const() {value = dense<1xi32, [-1]>} : tensor<1xi32> loc("fc" op 3 tensor 7)
          %y = int.requantize(%y_acc, %y_multiplier, %y_shift) {zero_point = -1}
            : tensor<8x2xi8> loc("fc" op 3 tensor 7)
          %y_1 = quant.typed(%y) : tensor<8x2x!q8<0.375, -1>> loc("fc" op 3 tensor 7)
          func.return(%y_1)
        }""",
    )


def test_litert_rounds_dense_layers_once() -> None:
    rounding = [
        op.attrs["rounding"]
        for numerics in ("tflm", "litert")
        for op in run_passes(DENSE, f"legalize-quant{{numerics={numerics}}}").main.ops
        if op.opname == "int.requantize"
    ]
    assert rounding == ["double", "single"]


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
def test_both_numerics_keep_their_results(numerics: str) -> None:
    before = parse(DENSE).main
    after = run_passes(DENSE, f"legalize-quant{{numerics={numerics}}},canonicalize").main
    inputs = random_inputs(before)
    assert np.array_equal(evaluate(before, inputs, numerics)[0], evaluate(after, inputs, numerics)[0])


def test_every_primitive_keeps_the_source() -> None:
    module = run_passes(DENSE, "legalize-quant,canonicalize")
    assert {str(op.loc) for op in module.main.ops if op.opname.startswith("int.")} == {'"fc" op 3 tensor 7'}


def test_movement_works_on_stored_integers(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<2x3x!q8<0.5, 3>>, %z: tensor<2x3x!q8<0.5, 3>>) {
          %c = tensor.concat(%x, %z) {axis = 0} : tensor<4x3x!q8<0.5, 3>> loc("concat")
          %r = tensor.reshape(%c) {shape = [12]} : tensor<12x!q8<0.5, 3>> loc("reshape")
          func.return(%r)
        }""",
        "legalize-quant,canonicalize",
        """func @main(%x: tensor<2x3x!q8<0.5, 3>>, %z: tensor<2x3x!q8<0.5, 3>>) {
          %0 = quant.storage(%x) : tensor<2x3xi8> loc("concat")
          %1 = quant.storage(%z) : tensor<2x3xi8> loc("concat")
          %c = tensor.concat(%0, %1) {axis = 0} : tensor<4x3xi8> loc("concat")
          %r = tensor.reshape(%c) {shape = [12]} : tensor<12xi8> loc("reshape")
          %r_1 = quant.typed(%r) : tensor<12x!q8<0.5, 3>> loc("reshape")
          func.return(%r_1)
        }""",
    )


def test_float_ops_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2x3xf32>, %w: tensor<4x3xf32>) {
          %y = nn.dense(%x, %w) : tensor<2x4xf32>
          %z = tensor.reshape(%y) {shape = [8]} : tensor<8xf32>
          func.return(%z)
        }""",
        "legalize-quant",
    )


def test_a_quantised_op_without_integer_form_is_refused() -> None:
    """An op of primitives that is given quantised tensors has none."""
    with pytest.raises(IRError, match=r"`int.widen` has no form in integer primitives") as caught:
        run_passes(
            """func @main(%x: tensor<4x!q8<0.5, 3>>) {
              %y = int.widen(%x) : tensor<4xi32> loc("act" op 5)
              func.return(%y)
            }""",
            "legalize-quant",
        )
    assert any('loc("act" op 5)' in note for note in caught.value.notes)
    assert "while running `legalize-quant` (1 of 1)" in caught.value.notes


def test_weights_that_are_no_constants_get_the_zero_point_folded_when_the_layer_runs(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<8x4x!q8<0.5, 3>>, %w: tensor<2x4x!q8<0.25, 0>>, %b: tensor<2x!q32<0.125, 0>>) {
          %y = nn.dense(%x, %w, %b) : tensor<8x2x!q8<0.375, -1>>
          func.return(%y)
        }""",
        "legalize-quant,canonicalize",
        """func @main(%x: tensor<8x4x!q8<0.5, 3>>, %w: tensor<2x4x!q8<0.25, 0>>, %b: tensor<2x!q32<0.125, 0>>) {
          %0 = quant.storage(%x) : tensor<8x4xi8>
          %1 = quant.storage(%b) : tensor<2xi32>
          %2 = quant.storage(%w) : tensor<2x4xi8>
          %3 = int.fold_zero_point(%2, %1) {zero_point = 3} : tensor<2xi32>
          %y_acc = int.dense(%0, %2, %3) : tensor<8x2xi32>
          %y_multiplier = nn.const() {value = dense<1xi32, [1431655765]>} : tensor<1xi32>
          %y_shift = nn.const() {value = dense<1xi32, [-1]>} : tensor<1xi32>
          %y = int.requantize(%y_acc, %y_multiplier, %y_shift) {zero_point = -1} : tensor<8x2xi8>
          %y_1 = quant.typed(%y) : tensor<8x2x!q8<0.375, -1>>
          func.return(%y_1)
        }""",
    )


def test_a_bias_that_is_no_constant_gets_the_sums_of_the_weights_added() -> None:
    module = run_passes(DENSE_WITH_BIAS, "legalize-quant,canonicalize")
    add = next(op for op in module.main.ops if op.opname == "int.add")
    assert add.operands[1].defining_op.value.tolist() == [6, -6]  # type: ignore[union-attr]


DENSE_WITH_BIAS = """func @main(%x: tensor<8x4x!q8<0.5, 3>>, %b: tensor<2x!q32<0.125, 0>>) {
  %w = nn.const() {value = dense<2x4xi8, [1, -2, 3, -4, 5, 6, -7, -2]>} : tensor<2x4x!q8<0.25, 0>>
  %y = nn.dense(%x, %w, %b) : tensor<8x2x!q8<0.375, -1>>
  func.return(%y)
}"""
