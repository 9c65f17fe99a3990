"""hwc-to-chw: filters, transposes around the chosen ops, and transposes that go."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models import RealModel, needs_models
from tests.passcheck import PassChecker
from tinyir.api import compile

FILTER = "dense<12xi8, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]>"


def depthwise(layout: str, x: str = "%x", filters: str = "%w", shape: str = "1x4x4x3") -> str:
    return f"int.depthwise_conv2d({x}, {filters}) : tensor<{shape}xi32, {layout}>"


def program(body: str, filters: str) -> str:
    return f"""func @main(%x: tensor<1x5x5x3xi8, NHWC>) {{
      {filters}
      {body}
    }}"""


FILTERS_HWO = (
    "%w = nn.const() {value = dense<2x2x3xi8, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]>} : tensor<2x2x3xi8, HWO>"
)
FILTERS_OHW = (
    "%w = nn.const() {value = dense<3x2x2xi8, [1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]>} : tensor<3x2x2xi8, OHW>"
)


def test_filters_are_repacked(check_pass: PassChecker) -> None:
    body = f"%y = {depthwise('NHWC')} func.return(%y)"
    check_pass(program(body, FILTERS_HWO), "hwc-to-chw", program(body, FILTERS_OHW))


def test_repacked_filters_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(program(f"%y = {depthwise('NHWC')} func.return(%y)", FILTERS_OHW), "hwc-to-chw")


def test_filters_that_are_no_constant_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<1x5x5x3xi8, NHWC>, %w: tensor<2x2x3xi8, HWO>) {{
          %y = {depthwise("NHWC")}
          func.return(%y)
        }}""",
        "hwc-to-chw",
    )


def test_the_result_is_transposed_back_at_the_end(check_pass: PassChecker) -> None:
    """The argument is read as it lies, the output handed out as it was."""
    check_pass(
        program(f"%y = {depthwise('NHWC')} func.return(%y)", FILTERS_OHW),
        "hwc-to-chw{ops=depthwise}",
        program(
            f"""%y = {depthwise("NCHW", shape="1x3x4x4")}
            %0 = tensor.transpose(%y) {{perm = [0, 2, 3, 1]}} : tensor<1x4x4x3xi32, NHWC>
            func.return(%0)""",
            FILTERS_OHW,
        ),
    )


def test_neighbours_read_and_write_the_other_layout(check_pass: PassChecker) -> None:
    before = """func @main(%x: tensor<1x5x5x3xi8, NHWC>) {
      %a = int.clamp(%x) {lo = -100, hi = 100} : tensor<1x5x5x3xi8, NHWC>
      %t = tensor.transpose(%a) {perm = [0, 3, 1, 2]} : tensor<1x3x5x5xi8, NCHW>
      %b = int.max_pool2d(%t) {kernel = [2, 2]} : tensor<1x3x4x4xi8, NCHW>
      %u = tensor.transpose(%b) {perm = [0, 2, 3, 1]} : tensor<1x4x4x3xi8, NHWC>
      %c = int.average_pool2d(%u) {kernel = [2, 2]} : tensor<1x3x3x3xi8, NHWC>
      func.return(%c)
    }"""
    after = """func @main(%x: tensor<1x5x5x3xi8, NHWC>) {
      %a = int.clamp(%x) {lo = -100, hi = 100} : tensor<1x3x5x5xi8, NCHW>
      %b = int.max_pool2d(%a) {kernel = [2, 2]} : tensor<1x4x4x3xi8, NHWC>
      %c = int.average_pool2d(%b) {kernel = [2, 2]} : tensor<1x3x3x3xi8, NHWC>
      func.return(%c)
    }"""
    found = check_pass(before, "hwc-to-chw", after)
    assert found["write_directly"] == 2


def test_a_transpose_that_others_read_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x5x5x3xi8, NHWC>) {
          %t = tensor.transpose(%x) {perm = [0, 3, 1, 2]} : tensor<1x3x5x5xi8, NCHW>
          %r = tensor.reshape(%t) {shape = [75]} : tensor<75xi8>
          func.return(%r)
        }""",
        "hwc-to-chw",
    )


def test_a_transpose_of_the_model_stays(check_pass: PassChecker) -> None:
    """It names the axes anew; it does not change the layout."""
    check_pass.unchanged(
        """func @main(%x: tensor<1x5x5x3xi8, NHWC>) {
          %t = tensor.transpose(%x) {perm = [0, 3, 1, 2]} : tensor<1x3x5x5xi8, NHWC>
          %b = int.max_pool2d(%t) {kernel = [2, 2]} : tensor<1x2x4x5xi8, NHWC>
          func.return(%b)
        }""",
        "hwc-to-chw",
    )


@needs_models
@pytest.mark.parametrize("ops", ["depthwise", "all"])
@pytest.mark.parametrize("name", ["kws_ref_model", "pretrainedResnet_quant", "mcunet_vww"])
def test_models_compute_the_same(name: str, ops: str) -> None:
    passes = (
        f"canonicalize,fold-pad,legalize-quant,canonicalize,fold-pad,canonicalize,hwc-to-chw{{ops={ops}}},canonicalize,"
        "fuse-ops,lower-to-loops,schedule-loops,plan-memory"
    )
    model = RealModel(name)
    program = compile(model.path, passes=passes, measure=False)
    for found, wanted in zip(program.run(model.inputs(3)), model.outputs(3, "tflm"), strict=True):
        np.testing.assert_array_equal(found, wanted)
