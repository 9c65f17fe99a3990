"""Shares of the input channels of convolutions, float and int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tinyir
from tests.train.test_backends_agree import state, trainers
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Relu
from tinyir.ir.ops.nn_contraction import Conv2D, Dense, DepthwiseConv2D
from tinyir.ir.ops.tensor import Reshape
from tinyir.ir.types import DType, TensorType
from tinyir.passes.prune_backward import saved_values
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer
from tinyir.train_plan import PlanError, Share, TrainPlan

Array = npt.NDArray[Any]
ToFile = Callable[[TrainPlan], Path]
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
ONES = ((1, 1), (1, 1))


@pytest.fixture
def to_file(tmp_path: Path) -> ToFile:
    def write(plan: TrainPlan) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(plan.text())
        return path

    return write


def float_network() -> Module:
    """conv 3x3, depthwise, conv 1x1, each with a ReLU, and a dense layer."""
    rng = np.random.default_rng(0)
    b = FuncBuilder()

    def weight(name: str, shape: tuple[int, ...], layout: str = "") -> Any:
        return b.const(rng.normal(scale=0.4, size=shape).astype(np.float32), name, layout=layout)

    x = b.arg(TensorType((1, 5, 5, 4), DType.F32, "NHWC"), "x")
    y = b.add(Conv2D(x, weight("w0", (8, 3, 3, 4), "OHWI"), weight("b0", (8,), "C"), pad=ONES, name="c0"))
    y = b.add(Relu(y, name="r0"))
    y = b.add(DepthwiseConv2D(y, weight("w1", (3, 3, 8), "HWO"), weight("b1", (8,), "C"), pad=ONES, name="c1"))
    y = b.add(Relu(y, name="r1"))
    y = b.add(Conv2D(y, weight("w2", (6, 1, 1, 8), "OHWI"), weight("b2", (6,), "C"), name="c2"))
    y = b.add(Relu(y, name="r2"))
    y = b.add(Reshape(y, shape=(1, 150)))
    y = b.add(Dense(y, weight("w3", (4, 150)), weight("b3", (4,)), name="c3"))
    return Module([b.ret(y)], {"name": "net"})


def float_examples(count: int) -> list[tuple[Array, int]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(1, 5, 5, 4)).astype(np.float32), int(rng.integers(4))) for _ in range(count)]


def int8_examples(count: int) -> list[tuple[Array, int]]:
    data = np.load(DIGITS / "test_set.npz")
    images = data["images"][:count].reshape(count, 1, 8, 8, 1).astype(np.int8)
    return list(zip(images, map(int, data["labels"][:count]), strict=True))


@pytest.mark.parametrize(
    "share", [Share("c0", None, 2), Share("c2", 0.25), Share("c2", 0.5, None, "magnitude")], ids=str
)
def test_float_shares_give_the_same_bits_everywhere(share: Share, to_file: ToFile) -> None:
    every = trainers(float_network(), Training(plan=to_file(TrainPlan(2, True, (share,)))))
    for x, label in float_examples(5):
        assert len({np.float32(trainer.step(x, label, 0.05).loss).tobytes() for trainer in every.values()}) == 1
    assert state(every["numpy"]) == state(every["host"]) == state(every["m7"])


@pytest.mark.parametrize("share", [Share("c0", None, 2), Share("c2", None, 2)], ids=str)
def test_a_float_share_trains_as_those_channels_of_the_whole(share: Share, to_file: ToFile) -> None:
    """Up to the order of the sums of the forward pass."""
    name = f"w{share.layer[1:]}"  # type: ignore[index]
    module = float_network()
    sparse = numpy_trainer(module, to_file(TrainPlan(0, False, (share,))))
    full = numpy_trainer(module)
    start = full.params
    for x, label in float_examples(5):
        sparse.step(x, label, 0.05)
        full.step(x, label, 0.05)
        full.set_params({**start, name: np.concatenate([full.params[name][..., :2], start[name][..., 2:]], -1)})
        np.testing.assert_allclose(sparse.params[name], full.params[name][..., :2], rtol=1e-4, atol=1e-6)
    assert not np.array_equal(sparse.params[name], start[name][..., :2])


def numpy_trainer(module: Module, plan: Path | None = None, **more: Any) -> Trainer:
    return tinyir.compile(module, train=Training(plan=plan, **more), backend="numpy").trainer()


@pytest.mark.parametrize("share", [Share("conv2d_7", 0.25), Share("conv2d_2", 0.5, None, "magnitude")], ids=str)
def test_int8_shares_give_the_same_bits(share: Share, to_file: ToFile) -> None:
    """And the model computes what it was deployed as, whatever is trained."""
    model, training = tinyir.load(DIGITS / "digits.tflite"), Training(plan=to_file(TrainPlan(3, True, (share,))))
    numpy = tinyir.compile(model, train=training, backend="numpy").trainer()
    host = tinyir.compile(model, train=training, measure=False).trainer("host")
    examples = int8_examples(3)
    deployed = tinyir.compile(model, backend="numpy")
    for x, _ in examples:
        np.testing.assert_array_equal(numpy.run(x), deployed.run([x])[0])
    for x, label in examples:
        assert numpy.step(x, label, 0.02) == host.step(x, label, 0.02)
        assert state(numpy) == state(host)


def test_an_int8_share_trains_as_those_channels_of_the_whole(to_file: ToFile) -> None:
    """Bit for bit: the sums are exact, so the forward pass is the same however the weights are split."""
    model, name = tinyir.load(DIGITS / "digits.tflite"), "conv2d_7_w"
    sparse = numpy_trainer(model, to_file(TrainPlan(2, True, (Share("conv2d_7", None, 8),))), rounding="nearest")
    whole = numpy_trainer(model, to_file(TrainPlan(2, True, (Share("conv2d_7"),))), rounding="nearest")
    frozen = whole.params[name][..., 8:]
    start = sparse.params[name]
    for x, label in int8_examples(5):
        assert sparse.step(x, label, 2.0) == whole.step(x, label, 2.0)
        whole.set_params({**whole.params, name: np.concatenate([whole.params[name][..., :8], frozen], -1)})
        assert state(whole) | {name: whole.params[name][..., :8].tobytes()} == state(sparse)
    assert not np.array_equal(start, sparse.params[name])


def test_the_trained_channels_are_kept_as_int8(to_file: ToFile) -> None:
    model = tinyir.load(DIGITS / "digits.tflite")
    plan = to_file(TrainPlan(0, True, (Share("conv2d_9", None, 8),)))
    step = tinyir.compile(model, train=Training(plan=plan), backend="numpy").module.funcs["train_step"]
    slices = [v for v in saved_values(step) if v.defining_op is not None and v.defining_op.opname == "tensor.slice"]
    assert [(v.type.storage, v.type.size("C")) for v in slices] == [(DType.I8, 8)]


def test_channels_with_other_readers_are_not_renumbered(to_file: ToFile) -> None:
    """Nor those of the model's input, nor what a reshape has mixed."""
    plan = to_file(TrainPlan(0, True, (Share("c0", 0.5, None, "magnitude"),)))
    with pytest.raises(PlanError, match="`c0` cannot be renumbered by magnitude: they are those of the input `x`"):
        numpy_trainer(float_network(), plan)
    other = to_file(TrainPlan(0, True, (Share("c3", 0.5, None, "magnitude"),)))
    with pytest.raises(PlanError, match=r"`c3` cannot be renumbered by magnitude: `tensor.reshape` lies between"):
        numpy_trainer(float_network(), other)
    residual = to_file(TrainPlan(0, True, (Share("conv2d_7", 0.5, None, "magnitude"),)))
    with pytest.raises(PlanError, match=r"cannot be renumbered by magnitude: `nn.add` lies between"):
        numpy_trainer(tinyir.load(DIGITS / "digits.tflite"), residual)
