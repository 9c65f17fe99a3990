"""Scales along an axis: they follow a transpose, and there is one for each index."""

from __future__ import annotations

import pytest

from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse

PER_AXIS = "!q8<axis {axis}, [0.5, 0.25, 1.0], 0>"


def test_scales_follow_a_transpose() -> None:
    parse(
        f"""func @main(%x: tensor<2x3x{PER_AXIS.format(axis=1)}>) {{
          %y = tensor.transpose(%x) {{perm = [1, 0]}} : tensor<3x2x{PER_AXIS.format(axis=0)}>
          func.return(%y)
        }}"""
    )


@pytest.mark.parametrize(
    "text",
    [
        f"func @main(%x: tensor<2x3x{PER_AXIS.format(axis=0)}>) {{ func.return(%x) }}",
        f"""func @main(%x: tensor<2x3x{PER_AXIS.format(axis=1)}>) {{
          %y = tensor.slice(%x) {{begin = [0, 0], size = [2, 2], stride = [1, 1]}}
            : tensor<2x2x{PER_AXIS.format(axis=1)}>
          func.return(%y)
        }}""",
    ],
    ids=["argument", "slice"],
)
def test_one_scale_for_each_index(text: str) -> None:
    with pytest.raises(IRError, match="has 3 scales for the 2 indices"):
        parse(text)
