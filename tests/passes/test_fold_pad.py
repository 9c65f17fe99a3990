"""`fold-pad`: which margins a convolution takes over, and which stay in memory."""

from __future__ import annotations

from tests.passcheck import PassChecker

Q8 = "!q8<0.5, 3>"
ACC = "tensor<1x4x4x1xi32, NHWC>"


def quantised(pads: str, value: str, conv: str, padded: str = "1x6x6x2", *, rest: str = "func.return(%y)") -> str:
    """pad and convolution of a quantised 4 x 4 image, as a front end makes them."""
    return f"""func @main(%x: tensor<1x4x4x2x{Q8}, NHWC>) {{
      %w = nn.const() {{value = dense<1x3x3x2xi8, [1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3, 4, -5, 6, -7, 8, -9]>}}
        : tensor<1x3x3x2x!q8<0.25, 0>, OHWI>
      %p = tensor.pad(%x) {{pads = {pads}, value = {value}}} : tensor<{padded}x{Q8}, NHWC> loc("pad" op 0)
      {conv}
      {rest}
    }}"""


def folded(conv: str) -> str:
    return f"""func @main(%x: tensor<1x4x4x2x{Q8}, NHWC>) {{
      %w = nn.const() {{value = dense<1x3x3x2xi8, [1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3, 4, -5, 6, -7, 8, -9]>}}
        : tensor<1x3x3x2x!q8<0.25, 0>, OHWI>
      {conv}
      func.return(%y)
    }}"""


MARGINS = "[[0, 0], [1, 1], [1, 1], [0, 0]]"
CONV = '%y = nn.conv2d(%p, %w) : tensor<1x4x4x1x!q8<4.0, -1>, NHWC> loc("conv" op 1)'


def test_pad_of_a_quantised_conv_folds(check_pass: PassChecker) -> None:
    stats = check_pass(
        quantised(MARGINS, "3.0", CONV),
        "fold-pad",
        folded(
            """%y = nn.conv2d(%x, %w) {pad = [[1, 1], [1, 1]]}
              : tensor<1x4x4x1x!q8<4.0, -1>, NHWC> loc("pad" op 0, "conv" op 1)"""
        ),
    )
    assert stats == {"folded_pads": 1}


def test_margins_add_to_the_padding_of_the_conv(check_pass: PassChecker) -> None:
    attrs = "{stride = [2, 1], pad = [[0, 1], [2, 0]]}"
    check_pass(
        quantised(
            "[[0, 0], [1, 0], [0, 3], [0, 0]]",
            "3.0",
            f"%y = nn.conv2d(%p, %w) {attrs} : tensor<1x2x7x1x!q8<4.0, -1>, NHWC>",
            "1x5x7x2",
        ),
        "fold-pad",
        folded(
            """%y = nn.conv2d(%x, %w) {stride = [2, 1], pad = [[1, 1], [2, 3]]}
              : tensor<1x2x7x1x!q8<4.0, -1>, NHWC> loc("pad" op 0)"""
        ),
    )


def test_pad_folds_among_integer_primitives(check_pass: PassChecker) -> None:
    check_pass(
        quantised(MARGINS, "3.0", CONV),
        "legalize-quant,canonicalize,fold-pad",
        f"""func @main(%x: tensor<1x4x4x2x{Q8}, NHWC>) {{
          %0 = quant.storage(%x) : tensor<1x4x4x2xi8, NHWC> loc("pad" op 0)
          %w = nn.const() {{value = dense<1x3x3x2xi8, [1, -2, 3, -4, 5, -6, 7, -8, 9, -1, 2, -3, 4, -5, 6, -7, 8, -9]>}}
            : tensor<1x3x3x2xi8, OHWI> loc("conv" op 1)
          %1 = nn.const() {{value = dense<1xi32, [0]>}} : tensor<1xi32, C> loc("conv" op 1)
          %y_acc = int.conv2d(%0, %w, %1) {{pad = [[1, 1], [1, 1]], pad_value = 3}}
            : tensor<1x4x4x1xi32, NHWC> loc("pad" op 0, "conv" op 1)
          %y_multiplier = nn.const() {{value = dense<1xi32, [1073741824]>}} : tensor<1xi32, C> loc("conv" op 1)
          %y_shift = nn.const() {{value = dense<1xi32, [-4]>}} : tensor<1xi32, C> loc("conv" op 1)
          %y = int.requantize(%y_acc, %y_multiplier, %y_shift) {{zero_point = -1}}
            : tensor<1x4x4x1xi8, NHWC> loc("conv" op 1)
          %y_1 = quant.typed(%y) : tensor<1x4x4x1x!q8<4.0, -1>, NHWC> loc("conv" op 1)
          func.return(%y_1)
        }}""",
    )


def test_pad_folds_through_storage(check_pass: PassChecker) -> None:
    head = f"""func @main(%x: tensor<1x4x4x2x{Q8}, NHWC>) {{
      %w = nn.const() {{value = dense<1x1x1x2xi8, [3, -4]>}} : tensor<1x1x1x2xi8, OHWI>"""
    check_pass(
        head
        + f"""
      %p = tensor.pad(%x) {{pads = [[0, 0], [0, 0], [1, 2], [0, 0]], value = 3.0}} : tensor<1x4x7x2x{Q8}, NHWC> loc("p")
      %s = quant.storage(%p) : tensor<1x4x7x2xi8, NHWC>
      %y = int.conv2d(%s, %w) {{pad_value = 3}} : tensor<1x4x7x1xi32, NHWC> loc("c")
      func.return(%y)
    }}""",
        "fold-pad",
        head
        + """
      %0 = quant.storage(%x) : tensor<1x4x4x2xi8, NHWC> loc("c")
      %y = int.conv2d(%0, %w) {pad = [[0, 0], [1, 2]], pad_value = 3} : tensor<1x4x7x1xi32, NHWC> loc("p", "c")
      func.return(%y)
    }""",
    )


def test_pad_of_a_float_depthwise_conv_folds(check_pass: PassChecker) -> None:
    head = """func @main(%x: tensor<1x4x4x2xf32, NHWC>) {
      %w = nn.const() {value = dense<1x2x2xf32, [0.5, -1.5, 2.0, 3.0]>} : tensor<1x2x2xf32, HWO>"""
    check_pass(
        head
        + """
      %p = tensor.pad(%x) {pads = [[0, 0], [0, 1], [1, 0], [0, 0]]} : tensor<1x5x5x2xf32, NHWC>
      %y = nn.depthwise_conv2d(%p, %w) : tensor<1x5x4x2xf32, NHWC>
      func.return(%y)
    }""",
        "fold-pad",
        head
        + """
      %y = nn.depthwise_conv2d(%x, %w) {pad = [[0, 1], [1, 0]]} : tensor<1x5x4x2xf32, NHWC>
      func.return(%y)
    }""",
    )


def test_axes_go_by_their_letters(check_pass: PassChecker) -> None:
    """In NCHW the margins of H and W are the last two."""
    head = """func @main(%x: tensor<1x2x4x4xf32, NCHW>) {
      %w = nn.const() {value = dense<1x2x2xf32, [0.5, -1.5, 2.0, 3.0]>} : tensor<1x2x2xf32, HWO>"""
    check_pass(
        head
        + """
      %p = tensor.pad(%x) {pads = [[0, 0], [0, 0], [0, 1], [1, 0]]} : tensor<1x2x5x5xf32, NCHW>
      %y = nn.depthwise_conv2d(%p, %w) : tensor<1x2x5x4xf32, NCHW>
      func.return(%y)
    }""",
        "fold-pad",
        head
        + """
      %y = nn.depthwise_conv2d(%x, %w) {pad = [[0, 1], [1, 0]]} : tensor<1x2x5x4xf32, NCHW>
      func.return(%y)
    }""",
    )


def test_one_pad_folds_into_all_its_convolutions(check_pass: PassChecker) -> None:
    check_pass(
        quantised(
            MARGINS,
            "3.0",
            """%y = nn.conv2d(%p, %w) : tensor<1x4x4x1x!q8<4.0, -1>, NHWC>
               %z = nn.conv2d(%p, %w) {stride = [3, 3]} : tensor<1x2x2x1x!q8<4.0, -1>, NHWC>""",
            rest="func.return(%y, %z)",
        ),
        "fold-pad",
        folded(
            """%y = nn.conv2d(%x, %w) {pad = [[1, 1], [1, 1]]} : tensor<1x4x4x1x!q8<4.0, -1>, NHWC> loc("pad" op 0)
            %z = nn.conv2d(%x, %w) {stride = [3, 3], pad = [[1, 1], [1, 1]]}
              : tensor<1x2x2x1x!q8<4.0, -1>, NHWC> loc("pad" op 0)"""
        ).replace("func.return(%y)", "func.return(%y, %z)"),
    )


# -- must not fire ----------------------------------------------------------------------------------------------------


def test_margins_of_another_value_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(quantised(MARGINS, "0.0", CONV), "fold-pad")


def test_margins_of_another_value_stay_among_primitives(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x4x4x2xi8, NHWC>, %w: tensor<1x1x1x2xi8, OHWI>) {
          %p = tensor.pad(%x) {pads = [[0, 0], [1, 1], [0, 0], [0, 0]], value = 3.0} : tensor<1x6x4x2xi8, NHWC>
          %y = int.conv2d(%p, %w) {pad_value = 4} : tensor<1x6x4x1xi32, NHWC>
          func.return(%y)
        }""",
        "fold-pad",
    )


def test_margins_along_channels_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        f"""func @main(%x: tensor<1x4x4x1x{Q8}, NHWC>, %w: tensor<1x1x1x2xi8, OHWI>) {{
          %p = tensor.pad(%x) {{pads = [[0, 0], [1, 1], [0, 0], [1, 0]], value = 3.0}} : tensor<1x6x4x2x{Q8}, NHWC>
          %s = quant.storage(%p) : tensor<1x6x4x2xi8, NHWC>
          %y = int.conv2d(%s, %w) {{pad_value = 3}} : tensor<1x6x4x1xi32, NHWC>
          func.return(%y)
        }}""",
        "fold-pad",
    )


def test_margins_along_images_stay(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x4x4x2xi8, NHWC>, %w: tensor<1x1x1x2xi8, OHWI>) {
          %p = tensor.pad(%x) {pads = [[0, 1], [0, 0], [0, 0], [0, 0]]} : tensor<2x4x4x2xi8, NHWC>
          %y = int.conv2d(%p, %w) : tensor<2x4x4x1xi32, NHWC>
          func.return(%y)
        }""",
        "fold-pad",
    )


def test_a_pad_with_another_reader_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(quantised(MARGINS, "3.0", CONV, rest="func.return(%y, %p)"), "fold-pad")


def test_a_pad_with_another_reader_behind_storage_stays(check_pass: PassChecker) -> None:
    rest = "%s = quant.storage(%p) : tensor<1x6x6x2xi8, NHWC> func.return(%y, %s)"
    check_pass.unchanged(quantised(MARGINS, "3.0", CONV, rest=rest), "fold-pad")


def test_a_pad_of_the_weights_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x4x4x2xi8, NHWC>, %w: tensor<1x1x1x2xi8, OHWI>) {
          %p = tensor.pad(%w) {pads = [[0, 0], [1, 0], [0, 0], [0, 0]]} : tensor<1x2x1x2xi8, OHWI>
          %y = int.conv2d(%x, %p) : tensor<1x3x4x1xi32, NHWC>
          func.return(%y)
        }""",
        "fold-pad",
    )
