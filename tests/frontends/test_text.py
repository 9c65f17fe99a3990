"""IR text: what cannot be read gives one error with its place, and whatever can be read can be written again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.strategies import graph_case
from tinyir.diagnostics import IRError, TinyIRError
from tinyir.frontends.text import load_text, parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.printer import print_module, save_module

GOOD = """\
module attributes {name = "net"} {
  func @main(%x: tensor<1x4x!q8<0.1, 3>>) {
    %y = nn.clamp(%x) {lo = 0.0, hi = 6.0} : tensor<1x4x!q8<0.1, 3>> loc("relu" op 0 tensor 1)
    func.return(%y)
  }
}
"""


def test_good_text() -> None:
    assert print_module(parse(GOOD)) == GOOD


def refusal(text: str, folder: Path = Path()) -> IRError:
    with pytest.raises(IRError) as caught:
        parse(text, "net.tir", folder)
    return caught.value


def test_caret_and_suggestion() -> None:
    assert refusal(GOOD.replace("nn.clamp", "nn.clmap")).render() == (
        "net.tir:3:10: error: unknown op `nn.clmap`\n"
        '    3 |     %y = nn.clmap(%x) {lo = 0.0, hi = 6.0} : tensor<1x4x!q8<0.1, 3>> loc("relu" op 0 tensor 1)\n'
        "      |          ^^^^^^^^\n"
        "help: did you mean `nn.clamp`?"
    )


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("func @main", "fun @main", "2:3", "did not expect `fun`"),
        ("}\n}\n", "}\n", "5:4", "did not expect the end of the text"),
        ("nn.clamp(%x)", "nn.clamp(%x", "3:22", "did not expect `{`"),
        ("(%x) {", "(%z) {", "3:19", "%z is not defined here"),
        ("    func.return", "    %y = nn.tanh(%x)\n    func.return", "4:5", "%y is defined twice"),
        ("%y = nn", "%y, %z = nn", "3:14", "`nn.clamp` has 1 results, 2 named"),
        ("lo = 0.0", "low = 0.0", "3:10", "has no attribute `low`"),
        ("lo = 0.0", "loc = 0.0", "3:10", "has no attribute `loc`"),
        ("lo = 0.0", 'lo = "no"', "3:10", "attribute `lo` must be float, not 'no'"),
        ("lo = 0.0", "lo = [1, 2]", "3:10", "attribute `lo` must be float"),
        ("nn.clamp(%x)", "nn.clamp(%x, %x)", "3:10", "`nn.clamp` takes 1 operands, 2 given"),
        (" : tensor<1x4x!q8<0.1, 3>> loc", " : tensor<1x5x!q8<0.1, 3>> loc", "3:10", "has the type tensor<1x5"),
        ("tensor<1x4x!q8<0.1, 3>>)", "tensor<1x4x!q8<0.1, 3>, NHWC>)", "2:18", "layout NHWC does not name 2 axes"),
        ("tensor<1x4x!q8<0.1, 3>>)", "tensor<1x4xf33>)", "2:29", "did not expect `f33`"),
        ("<0.1, 3>>)", "<axis 5, [0.1], 3>>)", "2:29", "1 scales and 1 zero points along axis 5"),
        ("<0.1, 3>>)", "<axis 1, [0.1, 0.2], [1]>>)", "2:29", "2 scales and 1 zero points along axis 1"),
        ("<0.1, 3>>)", '<axis 1, ["a"], 3>>)', "2:41", "scales are numbers"),
        ("<0.1, 3>>)", "<axis 0, [0.1], [0.5]>>)", "2:29", "zero points are integers"),
        ("<0.1, 3>>)", "<axis 0, @scales, 3>>)", "2:41", "@scales is not declared"),
        ('name = "net"', 'name = "\\q"', "1:27", "cannot read this string"),
        ('name = "net"', "name = dense<1xi8, [1]>", "1:19", "arrays belong to ops alone"),
        ("lo = 0.0", "lo = dense<2xi8, [1, 2, 3]>", "3:29", "the elements do not make a (2,) array of i8"),
        ("lo = 0.0", "lo = dense<1xi8, [{}]>", "3:29", "the elements do not make"),
        ("lo = 0.0", "lo = dense<1xi8, [300]>", "3:29", "the elements do not make"),
        ("func.return(%y)", "func.return(%y)\n    func.return(%y)", "4:5", "ends a block, but other ops follow it"),
        ("    func.return(%y)\n", "", None, "@main must end in func.return"),
        ("func.return(%y)", "func.return(%y) : tensor<1xi8>", "4:5", "`func.return` has 1 results, 0 named"),
    ],
)
def test_mistakes(old: str, new: str, place: str | None, message: str) -> None:
    assert old in GOOD
    error = refusal(GOOD.replace(old, new, 1))
    assert message in error.message
    if place is not None:
        assert error.render().startswith(f"net.tir:{place}: error: "), error.render()


def test_two_functions_of_one_name() -> None:
    func = "func @f(%x: tensor<1xi8>) { func.return(%x) }\n"
    assert "@f is defined twice" in refusal(func + func).message


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("f32[2] base64:AAAA", "damaged resource"),
        ("f32[2] base64:!!!!", "damaged resource"),
        ("f99[2] base64:AAAA", "damaged resource"),
        ("missing.npz:a", "cannot read"),
        ("text.npz:a", "cannot read"),
        ("array.npy:a", "it is no .npz file"),
        ("good.npz:weigths", "good.npz holds no array `weigths`"),
        ("nonsense", "cannot read"),
    ],
)
def test_resources(resource: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("PK is how a zip file starts", encoding="utf-8")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "good.npz", weights=np.zeros(3))
    text = f'resource @w = "{resource}"\nfunc @main(%x: tensor<1xi8>) {{ func.return(%x) }}'
    assert message in refusal(text, tmp_path).message


def test_files(tmp_path: Path) -> None:
    with pytest.raises(IRError, match="cannot read"):
        load_text(tmp_path / "missing.tir")
    (tmp_path / "binary.tir").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IRError, match="it is not IR text"):
        load_text(tmp_path / "binary.tir")


def test_big_constants_live_beside_the_text(tmp_path: Path) -> None:
    module = parse_tflite(graph_case(5).model, "net")
    save_module(module, tmp_path / "net.tir")
    assert "base64" not in (tmp_path / "net.tir").read_text(encoding="utf-8")
    assert load_text(tmp_path / "net.tir") == module


def test_special_floats_read_back() -> None:
    text = GOOD.replace("lo = 0.0, hi = 6.0", "lo = -inf, hi = inf").replace('"net"', "[nan, -inf, 1e-45, -0.0]")
    module = parse(text)
    assert parse(print_module(module)) == module


PIECES = '[ ] { } ( ) < > , : = % @ " 0 -1 1e999 nan inf {a=1} [[1],[2]] "a\\q" true @no %no i8 !q8<0.0,0> axis loc //'
WORD = re.compile(r'[A-Za-z0-9_.\-]+|"[^"]*"|\[[^\[\]]*\]')


def _drop(text: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(len(text)))
    return text[:place] + text[place + int(rng.integers(1, 6)) :]


def _insert(text: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(len(text)))
    return text[:place] + str(rng.choice(PIECES.split())) + text[place:]


def _replace(text: str, rng: np.random.Generator) -> str:
    words = list(WORD.finditer(text))
    target, source = (words[int(i)] for i in rng.integers(0, len(words), 2))
    new = source.group() if rng.integers(2) else str(rng.choice(PIECES.split()))
    return text[: target.start()] + new + text[target.end() :]


MUTATIONS: tuple[Callable[[str, np.random.Generator], str], ...] = (_drop, _insert, _replace, _replace)


@pytest.mark.parametrize("batch", range(8))
def test_damaged_texts(batch: int) -> None:
    """Each reads, and then reads back, or is refused with its place."""
    original = print_module(parse_tflite(graph_case(batch, quantized=batch % 3 > 0).model, "net"))
    for seed in range(100):
        rng = np.random.default_rng([batch, seed])
        text = MUTATIONS[int(rng.integers(len(MUTATIONS)))](original, rng)
        try:
            module = parse(text)
        except TinyIRError:
            continue
        assert parse(print_module(module)) == module, f"batch {batch}, seed {seed}"
