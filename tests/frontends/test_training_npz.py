"""Backbones for training: what the module computes equals the quantised network, evaluated here on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.models import FOLDER, needs_models
from tinyir.cli import main
from tinyir.diagnostics import ModelError
from tinyir.frontends import training_npz
from tinyir.frontends.text import parse
from tinyir.ir.core import Value
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import Const
from tinyir.ir.printer import print_module

Array = npt.NDArray[Any]
Node = dict[str, Any]

# -- the quantised network on its own, from the file: no code of tinyir -----------------------------------------------


def rounded_product(acc: Array, factor: Array | float) -> Array:
    """acc * factor as TFLite rounds it: to Q31 with half up, then a shift with halves away from zero."""
    fraction, exponent = np.frexp(np.asarray(factor, np.float64))
    mantissa = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    left, right = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    product = (acc.astype(np.int64) << left) * mantissa
    high = np.where(product >= 0, product + (1 << 30), product + 1 - (1 << 30))
    high = np.where(high >= 0, high // (1 << 31), -(-high // (1 << 31)))
    half = np.where(right > 0, (1 << right) >> 1, 0)
    return np.where(high >= 0, (high + half) >> right, -((-high + half) >> right))


def saturated(x: Array) -> Array:
    return np.clip(x, -128, 127).astype(np.int8)


def conv_alone(node: Node, arrays: dict[str, Array], x: Array) -> Array:
    """y = clamp(round((conv(x - zx, w) + b) * sx * sw / sy) + zy), x and y of [C, H, W]."""
    p = node["params"]
    w, bias, scales = (arrays[p[k][1:]] for k in ("weight", "bias", "w_scales"))
    k, s = w.shape[2], node["stride"]
    margin = (k - 1) // 2
    padded = np.pad(x.astype(np.int64) - p["x_zero"], ((0, 0), (margin, margin), (margin, margin)))
    side = (padded.shape[1] - k) // s + 1
    acc = np.broadcast_to(bias.astype(np.int64)[:, None, None], (w.shape[0], side, side)).copy()
    for i in range(k):
        for j in range(k):
            part = padded[:, i : i + s * side : s, j : j + s * side : s]
            tap = w[:, :, i, j].astype(np.int64)
            acc += part * tap[:, :1, None] if node["depthwise"] else np.einsum("oi,ihw->ohw", tap, part)
    s32 = np.float32
    factor = float(s32(p["x_scale"])) * scales.astype(np.float64) / float(s32(p["y_scale"]))
    return saturated(rounded_product(acc, factor[:, None, None]) + p["y_zero"])


def sum_alone(p: Node, skip: Array, value: Array, conv: Node) -> Array:
    """Both operands with 20 more bits at twice the larger scale, added, and brought to the scale of the sum."""
    scales = [float(np.float32(v)) for v in (p["x_scale"], conv["y_scale"], p["y_scale"])]
    common = 2 * max(scales[:2])
    a = rounded_product((skip.astype(np.int64) - p["x_zero"]) << 20, scales[0] / common)
    b = rounded_product((value.astype(np.int64) - conv["y_zero"]) << 20, scales[1] / common)
    return saturated(rounded_product(a + b, common / (1 << 20) / scales[2]) + p["y_zero"])


def features_alone(path: Path, image: Array) -> tuple[dict[str, Array], Array]:
    """Every layer's int8 tensor by name, and the float features; `image` is [H, W, C]."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    structure = json.loads(arrays["__structure__"].tobytes())
    seen = {"first_conv": conv_alone(structure["first_conv"], arrays, image.transpose(2, 0, 1))}
    value = seen["first_conv"]
    for number, block in enumerate(structure["blocks"]):
        skip = value
        for part in ("pointwise1", "depthwise", "pointwise2"):
            if block[part] is not None:
                value = seen[f"block{number}_{part}"] = conv_alone(block[part], arrays, value)
        if block["residual"] is not None:
            p = block["residual"]["params"]
            value = seen[f"block{number}_sum"] = sum_alone(p, skip, value, block["pointwise2"]["params"])
    total, count = value.astype(np.int64).sum(axis=(1, 2)), value[0].size
    mean = np.sign(total) * ((2 * np.abs(total) + count) // (2 * count))
    p = structure["classifier"]["params"]
    return seen, (mean - p["x_zero"]).astype(np.float32) * np.float32(p["x_scale"])


def assert_equal_to_network(path: Path, seed: int) -> None:
    """Fail unless each layer's tensor, and the features, are those of the network evaluated here."""
    func = training_npz.load(path, 10).main
    image = np.random.default_rng(seed).integers(-128, 128, func.args[0].type.shape, dtype=np.int8)
    found: dict[str, Array] = {}

    def observe(value: Value, array: Array) -> None:
        found[value.name] = array

    evaluate(func, [image], "tflm", observe)
    layers, features = features_alone(path, image[0])
    for name, wanted in layers.items():
        np.testing.assert_array_equal(found[name][0].transpose(2, 0, 1), wanted, err_msg=name)
    np.testing.assert_array_equal(found["features"][0], features)


# -- a small backbone -------------------------------------------------------------------------------------------------


class Backbone:
    """A random backbone of 8x8 images: a convolution and two blocks, the second with a skip connection."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.arrays: dict[str, Array] = {}
        self.scale, self.zero = 1 / 127.5, 0
        first = self.conv("first", 3, 4, 3, 8, stride=2)
        one = self.block("one", 4, 6, 8, 4)
        skip = self.scale, self.zero
        two = self.block("two", 8, 8, 8, 4)
        two["residual"] = {"in_channel": 8, "in_shape": 4, "params": self.edge(*skip)}
        self.structure: Node = {"first_conv": first, "blocks": [one, two], "feature_mix": None}
        self.structure["classifier"] = {"in_channel": 8, "out_channel": 5, "params": self.layer("head", (5, 8, 1, 1))}

    def edge(self, scale: float, zero: int) -> Node:
        """The scales of a tensor that comes in, and of the next one."""
        self.scale, self.zero = float(self.rng.uniform(0.02, 0.06)), int(self.rng.integers(-20, 20))
        return {"x_scale": scale, "x_zero": zero, "y_scale": self.scale, "y_zero": self.zero}

    def layer(self, name: str, shape: tuple[int, ...]) -> Node:
        made: dict[str, Array] = {
            "weight": self.rng.integers(-127, 128, shape, dtype=np.int8),
            "bias": self.rng.integers(-900, 900, shape[0], dtype=np.int32),
            "w_scales": self.rng.uniform(0.002, 0.01, shape[0]).astype(np.float32),
        }
        self.arrays |= {f"{name}.{key}": array for key, array in made.items()}
        return self.edge(self.scale, self.zero) | {key: f"@{name}.{key}" for key in made}

    def conv(
        self, name: str, inputs: int, outputs: int, k: int, side: int, stride: int = 1, depthwise: bool = False
    ) -> Node:
        shape = (outputs, 1 if depthwise else inputs, k, k)
        return {
            "in_channel": inputs,
            "out_channel": outputs,
            "in_shape": side,
            "out_shape": side // stride,
            "kernel_size": [k, k],
            "stride": stride,
            "groups": inputs if depthwise else 1,
            "depthwise": depthwise,
            "act": None,
            "params": self.layer(name, shape),
        }

    def block(self, name: str, inputs: int, middle: int, outputs: int, side: int) -> Node:
        return {
            "pointwise1": self.conv(f"{name}1", inputs, middle, 1, side),
            "depthwise": self.conv(f"{name}d", middle, middle, 5, side, depthwise=True),
            "pointwise2": self.conv(f"{name}2", middle, outputs, 1, side),
            "residual": None,
            "se": None,
        }

    def save(self, path: Path) -> Path:
        text = np.frombuffer(json.dumps(self.structure).encode(), np.uint8)
        np.savez(path, allow_pickle=False, **{"__structure__": text, **self.arrays})
        return path


@pytest.mark.parametrize("seed", range(4))
def test_a_small_backbone_computes_what_the_file_says(tmp_path: Path, seed: int) -> None:
    assert_equal_to_network(Backbone(seed).save(tmp_path / "net.npz"), seed)


@needs_models
@pytest.mark.parametrize("name", ["mcunet-5fps", "mbv2-w0.35"])
def test_the_published_backbones_compute_what_their_files_say(name: str) -> None:
    assert_equal_to_network(FOLDER / "training" / f"{name}.npz", 1)


def test_saturated_biases_of_dead_channels_change_nothing(tmp_path: Path) -> None:
    """Their scales are tiny: -2^31 is -22 and 2^31 - 1 is 22 in units of the result."""
    made = Backbone()
    made.arrays["oned.w_scales"][:3] = 2e-8
    made.arrays["oned.bias"][:3] = -(2**31), 2**31 - 1, 2**31 - 1
    made.arrays["oned.weight"][1] = 0
    path = made.save(tmp_path / "net.npz")
    assert_equal_to_network(path, 5)
    constants = {op.result.name: op.value for op in training_npz.load(path).main.ops if isinstance(op, Const)}
    bias = constants["block0_depthwise_b"]
    assert bias[:3].tolist() == [-(2**31 - 1 - 2**15 * 25), 2**31 - 1 - 2**15 * 25, 2**31 - 1 - 2**15 * 25]


def test_the_classifier_of_the_file_is_float_over_dequantised_features(tmp_path: Path) -> None:
    made = Backbone()
    path = made.save(tmp_path / "net.npz")
    image = np.random.default_rng(3).integers(-128, 128, (1, 8, 8, 3), dtype=np.int8)
    _, features = features_alone(path, image[0])
    (found,) = evaluate(training_npz.load(path).main, [image], "tflm")
    scales = made.arrays["head.w_scales"].astype(np.float64)
    p = made.structure["classifier"]["params"]
    wanted = made.arrays["head.weight"][:, :, 0, 0] * scales[:, None] @ features
    wanted += made.arrays["head.bias"] * scales * p["x_scale"]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-5)


def test_text_reads_back_and_a_program_runs(tmp_path: Path) -> None:
    path = Backbone().save(tmp_path / "net.npz")
    module = tinyir.load(path)
    assert parse(print_module(module)) == module
    image = np.random.default_rng(4).integers(-128, 128, (1, 8, 8, 3), dtype=np.int8)
    (found,) = tinyir.compile(path, measure=False).run(image)
    (wanted,) = evaluate(module.main, [image], "tflm")
    np.testing.assert_array_equal(found, wanted)


def test_a_new_classifier_is_always_the_same(tmp_path: Path) -> None:
    path = Backbone().save(tmp_path / "net.npz")
    assert training_npz.load(path, 7).main.outputs[0].type.shape == (1, 7)
    assert training_npz.load(path, 7) == training_npz.load(path, 7)


def test_other_npz_files_are_no_backbones(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    assert not any(training_npz.is_backbone(tmp_path / name) for name in ("data.npz", "text.npz", "missing.npz"))


def first(made: Backbone) -> Node:
    node: Node = made.structure["first_conv"]
    return node


def saturate_near_a_step(made: Backbone) -> None:
    """A bias of 2^31 - 1 that stands for 20.501 in units of the result: less by a little and it rounds to 20."""
    p = made.structure["blocks"][1]["pointwise1"]["params"]
    made.arrays["two1.bias"].fill(2**31 - 1)
    made.arrays["two1.w_scales"].fill(20.501 / 2**31 * p["y_scale"] / p["x_scale"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda made: made.structure.pop("blocks"), "lacks 'blocks'"),
        (lambda made: made.arrays.pop("oned.bias"), "lacks 'oned.bias'"),
        (lambda made: made.structure["blocks"][1].update(se={}), "squeeze-and-excitation"),
        (lambda made: first(made).update(act="relu6"), "first_conv has the activation relu6"),
        (lambda made: first(made).update(groups=3), "3 groups"),
        (lambda made: first(made).update(stride="2"), "damaged"),
        (lambda made: first(made).update(out_shape=9), "first_conv"),
        (lambda made: first(made)["params"].update(y_scale=0.5), "block0_pointwise1 takes"),
        (lambda made: first(made)["params"].update(x_scale=0), "the scale 0"),
        (lambda made: made.arrays.update({"one1.weight": np.zeros((6, 4, 1, 1))}), "is float64"),
        (lambda made: made.arrays.update({"one1.w_scales": np.zeros(6, np.float32)}), "not positive"),
        (lambda made: made.arrays.update({"one1.w_scales": np.ones(2, np.float32)}), "2 scales for 6"),
        (lambda made: saturate_near_a_step(made), "block1_pointwise1 could overflow"),
        (lambda made: made.arrays.update({"one1.bias": np.zeros(2, np.int32)}), "bias of 6"),
    ],
)
def test_a_damaged_file_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, message: str
) -> None:
    made = Backbone()
    damage(made)
    path = made.save(tmp_path / "net.npz")
    with pytest.raises(ModelError, match=r"net\.npz"):
        training_npz.load(path)
    assert main(["inspect", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and "Traceback" not in err
