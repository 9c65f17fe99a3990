"""Each pattern of `canonicalize`: what it makes, and where it must not fire."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker, run_passes
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Symbol
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.types import DType, TensorType
from tinyir.passes.canonicalize import canonicalize

CANONICALIZE = "canonicalize"


# -- constants ---------------------------------------------------------------------------------------------------------


def test_constants_fold(check_pass: PassChecker) -> None:
    stats = check_pass(
        """func @main(%x: tensor<2xi32>) {
          %a = nn.const() {value = dense<2xi32, [1, 2]>} : tensor<2xi32>
          %b = nn.const() {value = dense<2xi32, [10, 20]>} : tensor<2xi32>
          %c = int.add(%a, %b) : tensor<2xi32> loc("sum" op 3)
          %d = int.mul(%c, %a) : tensor<2xi32>
          %y = int.sub(%x, %d) : tensor<2xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<2xi32>) {
          %d = nn.const() {value = dense<2xi32, [11, 44]>} : tensor<2xi32>
          %y = int.sub(%x, %d) : tensor<2xi32>
          func.return(%y)
        }""",
    )
    assert stats["fold_constants"] == 2


def test_transposed_weights_fold(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1x2xi32>) {
          %a = nn.const() {value = dense<2x1xi32, [1, 2]>} : tensor<2x1xi32>
          %t = tensor.transpose(%a) {perm = [1, 0]} : tensor<1x2xi32> loc("w")
          %y = int.add(%x, %t) : tensor<1x2xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<1x2xi32>) {
          %t = nn.const() {value = dense<1x2xi32, [1, 2]>} : tensor<1x2xi32> loc("w")
          %y = int.add(%x, %t) : tensor<1x2xi32>
          func.return(%y)
        }""",
    )


def test_constant_that_would_grow_stays(check_pass: PassChecker) -> None:
    text = """func @main() {
      %a = nn.const() {value = dense<1xi8, [7]>} : tensor<1xi8>
      %p = tensor.pad(%a) {pads = [[0, 5000]]} : tensor<5001xi8>
      func.return(%p)
    }"""
    check_pass.unchanged(text, CANONICALIZE)
    assert [op.opname for op in run_passes(text, "canonicalize{max_growth=5000}").main.ops] == [
        "nn.const",
        "func.return",
    ]


def test_quantised_nn_op_on_constants_waits_for_legalize_quant(check_pass: PassChecker) -> None:
    text = """func @main() {
      %x = nn.const() {value = dense<1x2xi8, [1, 2]>} : tensor<1x2x!q8<0.5, 0>>
      %w = nn.const() {value = dense<1x2xi8, [3, 4]>} : tensor<1x2x!q8<0.5, 0>>
      %y = nn.dense(%x, %w) : tensor<1x1x!q8<0.5, 0>>
      func.return(%y)
    }"""
    check_pass.unchanged(text, CANONICALIZE)
    assert [op.opname for op in run_passes(text, "legalize-quant,canonicalize").main.ops] == ["nn.const", "func.return"]


# -- equal and unused ops ----------------------------------------------------------------------------------------------


def test_equal_ops_merge_and_keep_their_sources(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<4xi8>) {
          %a = int.widen(%x) {offset = 3} : tensor<4xi32> loc("a" op 0)
          %b = int.widen(%x) {offset = 3} : tensor<4xi32> loc("b" op 1)
          %y = int.mul(%a, %b) : tensor<4xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<4xi8>) {
          %a = int.widen(%x) {offset = 3} : tensor<4xi32> loc("a" op 0, "b" op 1)
          %y = int.mul(%a, %a) : tensor<4xi32>
          func.return(%y)
        }""",
    )


def test_equal_constants_merge_but_not_their_sources(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1xi32>) {
          %a = nn.const() {value = dense<1xi32, [1]>} : tensor<1xi32> loc("a")
          %b = nn.const() {value = dense<1xi32, [1]>} : tensor<1xi32> loc("b")
          %s = int.add(%x, %a) : tensor<1xi32>
          %y = int.sub(%s, %b) : tensor<1xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<1xi32>) {
          %a = nn.const() {value = dense<1xi32, [1]>} : tensor<1xi32> loc("a")
          %s = int.add(%x, %a) : tensor<1xi32>
          %y = int.sub(%s, %a) : tensor<1xi32>
          func.return(%y)
        }""",
    )


@pytest.mark.parametrize(
    "second",
    [
        "int.widen(%x) {offset = 4} : tensor<4xi32>",  # another attribute
        "int.widen(%z) {offset = 3} : tensor<4xi32>",  # another operand
    ],
)
def test_ops_that_differ_stay(check_pass: PassChecker, second: str) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<4xi8>, %z: tensor<4xi8>) {{
          %a = int.widen(%x) {{offset = 3}} : tensor<4xi32>
          %b = {second}
          %y = int.mul(%a, %b) : tensor<4xi32>
          func.return(%y)
        }}""",
        CANONICALIZE,
    )


def test_ops_of_other_types_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<4xi8>) {
          %a = quant.typed(%x) : tensor<4x!q8<0.5, 0>>
          %b = quant.typed(%x) : tensor<4x!q8<0.25, 0>>
          func.return(%a, %b)
        }""",
        CANONICALIZE,
    )


def test_dead_ops_go(check_pass: PassChecker) -> None:
    stats = check_pass(
        """func @main(%x: tensor<4xi8>) {
          %a = int.widen(%x) : tensor<4xi32>
          %b = int.add(%a, %a) : tensor<4xi32>
          func.return(%x)
        }""",
        CANONICALIZE,
        "func @main(%x: tensor<4xi8>) { func.return(%x) }",
    )
    assert stats == {"dropped_dead_ops": 2}


def test_an_unused_op_with_an_effect_stays() -> None:
    b = FuncBuilder()
    x = b.arg(TensorType((4,), DType.I8))
    b.insert(LoopCall(x, kernel=Symbol("writes_a_port"), types=()))
    func = b.ret(x)
    canonicalize(func)
    assert [op.opname for op in func.ops] == ["loop.call", "func.return"]


def test_regions_are_canonical_too(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<4xi8>) {
          %y = kernel.fused(%x) region(%a: tensor<4xi8>) {
            %r = tensor.reshape(%a) {shape = [4]} : tensor<4xi8>
            %c = int.clamp(%r) {lo = 0, hi = 9} : tensor<4xi8>
            kernel.yield(%c)
          } : tensor<4xi8>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<4xi8>) {
          %y = kernel.fused(%x) region(%a: tensor<4xi8>) {
            %c = int.clamp(%a) {lo = 0, hi = 9} : tensor<4xi8>
            kernel.yield(%c)
          } : tensor<4xi8>
          func.return(%y)
        }""",
    )
