"""`Pipeline`, `cost` and `steady_state`: states that are copied, loops, branches."""

from __future__ import annotations

import itertools

import pytest

from tinyir.machine import MachineInstr, Pipeline, cost, make, steady_state
from tinyir.machine.make import add, branch, load, mac, setting_flags
from tinyir.machine.timing import MISPREDICTED, RESOLVED_EARLY


def block(rows: int, columns: int) -> list[MachineInstr]:
    """The loop of a dot product of `rows` x `columns` results, 8 deep, operands of 16 bits, loads first."""
    code: list[MachineInstr] = []
    for k in range(4):
        code += [load(f"w{i}", f"weights{i}", offset=4 * k) for i in range(rows)]
        code += [load(f"x{j}", f"inputs{j}", offset=4 * k) for j in range(columns)]
        code += [mac(f"a{i}{j}", f"w{i}", f"x{j}") for i, j in itertools.product(range(rows), range(columns))]
    code += [add("weights0", "weights0"), add("inputs0", "inputs0"), setting_flags(add("n", "n", name="subs"))]
    return [*code, branch()]


@pytest.mark.parametrize(("rows", "columns", "cycles"), [(1, 1, 14), (1, 2, 18), (2, 2, 27), (2, 3, 35)])
def test_inner_loops(rows: int, columns: int, cycles: int) -> None:
    """The table "as written" of m7prof's README, s16 x s16."""
    assert cost(block(rows, columns), loop=True) == cycles


def test_issue_gives_the_cycle() -> None:
    state = Pipeline()
    assert [state.issue(instr) for instr in (load("a", "p"), add("b", "c"), mac("s", "a", "b"))] == [0, 0, 2]
    assert state.cycle == 2


def test_a_copy_goes_its_own_way() -> None:
    state = Pipeline()
    state.issue(load("a", "p"))
    other = state.copy()
    assert other.key() == state.key()
    other.issue(mac("s", "a", "a"))
    assert (state.cycle, other.cycle) == (0, 2)
    assert state.issue(add("b", "c")) == 0


def test_straight_line_is_what_single_issues_add_up_to() -> None:
    code, state = block(2, 2), Pipeline()
    for instr in code:
        state.issue(instr)
    assert cost(code) == state.cycle + 1


def test_the_steady_state_does_not_depend_on_the_first_round() -> None:
    late = Pipeline()
    late.issue(make.divide("n", "x", "y"))
    late.take_branch(0)
    assert steady_state(block(2, 2), 0, late).cycles == steady_state(block(2, 2)).cycles


def test_a_misprediction_costs_more_when_the_flags_are_new() -> None:
    for between, penalty in ((0, MISPREDICTED), (6, RESOLVED_EARLY)):
        state = Pipeline()
        for instr in (make.compare("a"), *[make.no_operation()] * between, branch()):
            state.issue(instr)
        before = state.cycle
        state.mispredict(64)
        assert state.cycle - before == penalty


def test_a_taken_branch_ends_its_pair() -> None:
    state = Pipeline()
    state.issue(branch())
    state.take_branch(64)
    assert state.issue(make.no_operation()) == 1


def test_registers() -> None:
    instr = setting_flags(mac("s", "a", "b"))
    assert instr.mnemonic == "smlad"
    assert set(instr.reads) == {"a", "b", "s"} and set(instr.writes) == {"s", "flags"}
    assert instr.sets_flags and not mac("s", "a", "b").sets_flags
