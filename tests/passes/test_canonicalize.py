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


# -- constants --------------------------------------------------------------------------------------------------------


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


# -- equal and unused ops ---------------------------------------------------------------------------------------------


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


# -- types ------------------------------------------------------------------------------------------------------------


def test_storage_of_typed_cancels(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<4xi8>) {
          %q = quant.typed(%x) : tensor<4x!q8<0.5, 3>>
          %s = quant.storage(%q) : tensor<4xi8>
          %y = int.widen(%s) : tensor<4xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<4xi8>) {
          %y = int.widen(%x) : tensor<4xi32>
          func.return(%y)
        }""",
    )


def test_typed_of_storage_cancels_for_the_same_type(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<4x!q8<0.5, 3>>) {
          %s = quant.storage(%x) : tensor<4xi8>
          %q = quant.typed(%s) : tensor<4x!q8<0.5, 3>>
          func.return(%q)
        }""",
        CANONICALIZE,
        "func @main(%x: tensor<4x!q8<0.5, 3>>) { func.return(%x) }",
    )


def test_typed_of_storage_stays_for_other_scales(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<4x!q8<0.5, 3>>) {
          %s = quant.storage(%x) : tensor<4xi8>
          %q = quant.typed(%s) : tensor<4x!q8<0.25, 3>>
          func.return(%q)
        }""",
        CANONICALIZE,
    )


# -- movement ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [
        "tensor.reshape(%x) {shape = [2, 3]}",
        "tensor.transpose(%x) {perm = [0, 1]}",
        "tensor.pad(%x) {pads = [[0, 0], [0, 0]], value = 5.0}",
        "tensor.slice(%x) {begin = [0, 0], size = [2, 3], stride = [1, 1]}",
        "tensor.concat(%x) {axis = 1}",
        "int.clamp(%x) {lo = -128, hi = 127}",
    ],
)
def test_an_op_that_does_nothing_goes(check_pass: PassChecker, op: str) -> None:
    check_pass(
        f"""func @main(%x: tensor<2x3xi8>) {{
          %a = {op} : tensor<2x3xi8>
          %y = int.widen(%a) : tensor<2x3xi32>
          func.return(%y)
        }}""",
        CANONICALIZE,
        """func @main(%x: tensor<2x3xi8>) {
          %y = int.widen(%x) : tensor<2x3xi32>
          func.return(%y)
        }""",
    )


@pytest.mark.parametrize(
    ("op", "type"),
    [
        ("tensor.reshape(%x) {shape = [9]}", "9xi8"),
        ("tensor.transpose(%x) {perm = [1, 0]}", "3x3xi8"),
        ("tensor.pad(%x) {pads = [[0, 1], [0, 0]]}", "4x3xi8"),
        ("tensor.slice(%x) {begin = [2, 0], size = [3, 3], stride = [-1, 1]}", "3x3xi8"),
        ("tensor.concat(%x, %x) {axis = 1}", "3x6xi8"),
        ("int.clamp(%x) {lo = -128, hi = 126}", "3x3xi8"),
    ],
)
def test_an_op_that_does_something_stays(check_pass: PassChecker, op: str, type: str) -> None:
    check_pass.unchanged(
        f"func @main(%x: tensor<3x3xi8>) {{ %a = {op} : tensor<{type}> func.return(%a) }}", CANONICALIZE
    )


def test_a_reshape_that_names_the_axes_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x2x3x4xi8>) {
          %a = tensor.reshape(%x) {shape = [1, 2, 3, 4]} : tensor<1x2x3x4xi8, NHWC>
          func.return(%a)
        }""",
        CANONICALIZE,
    )


def test_reshapes_merge(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<2x6xi8>) {
          %a = tensor.reshape(%x) {shape = [12]} : tensor<12xi8> loc("a")
          %b = tensor.reshape(%a) {shape = [3, 4]} : tensor<3x4xi8> loc("b")
          func.return(%b)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<2x6xi8>) {
          %b = tensor.reshape(%x) {shape = [3, 4]} : tensor<3x4xi8> loc("a", "b")
          func.return(%b)
        }""",
    )


def test_opposite_transposes_cancel(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1x2x3x4xi8, NHWC>) {
          %a = tensor.transpose(%x) {perm = [0, 3, 1, 2]} : tensor<1x4x2x3xi8, NCHW>
          %b = tensor.transpose(%a) {perm = [0, 2, 3, 1]} : tensor<1x2x3x4xi8, NHWC>
          func.return(%b)
        }""",
        CANONICALIZE,
        "func @main(%x: tensor<1x2x3x4xi8, NHWC>) { func.return(%x) }",
    )


def test_transposes_merge_with_the_outer_layout(check_pass: PassChecker) -> None:
    """The second one names the axes anew, so bytes come back in place but the type does not."""
    check_pass(
        """func @main(%x: tensor<2x3x4xi8, NHW>) {
          %a = tensor.transpose(%x) {perm = [1, 2, 0]} : tensor<3x4x2xi8, HWN> loc("a")
          %b = tensor.transpose(%a) {perm = [0, 2, 1]} : tensor<3x2x4xi8, NHW> loc("b")
          func.return(%b)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<2x3x4xi8, NHW>) {
          %b = tensor.transpose(%x) {perm = [1, 0, 2]} : tensor<3x2x4xi8, NHW> loc("a", "b")
          func.return(%b)
        }""",
    )


def test_a_transpose_of_axes_of_extent_one_is_a_reshape(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1x1x5x4xi8, NHWC>) {
          %a = tensor.transpose(%x) {perm = [0, 2, 1, 3]} : tensor<1x5x1x4xi8, NWHC>
          func.return(%a)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<1x1x5x4xi8, NHWC>) {
          %a = tensor.reshape(%x) {shape = [1, 5, 1, 4]} : tensor<1x5x1x4xi8, NWHC>
          func.return(%a)
        }""",
    )


def test_pads_of_one_value_merge(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<2x2xi8>) {
          %a = tensor.pad(%x) {pads = [[1, 0], [0, 2]], value = 3.0} : tensor<3x4xi8>
          %b = tensor.pad(%a) {pads = [[1, 1], [0, 0]], value = 3.0} : tensor<5x4xi8>
          func.return(%b)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<2x2xi8>) {
          %b = tensor.pad(%x) {pads = [[2, 1], [0, 2]], value = 3.0} : tensor<5x4xi8>
          func.return(%b)
        }""",
    )


def test_pads_of_two_values_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2x2xi8>) {
          %a = tensor.pad(%x) {pads = [[1, 0], [0, 2]], value = 3.0} : tensor<3x4xi8>
          %b = tensor.pad(%a) {pads = [[1, 1], [0, 0]], value = 4.0} : tensor<5x4xi8>
          func.return(%b)
        }""",
        CANONICALIZE,
    )


def test_slices_merge(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<20xi8>) {
          %a = tensor.slice(%x) {begin = [18], size = [8], stride = [-2]} : tensor<8xi8>
          %b = tensor.slice(%a) {begin = [1], size = [3], stride = [2]} : tensor<3xi8>
          func.return(%b)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<20xi8>) {
          %b = tensor.slice(%x) {begin = [16], size = [3], stride = [-4]} : tensor<3xi8>
          func.return(%b)
        }""",
    )


# -- arithmetic -------------------------------------------------------------------------------------------------------

REQUANTIZE = """func @main(%acc: tensor<4xi32>) {{
  %m = nn.const() {{value = dense<i32, [1073741824]>}} : tensor<i32>
  %s = nn.const() {{value = dense<i32, [-24]>}} : tensor<i32>
  %q = int.requantize(%acc, %m, %s) {{zero_point = 3{limits}}} : tensor<4xi8> loc({loc})
{rest}
}}"""


def requantize(rest: str, limits: str = "", loc: str = '"conv"') -> str:
    return REQUANTIZE.format(rest=rest, limits=limits, loc=loc)


def test_clamp_goes_into_requantize(check_pass: PassChecker) -> None:
    check_pass(
        requantize('%c = int.clamp(%q) {lo = 3, hi = 90} : tensor<4xi8> loc("relu6") func.return(%c)', ", hi = 100"),
        CANONICALIZE,
        requantize("func.return(%q)", ", lo = 3, hi = 90", '"conv", "relu6"'),
    )


def test_clamp_stays_beside_a_second_reader(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        requantize("%c = int.clamp(%q) {lo = 3, hi = 90} : tensor<4xi8> func.return(%c, %q)"), CANONICALIZE
    )


def test_clamp_goes_into_a_requantize_whose_other_reader_is_dead(check_pass: PassChecker) -> None:
    check_pass(
        requantize(
            """%dead = int.widen(%q) : tensor<4xi32>
            %c = int.clamp(%q) {lo = 3, hi = 90} : tensor<4xi8> func.return(%c)"""
        ),
        CANONICALIZE,
        requantize("func.return(%q)", ", lo = 3, hi = 90"),
    )


def test_clamp_goes_into_a_pool(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1x4x4x2xi8, NHWC>) {
          %p = int.max_pool2d(%x) {kernel = [2, 2], stride = [2, 2]} : tensor<1x2x2x2xi8, NHWC> loc("pool")
          %c = int.clamp(%p) {lo = 0, hi = 90} : tensor<1x2x2x2xi8, NHWC> loc("relu")
          func.return(%c)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<1x4x4x2xi8, NHWC>) {
          %p = int.max_pool2d(%x) {kernel = [2, 2], stride = [2, 2], lo = 0, hi = 90}
            : tensor<1x2x2x2xi8, NHWC> loc("pool", "relu")
          func.return(%p)
        }""",
    )


@pytest.mark.parametrize(
    ("first", "then", "both"),
    [((-10, 50), (0, 90), (0, 50)), ((-10, 5), (20, 30), (20, 20)), ((50, 60), (-5, 5), (5, 5))],
)
def test_clamps_merge(
    check_pass: PassChecker, first: tuple[int, int], then: tuple[int, int], both: tuple[int, int]
) -> None:
    def clamp(limits: tuple[int, int]) -> str:
        return f"{{lo = {limits[0]}, hi = {limits[1]}}} : tensor<64xi8>"

    check_pass(
        f"""func @main(%x: tensor<64xi8>) {{
          %a = int.clamp(%x) {clamp(first)}
          %b = int.clamp(%a) {clamp(then)}
          func.return(%b)
        }}""",
        CANONICALIZE,
        f"func @main(%x: tensor<64xi8>) {{ %b = int.clamp(%x) {clamp(both)} func.return(%b) }}",
    )


def test_quantize_of_dequantize_cancels(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<256xi8>) {
          %a = int.dequantize(%x) {scale = 0.1, zero_point = -5} : tensor<256xf32>
          %b = int.quantize(%a) {scale = 0.1, zero_point = -5} : tensor<256xi8>
          func.return(%b)
        }""",
        CANONICALIZE,
        "func @main(%x: tensor<256xi8>) { func.return(%x) }",
    )


def test_quantize_of_dequantize_to_another_scale_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<256xi8>) {
          %a = int.dequantize(%x) {scale = 0.1, zero_point = -5} : tensor<256xf32>
          %b = int.quantize(%a) {scale = 0.2, zero_point = -5} : tensor<256xi8>
          func.return(%b)
        }""",
        CANONICALIZE,
    )


def test_constants_go_to_the_right(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<2xi32>) {
          %k = nn.const() {value = dense<2xi32, [7, 8]>} : tensor<2xi32>
          %a = int.add(%k, %x) : tensor<2xi32>
          %b = int.add(%x, %k) : tensor<2xi32>
          %y = int.mul(%a, %b) : tensor<2xi32>
          func.return(%y)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<2xi32>) {
          %k = nn.const() {value = dense<2xi32, [7, 8]>} : tensor<2xi32>
          %a = int.add(%x, %k) : tensor<2xi32>
          %y = int.mul(%a, %a) : tensor<2xi32>
          func.return(%y)
        }""",
    )


def test_operands_of_sub_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<2xi32>) {
          %k = nn.const() {value = dense<2xi32, [7, 8]>} : tensor<2xi32>
          %a = int.sub(%k, %x) : tensor<2xi32>
          func.return(%a)
        }""",
        CANONICALIZE,
    )


def test_operands_that_are_no_constants_stay(check_pass: PassChecker) -> None:
    """Neither order is more canonical than the other."""
    check_pass.unchanged(
        """func @main(%x: tensor<1xi32>, %y: tensor<1xi32>) {
          %a = int.add(%y, %x) : tensor<1xi32>
          func.return(%a)
        }""",
        CANONICALIZE,
    )


# -- tables -----------------------------------------------------------------------------------------------------------


def table(f: str) -> str:
    """The elements of a table: `f` of every stored x."""
    values = [max(-128, min(127, int(eval(f)))) for x in range(-128, 128)]
    return f"nn.const() {{value = dense<256xi8, {values}>}} : tensor<256xi8>"


def test_tables_merge(check_pass: PassChecker) -> None:
    check_pass(
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("x // 2")}
          %u = {table("3 - x")}
          %a = int.lookup(%x, %t) : tensor<256xi8> loc("a")
          %b = int.lookup(%a, %u) : tensor<256xi8> loc("b")
          func.return(%b)
        }}""",
        CANONICALIZE,
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("3 - x // 2")} loc("b")
          %b = int.lookup(%x, %t) : tensor<256xi8> loc("a", "b")
          func.return(%b)
        }}""",
    )


def test_clamp_goes_into_a_table(check_pass: PassChecker) -> None:
    check_pass(
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("x // 2")}
          %a = int.lookup(%x, %t) : tensor<256xi8>
          %b = int.clamp(%a) {{lo = 0, hi = 50}} : tensor<256xi8>
          func.return(%b)
        }}""",
        CANONICALIZE,
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("max(0, min(50, x // 2))")}
          %b = int.lookup(%x, %t) : tensor<256xi8>
          func.return(%b)
        }}""",
    )


def test_tables_stay_beside_a_second_reader(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("x // 2")}
          %u = {table("3 - x")}
          %a = int.lookup(%x, %t) : tensor<256xi8>
          %b = int.lookup(%a, %u) : tensor<256xi8>
          func.return(%a, %b)
        }}""",
        CANONICALIZE,
    )


def test_the_identity_table_goes(check_pass: PassChecker) -> None:
    check_pass(
        f"func @main(%x: tensor<9xi8>) {{ %t = {table('x')} %a = int.lookup(%x, %t) : tensor<9xi8> func.return(%a) }}",
        CANONICALIZE,
        "func @main(%x: tensor<9xi8>) { func.return(%x) }",
    )


# -- the nn level -----------------------------------------------------------------------------------------------------


def test_float_clamps_merge(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<9xf32>) {
          %a = nn.clamp(%x) {lo = 0.0} : tensor<9xf32> loc("relu")
          %b = nn.clamp(%a) {lo = -1.0, hi = 6.0} : tensor<9xf32> loc("relu6")
          func.return(%b)
        }""",
        CANONICALIZE,
        """func @main(%x: tensor<9xf32>) {
          %b = nn.clamp(%x) {lo = 0.0, hi = 6.0} : tensor<9xf32> loc("relu", "relu6")
          func.return(%b)
        }""",
    )


def test_a_clamp_to_everything_goes(check_pass: PassChecker) -> None:
    check_pass(
        "func @main(%x: tensor<9xf32>) { %a = nn.clamp(%x) : tensor<9xf32> func.return(%a) }",
        CANONICALIZE,
        "func @main(%x: tensor<9xf32>) { func.return(%x) }",
    )


def test_nn_quantize_of_dequantize_cancels(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<9x!q8<0.1, 3>>) {
          %a = nn.dequantize(%x) : tensor<9xf32>
          %b = nn.quantize(%a) : tensor<9x!q8<0.1, 3>>
          func.return(%b)
        }""",
        CANONICALIZE,
        "func @main(%x: tensor<9x!q8<0.1, 3>>) { func.return(%x) }",
    )


def test_nn_quantize_of_dequantize_to_another_scale_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<9x!q8<0.1, 3>>) {
          %a = nn.dequantize(%x) : tensor<9xf32>
          %b = nn.quantize(%a) : tensor<9x!q8<0.2, 3>>
          func.return(%b)
        }""",
        CANONICALIZE,
    )
