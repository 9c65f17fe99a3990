"""`replace-classifier`: a float head over the features of float and int8 models."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passcheck import run_passes
from tinyir.diagnostics import IRError
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate

INT8 = """func @main(%x: tensor<1x2x2x3x!q8<0.5, -1>, NHWC>) {
  %w = nn.const() {value = dense<4x12xi8, [0]>} : tensor<4x12x!q8<0.25, 0>>
  %f = tensor.reshape(%x) {shape = [1, 12]} : tensor<1x12x!q8<0.5, -1>>
  %y = nn.dense(%f, %w) : tensor<1x4x!q8<0.5, 0>>
  %p = nn.softmax(%y) : tensor<1x4x!q8<0.00390625, -128>>
  %d = nn.dequantize(%p) : tensor<1x4xf32>
  func.return(%d)
}""".replace("[0]", str([0] * 48))

FLOAT = """func @main(%x: tensor<1x2x2x3xf32, NHWC>) {
  %y = nn.relu(%x) : tensor<1x2x2x3xf32, NHWC>
  %w = nn.const() {value = dense<1x1x1x3xf32, [1.0, 2.0, 3.0]>} : tensor<1x1x1x3xf32, OHWI>
  %z = nn.conv2d(%y, %w) : tensor<1x2x2x1xf32, NHWC>
  func.return(%z)
}"""


def ops(module: Module) -> list[str]:
    return [op.opname for op in module.main.ops]


def test_an_int8_model_gets_a_float_head() -> None:
    module = run_passes(INT8, "replace-classifier{classes=3}")
    assert ops(module) == [
        "tensor.reshape",
        "nn.dequantize",
        "nn.const",
        "nn.const",
        "nn.dense",
        "nn.softmax",
        "func.return",
    ]
    assert str(module.main.outputs[0].type) == "tensor<1x3xf32>"


def test_the_head_computes_a_softmax_of_the_features() -> None:
    module = run_passes(INT8, "replace-classifier{classes=3,seed=5},legalize-quant,canonicalize")
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 2, 3)).astype(np.int8)
    weights = np.random.default_rng(5).standard_normal((3, 12)) / np.sqrt(12)
    logits = weights @ (0.5 * (x.reshape(12) + 1.0))
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    (found,) = evaluate(module.main, [x])
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-7)


def test_features_on_a_grid_are_averaged() -> None:
    module = run_passes(FLOAT, "replace-classifier{classes=2}")
    assert ops(module) == ["nn.relu", "nn.mean", "nn.const", "nn.const", "nn.dense", "nn.softmax", "func.return"]
    assert module.main.ops[3].type.shape == (2,)


def test_the_seed_decides_the_weights() -> None:
    texts = [str(run_passes(FLOAT, f"replace-classifier{{classes=2,seed={seed}}}")) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("text", "passes", "message"),
    [
        ("func @main(%x: tensor<1x4xf32>) { func.return(%x) }", "{classes=2}", "ends in an input, not in a classifier"),
        (
            "func @main(%x: tensor<1x4xf32>) { %y = nn.relu(%x) : tensor<1x4xf32> func.return(%y) }",
            "{classes=2}",
            "ends in `nn.relu`, not in a classifier",
        ),
        ("func @main(%x: tensor<1x4xf32>) { func.return(%x, %x) }", "{classes=2}", "ends in 2 outputs"),
        (FLOAT, "{classes=1}", "at least 2 classes, not 1"),
        (FLOAT, "{classes=2,seed=-1}", "a seed counts from 0, it is not -1"),
    ],
)
def test_what_has_no_classifier_is_refused(text: str, passes: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        run_passes(text, f"replace-classifier{passes}")
