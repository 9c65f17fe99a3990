"""Patterns of `canonicalize` on clamps, conversions, tables and the order of operands, each with its twin."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker

CANONICALIZE = "canonicalize"


# -- arithmetic --------------------------------------------------------------------------------------------------------

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
        requantize("func.return(%q)", ", lo = 3, hi = 90", '"conv", "relu6"').replace("%q", "%c"),
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
        requantize("func.return(%q)", ", lo = 3, hi = 90").replace("%q", "%c"),
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
          %c = int.max_pool2d(%x) {kernel = [2, 2], stride = [2, 2], lo = 0, hi = 90}
            : tensor<1x2x2x2xi8, NHWC> loc("pool", "relu")
          func.return(%c)
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


# -- tables ------------------------------------------------------------------------------------------------------------


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


def test_a_logistic_keeps_its_argument(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<256xi8>) {{
          %t = {table("x // 2")}
          %u = {table("3 - x")}
          %a = int.lookup(%x, %t) : tensor<256xi8>
          %b = int.lookup(%a, %u) {{scale = 0.5, zero_point = 3}} : tensor<256xi8>
          func.return(%b)
        }}""",
        CANONICALIZE,
    )


def test_the_identity_table_goes(check_pass: PassChecker) -> None:
    check_pass(
        f"func @main(%x: tensor<9xi8>) {{ %t = {table('x')} %a = int.lookup(%x, %t) : tensor<9xi8> func.return(%a) }}",
        CANONICALIZE,
        "func @main(%x: tensor<9xi8>) { func.return(%x) }",
    )


# -- the nn level ------------------------------------------------------------------------------------------------------


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


def test_a_factor_of_one_goes(check_pass: PassChecker) -> None:
    check_pass(
        """func @main(%x: tensor<1x2xf32>) {
          %one = nn.const() {value = dense<2xf32, [1.0, 1.0]>} : tensor<2xf32>
          %y = nn.mul(%x, %one) : tensor<1x2xf32>
          func.return(%y)
        }""",
        "canonicalize",
        "func @main(%x: tensor<1x2xf32>) { func.return(%x) }",
    )


@pytest.mark.parametrize(("values", "type"), [("[1.0, 2.0]", "2xf32"), ("[1.0, 1.0, 1.0, 1.0]", "2x2xf32")])
def test_a_factor_that_is_not_one_or_broadcasts_stays(check_pass: PassChecker, values: str, type: str) -> None:
    result = "2x2xf32" if type == "2x2xf32" else "1x2xf32"
    check_pass.unchanged(
        f"""func @main(%x: tensor<1x2xf32>) {{
          %c = nn.const() {{value = dense<{type}, {values}>}} : tensor<{type}>
          %y = nn.mul(%x, %c) : tensor<{result}>
          func.return(%y)
        }}""",
        "canonicalize",
    )
