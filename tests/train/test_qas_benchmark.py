"""What benchmarks/qas.py compares: a model cut in two, the float model of its integers, a classifier with a rate of
its own."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyir
from tests.frontends.test_training_npz import Backbone
from tinyir.frontends import training_npz
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.pipeline import Training

ROOT = Path(__file__).parents[2]


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("transfer")


@pytest.fixture
def backbone(tmp_path: Path) -> Module:
    return training_npz.load(Backbone().save(tmp_path / "net.npz"), 4)


def images(count: int, side: int, channels: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(-128, 128, (1, side, side, channels), dtype=np.int8) for _ in range(count)]


def test_the_float_twin_computes_what_the_integers_stand_for(transfer: Any) -> None:
    module = tinyir.load(ROOT / "examples" / "digits" / "digits.tflite")
    twin = transfer.float_twin(module).main
    for image in np.load(ROOT / "examples" / "digits" / "test_set.npz")["images"][:8, np.newaxis]:
        stored = evaluate(module.main, [image])[0]
        real = evaluate(twin, [(image.astype(np.float32) + 128) / np.float32(255)])[0]
        assert np.abs((stored.astype(np.float32) + 128) / 256 - real).max() < 0.1


def test_the_float_twin_limits_what_int8_would(transfer: Any, backbone: Module) -> None:
    """The layers of this random backbone saturate; a twin without limits is far off."""
    twin = transfer.float_twin(backbone)
    free = clone_module(twin)
    clamps = [op for op in free.main.ops if op.opname == "nn.clamp"]
    assert len(clamps) >= 7
    for op in clamps:
        op.results[0].replace_uses(op.operands[0])
    near: list[float] = []
    far: list[float] = []
    for image in images(4, 8, 3):
        (stored,) = evaluate(backbone.main, [image])
        for errors, model in ((near, twin), (far, free)):
            errors.append(float(np.abs(evaluate(model.main, [image / np.float32(127.5)])[0] - stored).max()))
    assert max(near) < 0.06 and max(far) > 5 * max(near)


def test_both_parts_of_a_cut_model_are_the_model(transfer: Any, backbone: Module) -> None:
    trunk, tail = transfer.cut(backbone, 2)
    for image in images(3, 8, 3):
        (middle,) = evaluate(trunk.main, [image])
        np.testing.assert_array_equal(evaluate(tail.main, [middle])[0], evaluate(backbone.main, [image])[0])
    with pytest.raises(AssertionError, match="does not say all"):
        transfer.cut(backbone, 5)


def test_a_scaled_classifier_learns_at_a_rate_of_its_own(transfer: Any, backbone: Module) -> None:
    """With the factor 2, a rate of 0.01 is one of 0.04 for the classifier; the layers before learn as they did."""
    scaled = clone_module(backbone)
    transfer.scale_classifier(scaled, 2.0)
    one, two = (
        tinyir.compile(module, train=Training(rounding="nearest"), backend="numpy").trainer()
        for module in (backbone, scaled)
    )
    (image,) = images(1, 8, 3)
    np.testing.assert_array_equal(one.run(image), two.run(image))
    start = one.params
    assert one.step(image, 1, 0.01).loss == two.step(image, 1, 0.01).loss
    for name, value in one.params.items():
        if name.startswith("classifier"):
            moved, there = value - start[name], 2 * two.params[name] - start[name]
            np.testing.assert_allclose(there, 4 * moved, rtol=1e-3, atol=1e-6)
        else:
            np.testing.assert_array_equal(value, two.params[name])


def test_images_are_drawn_once_for_one_part(transfer: Any) -> None:
    data = transfer.make_data(32, [3, 4], 20, 10)
    assert data.train[0].shape == (20, 1, 32, 32, 3) and data.train[0].dtype == np.int8
    assert len(data.test[1]) > 300 and set(data.test[1]) == {0, 1}
    again = transfer.make_data(32, [3, 4], 20, 10)
    np.testing.assert_array_equal(data.choose[0], again.choose[0])
