"""Patterns of `canonicalize` on ops that move elements or rename types, each with its must-not-fire twin."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker

CANONICALIZE = "canonicalize"


# -- types -------------------------------------------------------------------------------------------------------------


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


# -- movement ----------------------------------------------------------------------------------------------------------


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
