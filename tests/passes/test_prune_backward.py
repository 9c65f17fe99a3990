"""`prune-backward`: what lives from the forward pass to the gradients, and that nothing needless is left."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import tinyir
from tests.passcheck import PassChecker
from tests.train.networks import dense_network
from tests.train.test_sparse import PLANS
from tinyir.ir.core import Func, Op
from tinyir.ir.ops.nn_activation import Logistic, Relu
from tinyir.passes.prune_backward import saved_bytes, saved_values
from tinyir.pipeline import Training
from tinyir.train_plan import Share, TrainPlan

SIZES = (12, 8, 6, 5)
HEAD = """func @train_step(%x: tensor<1x8xf32>, %lr: tensor<f32>, %w: tensor<1x2xf32>)
    attributes {state = [2], updates = [1], by_value = [1]} {
  %h = nn.tanh(%x) : tensor<1x8xf32>
  %p = nn.dense(%h, %w) {first_channel = 0} : tensor<1x1xf32>
"""
SLICE = "%s = tensor.slice(%h) {begin = [0, 0], size = [1, 2], stride = [1, 1]} : tensor<1x2xf32>\n"
LOSS = "%loss = nn.sum(%p) {axes = [0, 1]} : tensor<f32>\n"
GRADIENT = "%dw = grad.dense_weight(%p, %s) : tensor<1x2xf32>\n"
UPDATE = "%new = train.sgd(%w, %dw, %lr) : tensor<1x2xf32>\n"
END = "func.return(%loss, %new)\n}"


def test_the_trained_channels_are_kept_rather_than_the_input(check_pass: PassChecker) -> None:
    stats = check_pass(
        HEAD + LOSS + SLICE + GRADIENT + UPDATE + END,
        "prune-backward",
        HEAD + SLICE + LOSS + GRADIENT + UPDATE + END,
    )
    assert stats == {"moved ops": 1, "saved bytes less": 24}


def test_what_another_gradient_reads_whole_is_kept(check_pass: PassChecker) -> None:
    whole = "%g = nn.mul(%h, %p) : tensor<1x8xf32>\n%t = nn.sum(%g) {axes = [0, 1]} : tensor<f32>\n"
    update = UPDATE.replace("%dw, %lr", "%dw, %t")
    check_pass.unchanged(HEAD + LOSS + SLICE + GRADIENT + whole + update + END, "prune-backward")


def test_what_is_not_smaller_stays_behind_the_loss(check_pass: PassChecker) -> None:
    other = "%s1 = nn.tanh(%h) : tensor<1x8xf32>\n%t = nn.sum(%s1) {axes = [0, 1]} : tensor<f32>\n"
    update = UPDATE.replace("%dw, %lr", "%s2, %t")
    slice = "%s2 = tensor.slice(%s1) {begin = [0, 0], size = [1, 2], stride = [1, 1]} : tensor<1x2xf32>\n"
    check_pass.unchanged(HEAD + LOSS + other + slice + update + END, "prune-backward")


def test_a_module_that_does_not_train_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        "func @main(%x: tensor<2xf32>) { %y = nn.tanh(%x) : tensor<2xf32> func.return(%y) }", "prune-backward"
    )


def step(plan: TrainPlan | None, folder: Path, activation: type[Op] = Relu) -> Func:
    """@train_step of a network trained by `plan`."""
    path = None
    if plan is not None:
        path = folder / "plan.toml"
        path.write_text(plan.text())
    module = dense_network(SIZES, activation)
    return tinyir.compile(module, train=Training(plan=path), backend="numpy").module.funcs["train_step"]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_op_has_a_way_to_an_output(plan: TrainPlan, tmp_path: Path) -> None:
    func = step(plan, tmp_path)
    needed = set(func.outputs)
    for op in reversed(func.ops[:-1]):
        assert needed.intersection(op.results), f"{op.opname} computes what nobody needs"
        needed.update(op.operands)
    assert needed.issuperset(func.args)


@pytest.mark.parametrize(
    ("plan", "saved"),
    [
        (None, ["x", "act0", "act1", "fc2", "target"]),
        (TrainPlan(), ["act1", "fc2", "target"]),
        (TrainPlan(1, False), ["fc2", "target"]),
        (TrainPlan(0, False, (Share("fc2", None, 2),)), ["slice of act1", "fc2", "target"]),
        (TrainPlan(0, False, (Share("fc1", None, 2),)), ["slice of act0", "act1", "fc2", "target"]),
    ],
)
def test_what_is_saved(plan: TrainPlan | None, saved: list[str], tmp_path: Path) -> None:
    """Inputs of layers whose weights are trained, the trained channels where they are a share, and results of clamps;
    of a frozen layer at the end nothing."""
    values = saved_values(step(plan, tmp_path))
    names = [v.name or (f"slice of {v.defining_op.operands[0].name}" if v.defining_op else "") for v in values]
    assert sorted(names) == sorted(saved)


def test_a_smaller_plan_saves_less(tmp_path: Path) -> None:
    shares = [TrainPlan(0, False, (Share("fc0", None, n),)) for n in (2, 6, 11)]
    found = [saved_bytes(step(plan, tmp_path, Logistic)) for plan in shares]
    assert [b - a for a, b in itertools.pairwise(found)] == [4 * 4, 5 * 4]
    assert found[-1] < saved_bytes(step(None, tmp_path, Logistic))


def arena(plan: TrainPlan | None, folder: Path) -> int:
    path = folder / "plan.toml"
    if plan is not None:
        path.write_text(plan.text())
    training = Training(plan=None if plan is None else path)
    return tinyir.compile(dense_network((64, 96, 64, 5), Relu), train=training, measure=False).arena_bytes


def test_peaks_fall(tmp_path: Path) -> None:
    """The planner's figure: everything, a share of a deep layer, the classifier."""
    plans = [None, TrainPlan(0, True, (Share("fc1", None, 8),)), TrainPlan()]
    peaks = [arena(plan, tmp_path) for plan in plans]
    assert peaks[0] > peaks[1] > peaks[2]
