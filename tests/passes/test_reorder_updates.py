"""`reorder-updates`: a new value behind the last reader of the old one, and behind the loss."""

from __future__ import annotations

import pytest

from tests.passcheck import PassChecker
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.passes.manager import PassManager, parse_pipeline

HEAD = """func @train_step(%x: tensor<2xf32>, %lr: tensor<f32>, %w: tensor<2xf32>)
    attributes {state = [2], updates = [1], by_value = [1]} {
"""
UPDATE = "%new = train.sgd(%w, %x, %lr) : tensor<2xf32>\n"
READ = "%loss = nn.mul(%w, %x) : tensor<2xf32>\n"
OTHER = "%a = nn.tanh(%x) : tensor<2xf32>\n%b = nn.tanh(%a) : tensor<2xf32>\n"
END = "func.return(%loss, %new)\n}"


def test_an_update_goes_behind_readers_of_the_old_value(check_pass: PassChecker) -> None:
    check_pass(HEAD + UPDATE + READ + END, "reorder-updates", HEAD + READ + UPDATE + END)


def test_an_update_of_several_goes_behind_the_readers_of_all(check_pass: PassChecker) -> None:
    head = """func @train_step(%x: tensor<2xf32>, %lr: tensor<f32>, %w: tensor<2xf32>, %v: tensor<2xf32>)
        attributes {state = [2, 3], updates = [1, 2], by_value = [1]} {
    """
    both = "%a, %b = train.accept(%w, %v, %new, %x, %new) {states = 2} : tensor<2xf32>, tensor<2xf32>\n"
    read = "%other = nn.tanh(%v) : tensor<2xf32>\n"
    rest = "%last = nn.tanh(%other) : tensor<2xf32>\n"
    end = "func.return(%loss, %a, %b, %last)\n}"
    check_pass(
        head + UPDATE + both + READ + read + rest + end,
        "reorder-updates",
        head + UPDATE + READ + read + rest + both + end,
    )


def test_an_update_comes_no_later_than_it_must(check_pass: PassChecker) -> None:
    check_pass(HEAD + READ + OTHER + UPDATE + END, "reorder-updates", HEAD + READ + UPDATE + OTHER + END)


def test_an_update_in_its_place_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(HEAD + READ + UPDATE + OTHER + END, "reorder-updates")


def test_a_function_without_state_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        "func @main(%x: tensor<2xf32>) { %y = nn.tanh(%x) : tensor<2xf32> func.return(%y) }", "reorder-updates"
    )


def test_planning_refuses_what_was_not_reordered() -> None:
    module = parse(HEAD + UPDATE + READ + END, "late.tir")
    with pytest.raises(IRError, match="replaces the parameter `w`, which is read again"):
        PassManager(parse_pipeline("lower-to-loops,plan-memory")).run(module)
