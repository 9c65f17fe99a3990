"""`augment`: the images of a training step are changed at random, the same way on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import tinyir
from tests.passcheck import PassChecker
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir import semantics
from tinyir.passes.add_preprocessing import AddPreprocessing
from tinyir.passes.augment import Augment
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import Training

WEIGHTS = ", ".join(f"{v:.3f}" for v in np.random.default_rng(0).normal(size=3 * 48) / 4)
MODEL = f"""func @main(%x: tensor<1x6x8x1xf32, NHWC>) {{
  %w = nn.const() {{value = dense<3x48xf32, [{WEIGHTS}]>}} : tensor<3x48xf32>
  %flat = tensor.reshape(%x) {{shape = [1, 48]}} : tensor<1x48xf32>
  %y = nn.dense(%flat, %w) : tensor<1x3xf32>
  func.return(%y)
}}"""
BIG = Augment(rotation=25.0, shift=0.2, shear=0.1, zoom=0.2, flip=True)


def test_every_backend_draws_the_same() -> None:
    c = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, measure=False)
    numpy = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, backend="numpy")
    every = [numpy.trainer(), c.trainer("host"), c.trainer("m7")]
    x = np.random.default_rng(1).normal(size=(1, 6, 8, 1)).astype(np.float32)
    losses = []
    for step in range(8):
        outcomes = [trainer.step(x, step % 3, 0.0) for trainer in every]
        assert len({np.float32(o.loss).tobytes() for o in outcomes}) == 1
        losses.append(outcomes[0].loss)
        assert all(t.params["rng"].tolist() == [0, step + 1] for t in every)
    assert len(set(losses)) == 8  # with a rate of 0 the draws alone make the difference
    outputs = {trainer.run(x).tobytes() for trainer in every}
    assert len(outputs) == 1


def test_a_step_learns_from_the_changed_image() -> None:
    """The draw by hand, then the step of a program without augmentation on what it gives."""
    x = np.random.default_rng(2).normal(size=(1, 6, 8, 1)).astype(np.float32)
    words = semantics.random(np.array([9, 4], np.int32), salt=0, shape=(6,))
    limits = {"rotation": 25.0, "shift": 0.2, "shear": 0.1, "zoom": 0.2}
    changed = semantics.affine_nearest(x, semantics.affine_matrix(words, size=(6, 8), flip=True, **limits))
    assert not np.array_equal(changed, x)
    plain = tinyir.compile(parse(MODEL), train=Training(), backend="numpy").trainer()
    drawing = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, backend="numpy").trainer()
    drawing.set_params({**plain.params, "rng": np.array([9, 4], np.int32)})
    assert plain.step(changed, 1, 0.1).loss == drawing.step(x, 1, 0.1).loss
    assert plain.params["w"].tobytes() == drawing.params["w"].tobytes()


def test_a_frame_is_changed_at_the_models_size() -> None:
    camera = AddPreprocessing("gray", (24, 40), (2, 3, 20, 30))
    module = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, camera=camera, backend="numpy").module
    (op,) = (op for op in module.funcs["train_step"].ops if op.opname == "image.affine")
    assert str(op.type) == "tensor<1x6x8x1xu8, NHWC>"
    assert not any(op.opname == "image.affine" for op in module.main.ops)


def test_frames_train_alike_everywhere() -> None:
    camera = AddPreprocessing("gray", (24, 40), (2, 3, 20, 30))
    c = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, camera=camera, measure=False)
    numpy = tinyir.compile(parse(MODEL), train=Training(), augment=BIG, camera=camera, backend="numpy")
    every = [numpy.trainer(), c.trainer("host"), c.trainer("m7")]
    rng = np.random.default_rng(3)
    for step in range(6):
        frame = rng.integers(0, 256, (1, 24, 40, 1), np.uint8)
        assert all(trainer.step(frame, step % 3, 0.1).status == 0 for trainer in every)
    assert len({b"".join(v.tobytes() for v in trainer.params.values()) for trainer in every}) == 1


def test_without_limits_nothing_changes(check_pass: PassChecker) -> None:
    check_pass.unchanged(MODEL, "augment")


@pytest.mark.parametrize(
    ("text", "passes", "message"),
    [
        (MODEL, "augment{flip=true}", "there is no @train_step"),
        (MODEL.replace("1xf32, NHWC", "1xf32"), "select-params,build-backward,augment{flip=true}", "not an image with"),
        (MODEL, "select-params,build-backward,augment{rotation=270.0}", "rotation = 270.0"),
    ],
)
def test_refusals(text: str, passes: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        PassManager(parse_pipeline(passes)).run(parse(text))
