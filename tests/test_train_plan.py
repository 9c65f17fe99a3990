"""Plan files: what they say, what is wrong with them, and what of a model they choose."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.networks import dense_network
from tinyir.train_plan import Chosen, PlanError, Share, TrainPlan, choose, layers

SHARES = st.one_of(
    st.builds(Share, st.text(max_size=5), st.none(), st.integers(1, 64), st.sampled_from(["first", "magnitude"])),
    st.builds(Share, st.integers(0, 40), st.floats(0.001, 1), st.none(), st.just("first")),
    st.builds(Share, st.text(max_size=5)),
)
PLANS = st.builds(
    TrainPlan, st.one_of(st.none(), st.integers(0, 99)), st.booleans(), st.lists(SHARES, max_size=4).map(tuple)
)


@given(PLANS)
def test_the_text_of_a_plan_reads_back(plan: TrainPlan) -> None:
    assert TrainPlan.parse(plan.text(), "plan.toml") == plan


def test_what_is_left_out_has_defaults() -> None:
    plan = TrainPlan.parse('version = 1\n[[weights]]\nlayer = "fc1"\n', "plan.toml")
    assert plan == TrainPlan(0, True, (Share("fc1", None, None, "first"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan.toml has no `version`; this tinyir reads version = 1"),
        ("version = 2", "has version = 2"),
        ("version 1", "plan.toml is no TOML"),
        ("bias = 1", "has no `version`"),
        ("version = 1\nbiasses = 1", "`biasses`, which says nothing\nhelp: did you mean `biases`"),
        ("version = 1\nbiases = -1", 'a number of layers or "all", not -1'),
        ("version = 1\nbiases = true", 'a number of layers or "all", not True'),
        ('version = 1\nclassifier = "yes"', "must be true or false"),
        ("version = 1\nweights = 3", "each under"),
        ("version = 1\n[[weights]]\nratio = 0.5", "1 needs `layer` or `index`"),
        ('version = 1\n[[weights]]\nlayer = "a"\nindex = 1', "1 needs `layer` or `index`, one of them"),
        ("version = 1\n[[weights]]\nlayer = 3", "must be a name, not 3"),
        ("version = 1\n[[weights]]\nindex = -3", "must be a number from 0"),
        ("version = 1\n[[weights]]\nindex = 1\nratio = 0", "above 0, at most 1"),
        ("version = 1\n[[weights]]\nindex = 1\nratio = nan", "above 0, at most 1"),
        ("version = 1\n[[weights]]\nindex = 1\nchannels = 0", "a number from 1"),
        ("version = 1\n[[weights]]\nindex = 1\nchannels = 2\nratio = 0.5", "not both"),
        ('version = 1\n[[weights]]\nindex = 1\nselect = "last"', "one of first, magnitude, not 'last'"),
        ('version = 1\n[[weights]]\nindex = 1\nratios = "last"', "did you mean `ratio`"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        TrainPlan.parse(text, "plan.toml")
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read .*none.toml: No such file"):
        TrainPlan.read(tmp_path / "none.toml")


def chosen(plan: TrainPlan) -> dict[str, Chosen]:
    """By name, what a plan trains of layers with 12, 8 and 6 input channels."""
    found = choose(plan, layers(dense_network((12, 8, 6, 5)).main))
    return {layer.name: what for layer, what in found.items()}


@pytest.mark.parametrize(
    ("plan", "wanted"),
    [
        (TrainPlan(), {"fc2": Chosen(6, True)}),
        (TrainPlan(2, False), {"fc1": Chosen(0, True), "fc2": Chosen(0, True)}),
        (TrainPlan(None, False), {name: Chosen(0, True) for name in ("fc0", "fc1", "fc2")}),
        (TrainPlan(0, False, (Share(1, 0.25),)), {"fc1": Chosen(2, False)}),
        (TrainPlan(0, False, (Share("fc1", 0.01, None, "magnitude"),)), {"fc1": Chosen(1, False, "magnitude")}),
        (TrainPlan(1, True, (Share("fc2", None, 3),)), {"fc2": Chosen(3, True)}),
    ],
)
def test_what_a_plan_chooses(plan: TrainPlan, wanted: dict[str, Chosen]) -> None:
    assert chosen(plan) == wanted


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (TrainPlan(0, True, (Share("fc11"),)), "`fc11`, which is no layer of the model"),
        (TrainPlan(0, True, (Share("fc11"),)), "the layers are: 0 `fc0`, 1 `fc1`, 2 `fc2`\nhelp: did you mean `fc1`"),
        (TrainPlan(0, True, (Share(3),)), "the layer with index 3; the model has 3 layers"),
        (TrainPlan(4), "the biases of the last 4 layers; the model has 3"),
        (TrainPlan(0, True, (Share("fc1", None, 9),)), "9 input channels of `fc1`, which has 8"),
        (TrainPlan(0, True, (Share("fc1"), Share(1))), "names the weights of `fc1` twice"),
        (TrainPlan(0, False), "the plan trains nothing"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(plan: TrainPlan, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        chosen(plan)
    assert message in str(caught.value)
