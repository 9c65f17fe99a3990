"""`stamp-params`: the hash tells models apart, and not what leaves the meaning of parameters alone."""

from __future__ import annotations

from tests.passcheck import run_passes

NET = """func @main(%x: tensor<1x2xf32>) {
  %w = nn.const() {value = dense<2x2xf32, [1.0, 2.0, 3.0, 4.0]>} : tensor<2x2xf32>
  %c = nn.const() {value = dense<f32, [2.0]>} : tensor<f32>
  %y = nn.dense(%x, %w) : tensor<1x2xf32>
  %z = nn.mul(%y, %c) : tensor<1x2xf32>
  func.return(%z)
}"""


def stamp(text: str) -> str:
    return str(run_passes(text, "select-params,stamp-params").attrs["state_sha256"])


def test_equal_models_have_equal_hashes() -> None:
    assert stamp(NET) == stamp(NET.replace("%y", "%other"))


def test_weights_frozen_constants_and_ops_count() -> None:
    changed = [NET.replace("4.0", "5.0"), NET.replace("[2.0]", "[3.0]"), NET.replace("nn.mul", "nn.add")]
    assert len({stamp(text) for text in (NET, *changed)}) == 4


def test_the_graph_stays() -> None:
    before, after = run_passes(NET, "select-params"), run_passes(NET, "select-params,stamp-params")
    del after.attrs["state_sha256"]
    assert before == after
