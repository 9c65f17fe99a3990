"""The search for plans: the choice against brute force, the budget against the compiled program."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyir
from tests.train.networks import dense_network
from tinyir.cli import main
from tinyir.diagnostics import LimitError, UsageError
from tinyir.ir.ops.nn_activation import Relu
from tinyir.pipeline import Options, Training, ram_bytes
from tinyir.plan_search import exact
from tinyir.plan_search.contribution import Lesson, gradients, trainer
from tinyir.plan_search.evolve import evolve
from tinyir.plan_search.exact import BestFirst
from tinyir.plan_search.parts import Task, groups, model_of, needs, profiled, together
from tinyir.plan_search.profile import WHOLE, Profile, Saved
from tinyir.plan_search.search import Found, search
from tinyir.plan_search.space import NONE, Choice, Option, Space
from tinyir.train_plan import Layer, Share, TrainPlan, layers
from tinyir.tune.executors import executor

BACKBONE = Path(__file__).parents[1] / "examples" / "finetune" / "backbone.tflite"

# -- the choice, against brute force ----------------------------------------------------------------------------------

WINDOWS = 4
SIZES = {"a": 40, "b": 16, "c": 7}


@st.composite
def saved(draw: st.DrawFn) -> Saved:
    tensor = draw(st.sampled_from(sorted(SIZES)))
    part = draw(st.sampled_from([WHOLE, "bits", "channels"]))
    bytes = SIZES[tensor] if part == WHOLE else draw(st.integers(1, SIZES[tensor]))
    first = draw(st.integers(-1, WINDOWS - 2))
    return Saved(tensor, part, bytes, SIZES[tensor], first, draw(st.integers(first + 1, WINDOWS)))


PROFILES = st.builds(
    Profile, st.lists(saved(), max_size=3).map(tuple), st.lists(st.integers(0, 30), min_size=4, max_size=4).map(tuple)
)


@st.composite
def spaces(draw: st.DrawFn) -> tuple[list[list[Option]], Profile]:
    groups = []
    for layer in range(draw(st.integers(0, 3))):
        options = st.builds(
            Option,
            st.integers(1, 50).map(float),
            st.integers(0, 40),
            st.sampled_from([0, 8]),
            PROFILES,
            st.just(layer),
            st.integers(-1, layer - 1),
            PROFILES,
        )
        groups.append(draw(st.lists(options, min_size=1, max_size=3)))
    return draw(st.permutations(groups)), draw(PROFILES)


def least_ram(groups: list[list[Option]], base: Profile, choice: Choice) -> int:
    """The bound as it is defined, window by window."""
    options = [group[i] for group, i in zip(groups, choice, strict=True) if i != NONE]
    first = min((option.layer for option in options), default=99)
    alone = [base, *(option.profile for option in options)]
    beside = [option.beside for option in options if first <= option.beyond]

    def kept(profiles: list[Profile], w: int) -> int:
        total = 0
        for tensor, whole in SIZES.items():
            parts: dict[str, int] = {}
            for s in (s for profile in profiles for s in profile.saved):
                if s.tensor == tensor and s.first < w < s.last:
                    parts[s.part] = max(parts.get(s.part, 0), s.bytes)
            total += min(whole, sum(parts.values()))
        return total

    windows = [kept(alone, w) + max(p.rest[w] for p in alone) for w in range(WINDOWS)]
    windows += [kept(alone + beside, w) + max((p.rest[w] for p in beside), default=0) for w in range(WINDOWS)]
    return 5 + sum(o.params for o in options) + max((o.shared for o in options), default=0) + max(windows)


@settings(max_examples=100, deadline=None)
@given(spaces(), st.integers(20, 250))
def test_choices_come_in_falling_order_and_none_is_left_out(
    drawn: tuple[list[list[Option]], Profile], budget: int
) -> None:
    groups, base = drawn
    space = Space(groups, budget, 5, base)
    choices = list(itertools.product(*(range(-1, len(group)) for group in groups)))
    assert [space.ram(space.sum(choice)) for choice in choices] == [least_ram(groups, base, c) for c in choices]
    wanted = {choice for choice in choices if least_ram(groups, base, choice) <= budget}
    order = BestFirst(space)
    found = list(order)
    gains = [space.sum(choice).gain for choice in found]
    assert len(found) == len(wanted) and set(found) == wanted
    assert gains == sorted(gains, reverse=True)


def options(*bytes: int) -> list[Option]:
    """Options of so many bytes of parameters, worth as much."""
    return [Option(float(n), n, 0, Profile((), (0,)), 0) for n in bytes]


def test_what_is_excluded_is_not_given_again_nor_more_of_it() -> None:
    order = BestFirst(Space([options(3, 5), options(4)], 10, 0, Profile((), (0,))))
    choices = iter(order)
    assert next(choices) == (1, 0)
    order.exclude((0, 0))
    assert list(choices) == [(1, -1), (-1, 0), (0, -1), (-1, -1)]


def test_a_search_that_is_cut_short_says_what_could_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_NODES", 1)
    order = BestFirst(Space([options(3, 5), options(4)], 10, 0, Profile((), (0,))))
    assert list(order) == [] and order.at_most >= 9


@settings(max_examples=20, deadline=None)
@given(spaces(), st.integers(60, 250), st.integers(0, 20))
def test_bred_choices_fit_and_are_the_same_again(
    drawn: tuple[list[list[Option]], Profile], budget: int, margin: int
) -> None:
    space = Space(drawn[0], budget, 5, drawn[1])
    found = evolve(space, margin, seed=1)
    assert evolve(space, margin, seed=1) == found
    nothing = (NONE,) * len(space.groups)
    assert found == nothing or space.ram(space.sum(found)) + margin <= budget
    best = next(iter(BestFirst(space)), nothing)
    assert space.sum(found).gain <= space.sum(best).gain


# -- real programs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    path = tmp_path_factory.mktemp("model") / "net.tir"
    path.write_text(str(dense_network((16, 12, 8, 4), Relu)))
    return Task(path, Options(target="host"), Training())


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 40)
    x = (rng.normal(size=(4, 16))[y] + 0.5 * rng.normal(size=(40, 16))).astype(np.float32)
    return Lesson(x[:, None], y, steps=20, lr=0.1)


def test_parts_of_a_model(task: Task) -> None:
    found = groups(layers(model_of(task).main))
    assert found[0] == [TrainPlan(2), TrainPlan(3)]
    assert [[share.ratio for part in group for share in part.weights] for group in found[1:]] == [
        [0.125, 0.25, 0.5, 1.0],
        [0.125, 0.25, 0.5, 1.0],
    ]
    assert together([found[0][1], found[2][0]]) == TrainPlan(3, True, (Share("fc1", 0.125),))


def test_the_plan_fits_and_is_the_same_again(task: Task, lesson: Lesson, tmp_path: Path) -> None:
    """RAM is what the compiled program says; the pool and a second run change nothing."""
    budget = 1400
    found = search(task, budget, lesson)
    with executor(2, None) as pool:
        assert search(task, budget, lesson, pool=pool) == found
    path = tmp_path / "plan.toml"
    path.write_text(found.plan.text())
    report = tinyir.compile(task.model, train=Training(plan=path), target="host").report
    assert found.needs.ram == ram_bytes(report) <= budget
    assert found.proven and found.gain == found.bound > 0 and found.plan != TrainPlan()


def test_no_other_choice_of_two_parts_that_fits_is_worth_more(task: Task, lesson: Lesson) -> None:
    budget = 1400
    found = search(task, budget, lesson)
    gains = {part.plan: part.gain for part in found.parts}
    for pair in itertools.product(*(group for group in groups(layers(model_of(task).main))[1:])):
        size = needs(task, together(pair))
        assert size is not None
        assert size.ram > budget or sum(gains[part] for part in pair) <= found.gain + 1e-12


def test_more_room_is_worth_no_less(task: Task) -> None:
    found = [search(task, budget) for budget in (600, 1000, 4000)]
    assert sorted(f.gain for f in found) == [f.gain for f in found]
    assert found[-1].plan == TrainPlan(3, True, (Share("fc0", 1.0), Share("fc1", 1.0)))


def test_without_a_proof_a_plan_is_bred(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    best = search(task, 1400)
    monkeypatch.setattr(exact, "MAX_NODES", 1)
    found = search(task, 1400)
    assert best.proven and not found.proven
    assert found.needs.ram <= 1400 and 0 < found.gain <= best.gain <= found.bound


def test_gradients_are_those_of_a_step(task: Task) -> None:
    """The squared gradient of a part does not depend on what else is trained."""
    parts = [TrainPlan(3), TrainPlan(0, True, (Share("fc1", 0.25),)), TrainPlan(0, True, (Share("fc1", 1.0),))]
    found = gradients(task, parts, seed=3)
    assert found[1] < found[2]
    alone = trainer(task, parts[1])
    start = alone.params
    rng = np.random.default_rng(3)
    total = 0.0
    for _ in range(8):
        alone.set_params(start)
        alone.step(rng.normal(size=(1, 16)).astype(np.float32), int(rng.integers(4)), 1.0)
        total += float(((alone.params["w1"].astype(float) - start["w1"]) ** 2).sum()) / 8
    assert found[1] == pytest.approx(total, rel=1e-4)


def test_a_budget_too_small_for_the_classifier_is_refused(task: Task) -> None:
    with pytest.raises(LimitError, match=r"the classifier alone needs [\d,]+ bytes of RAM, 100 are granted"):
        search(task, 100)


def test_a_rate_that_diverges_is_refused(task: Task, lesson: Lesson) -> None:
    with pytest.raises(UsageError, match="gives no finite loss"):
        search(task, 4000, replace(lesson, lr=np.inf))


def test_the_command_line(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the reproducer of the last line goes
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    assert main(["train-plan", str(task.model), "--max-ram", "1200", "-o", str(plan)]) == 0
    assert "of 1,200 bytes" in capsys.readouterr().err
    assert TrainPlan.read(plan).classifier
    assert main(["compile", str(task.model), "--train", str(plan), "--max-ram", "2K", "-o", str(out)]) == 0
    assert main(["train-plan", str(task.model)]) == 2
    assert "--max-ram 128K" in capsys.readouterr().err
    plan.write_text('version = 1\n[[weights]]\nlayer = "fc7"\n')
    assert main(["compile", str(task.model), "--train", str(plan), "-o", str(out)]) == 2
    assert "the plan trains `fc7`, which is no layer" in capsys.readouterr().err


# -- int8 models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def int8() -> Task:
    return Task(BACKBONE, Options(), Training(classes=5))


def few(all_layers: list[Layer]) -> list[list[TrainPlan]]:
    """Some of the parts: biases of the last 2 and 4 layers, shares of two layers."""
    biases, *shares = groups(all_layers)
    return [[biases[0], biases[2]], shares[6][-2:], shares[8][-2:]]


@pytest.fixture(scope="module")
def found(int8: Task) -> Found:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyir.plan_search.search.groups", few)
        return search(int8, 16 * 1024)


def test_ram_of_an_int8_plan_is_that_of_the_program(int8: Task, found: Found, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(found.plan.text())
    report = tinyir.compile(BACKBONE, train=Training(plan=plan, classes=5), max_ram=found.needs.ram).report
    parts = report["arena_bytes"], report["training"]["params_bytes"], report["stack_bytes"]
    assert (found.needs.arena, found.needs.params, found.needs.stack) == parts
    assert found.proven and {share.layer for share in found.plan.weights} <= {"conv2d_7", "conv2d_9"}


def test_compile_and_train_count_the_same_ram(found: Found, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, data = tmp_path / "plan.toml", tmp_path / "d.npz"
    plan.write_text(found.plan.text())
    np.savez(data, x=np.zeros((4, 8, 8, 1), np.int8), y=np.arange(4))
    asked = [str(BACKBONE), "--classes", "5", "--train", str(plan)]
    train = ["train", *asked, "--data", str(data), "--steps", "1", "--backend", "numpy"]
    assert main([*train, "--max-ram", str(found.needs.ram)]) == 0
    capsys.readouterr()
    needs = f"needs {found.needs.ram:,} bytes of RAM, {found.needs.ram - 1:,} are granted"
    assert main([*train, "--max-ram", str(found.needs.ram - 1)]) == 1
    assert needs in capsys.readouterr().err
    assert main(["compile", *asked, "-o", str(tmp_path / "out"), "--max-ram", str(found.needs.ram - 1)]) == 1
    assert needs in capsys.readouterr().err


def test_parts_of_an_int8_model_are_tried_on_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tinyir.plan_search.search.groups", few)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.uniform(size=(16, 8, 8, 1)).astype(np.float32), y=rng.integers(0, 5, 16))
    words = [
        "--classes",
        "5",
        "--data",
        str(tmp_path / "d.npz"),
        "--steps",
        "12",
        "--lr",
        "0.05",
        "--max-ram",
        "32K",
        "--target",
        "host",
    ]
    assert main(["train-plan", str(BACKBONE), *words, "-o", str(tmp_path / "plan.toml")]) == 0
    assert "loss saved" in capsys.readouterr().err
    assert TrainPlan.read(tmp_path / "plan.toml").classifier


def test_gradients_of_integers_are_those_of_the_real_weights(int8: Task) -> None:
    """dL/dq / s from steps without quantisation-aware scaling."""
    share = TrainPlan(0, True, (Share("conv2d_9", 0.5),))
    (squared,) = gradients(int8, [share], seed=3)
    plain = replace(int8, training=replace(int8.training, qas=False, momentum=0.5))
    program = trainer(plain, share)
    weight = layers(model_of(int8).main)[8].op.operands[1].type
    assert weight.quant is not None and weight.layout[weight.quant.axis or 0] == "O"
    scales = np.array(weight.quant.scales)
    start, rng, total = program.params, np.random.default_rng(3), 0.0
    (name,) = (name for name in start if name.endswith("_w"))
    out = start[name].shape.index(len(scales))
    for _ in range(8):
        program.set_params(start)
        image = rng.integers(-128, 127, (1, 8, 8, 1), np.int8, endpoint=True)
        program.step(image, int(rng.integers(5)), 0.0)
        gradient = np.moveaxis(program.params[f"{name}_momentum"].astype(np.float64), out, -1) / scales
        total += float((gradient**2).sum()) / 8
    assert squared == pytest.approx(total, rel=1e-4)


def test_what_a_program_keeps(int8: Task) -> None:
    """A quarter of the input channels of a layer, and a bit for each element of what is limited behind it."""
    size = profiled(int8, TrainPlan(0, True, (Share("conv2d_7", 0.25),)))
    assert size is not None
    kept = {(s.tensor, s.part == "bits"): (s.bytes, s.whole) for s in size.profile.saved}
    assert kept["depthwise_conv2d_6", False] == (128, 512)
    assert kept["conv2d_7", True] == (128, 768)


@pytest.mark.parametrize("chosen", [("conv2d_7", "conv2d_9"), ("depthwise_conv2d_6", "conv2d_7")])
def test_bounds_hold(int8: Task, chosen: tuple[str, str]) -> None:
    """The program of two parts needs no less than the bound of both, each alone as much as its own."""
    parts = [TrainPlan(0, True, (Share(name, 1.0 if name.startswith("d") else 0.25),)) for name in chosen]
    base, *sizes = (profiled(int8, plan) for plan in [TrainPlan(), *parts])
    assert base is not None
    alone = []
    for size in sizes:
        assert size is not None
        once = size.shared - base.shared
        alone.append([Option(1.0, size.params - base.params - once, once, size.profile, 0)])
    space = Space(alone, 10**6, base.params, base.profile)
    both = needs(int8, together(parts))
    assert both is not None
    for choice, size in [((0, NONE), sizes[0]), ((NONE, 0), sizes[1])]:
        assert size is not None and space.ram(space.sum(choice)) == size.ram
    assert max(size.ram for size in sizes if size is not None) < space.ram(space.sum((0, 0))) <= both.ram
