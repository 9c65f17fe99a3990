"""The arena solver: every placement obeys the rules, tiny ones are optimal, and known cases come out as computed."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import pytest

from tests.passes.arena_cases import Case, network, random_case, training
from tinyir.passes.arena import ArenaError, Buffer, Overlap, Plan, plan, validate

SMALL_BUDGET = 300_000


def may_share(one: Buffer, two: Buffer, overlaps: list[Overlap], offsets: dict[str, int]) -> bool:
    """Whether the overlaps of a pair permit its displacement; written from their definition alone."""
    entries = [o for o in overlaps if {o.source, o.result} == {one.name, two.name}]
    deltas = [(o, offsets[o.result] - offsets[o.source]) for o in entries]
    return bool(entries) and all(d < o.below or d > o.above or (o.same and d == 0) for o, d in deltas)


def check_bytes(buffers: list[Buffer], overlaps: list[Overlap], found: Plan) -> None:
    """Step by step, a map from each byte to the buffers that hold it."""
    offsets = dict(found.offsets)
    for step in range(min(b.first for b in buffers), max(b.last for b in buffers) + 1):
        holders: dict[int, list[Buffer]] = {}
        for b in buffers:
            if b.first <= step <= b.last:
                for byte in range(offsets[b.name], offsets[b.name] + b.bytes):
                    holders.setdefault(byte, []).append(b)
        crowds = {tuple(crowd) for crowd in holders.values()}
        for one, two in {pair for crowd in crowds for pair in combinations(crowd, 2)}:
            assert may_share(one, two, overlaps, offsets), (step, one, two, offsets)


def check_plan(case: Case, found: Plan) -> None:
    buffers, overlaps = case
    check_bytes(buffers, overlaps, found)
    validate(buffers, overlaps, found.offsets)
    assert all(found.offsets[b.name] % b.align == 0 and found.offsets[b.name] >= 0 for b in buffers)
    assert found.peak == max(found.offsets[b.name] + b.bytes for b in buffers)
    assert found.lower_bound <= found.peak
    assert found.proven == (found.lower_bound == found.peak)


def live_sums(buffers: list[Buffer]) -> list[int]:
    return [sum(b.bytes for b in buffers if b.first <= step <= b.last) for step in range(64)]


@pytest.mark.parametrize("seed", range(40))
def test_random_buffers(seed: int) -> None:
    case = random_case(seed, 12 + seed, 6 + seed // 2, 60, aligns=(1, 4, 8) if seed % 2 else (1,))
    found = plan(*case, budget=SMALL_BUDGET)
    check_plan(case, found)
    assert found.lower_bound >= max(live_sums(case[0]))


@pytest.mark.parametrize("seed", range(60))
def test_random_buffers_with_overlaps(seed: int) -> None:
    case = random_case(seed, 6 + seed // 2, 4 + seed // 4, 50, aligns=(1, 4, 8) if seed % 3 else (1,), share=0.5)
    check_plan(case, plan(*case, budget=SMALL_BUDGET))


@pytest.mark.parametrize("seed", range(12))
def test_networks_are_proven(seed: int) -> None:
    buffers, overlaps = network(seed, 60)
    found = plan(buffers, overlaps)
    validate(buffers, overlaps, found.offsets)
    assert found.proven and found.peak <= max(live_sums(buffers))


@pytest.mark.parametrize("seed", range(4))
def test_training_programs_come_close_to_their_bound(seed: int) -> None:
    buffers, overlaps = training(seed, 60)
    found = plan(buffers, overlaps)
    validate(buffers, overlaps, found.offsets)
    assert found.gap < 0.02


def least_peak(buffers: list[Buffer], overlaps: list[Overlap]) -> int:
    """The smallest peak, by trying every offset of every buffer."""
    best = sum(b.bytes + b.align for b in buffers)
    offsets: dict[str, int] = {}

    def fits(b: Buffer, other: Buffer) -> bool:
        apart = b.last < other.first or other.last < b.first or not b.bytes or not other.bytes
        low, high = offsets[b.name], offsets[other.name]
        return apart or low + b.bytes <= high or high + other.bytes <= low or may_share(b, other, overlaps, offsets)

    def place(index: int, peak: int) -> None:
        nonlocal best
        if index == len(buffers):
            best = min(best, peak)
            return
        b = buffers[index]
        for offset in range(0, best - b.bytes, b.align):
            offsets[b.name] = offset
            if max(peak, offset + b.bytes) < best and all(fits(b, other) for other in buffers[:index]):
                place(index + 1, max(peak, offset + b.bytes))

    place(0, 0)
    return best


@pytest.mark.parametrize("seed", range(120))
def test_tiny_problems_are_optimal(seed: int) -> None:
    buffers, overlaps = random_case(
        seed, 3 + seed % 4, 3 + seed % 2, 6, aligns=(1, 2, 4) if seed % 3 == 0 else (1,), share=0.7 * (seed % 5 > 0)
    )
    found = plan(buffers, overlaps)
    check_plan((buffers, overlaps), found)
    assert found.proven and found.peak == least_peak(buffers, overlaps)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_another_solver(seed: int) -> None:
    cp_model = pytest.importorskip("ortools.sat.python.cp_model", reason="ortools is not installed")
    buffers, overlaps = random_case(seed, 14, 10, 40, aligns=(1, 4), share=0.5)
    found = plan(buffers, overlaps)
    model = cp_model.CpModel()
    top = model.new_int_var(0, found.peak, "top")
    at = {b.name: b.align * model.new_int_var(0, found.peak, b.name) for b in buffers}
    for b in buffers:
        model.add(at[b.name] + b.bytes <= top)
    for one, two in combinations(buffers, 2):
        entries = [o for o in overlaps if {o.source, o.result} == {one.name, two.name}]
        if one.last < two.first or two.last < one.first or not one.bytes or not two.bytes:
            continue
        cases = [model.new_bool_var("") for _ in range(2 + bool(entries))]
        model.add_bool_or(cases)
        model.add(at[one.name] + one.bytes <= at[two.name]).only_enforce_if(cases[0])
        model.add(at[two.name] + two.bytes <= at[one.name]).only_enforce_if(cases[1])
        for o in entries:
            delta = at[o.result] - at[o.source]
            sides = [model.new_bool_var("") for _ in range(2 + o.same)]
            model.add(delta < o.below).only_enforce_if(sides[0])
            model.add(delta > o.above).only_enforce_if(sides[1])
            if o.same:
                model.add(delta == 0).only_enforce_if(sides[2])
            model.add_bool_or(sides).only_enforce_if(cases[2])
    model.minimize(top)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = 20
    solver.parameters.num_workers = 2
    assert solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    assert found.lower_bound <= solver.objective_value
    assert solver.best_objective_bound <= found.peak
    assert not found.proven or found.peak == solver.objective_value


def test_no_buffers() -> None:
    assert plan([]) == Plan({}, 0, 0, None, "first fit, largest first")


def test_empty_buffers_take_no_room() -> None:
    buffers = [Buffer("none", 0, 4, 0, 9), Buffer("x", 10, 1, 0, 2), Buffer("nil", 0, 1, 0, 2)]
    found = plan(buffers)
    check_plan((buffers, []), found)
    assert found.peak == 10 and found.proven


def test_identical_lives_do_not_share() -> None:
    """TinyEngine's allocator gives two tensors with the same first and last step the same address."""
    buffers = [Buffer(name, 16, 8, 1, 2) for name in "abc"]
    found = plan(buffers)
    assert found.peak == 48 and sorted(found.offsets.values()) == [0, 16, 32]


def test_elementwise_chain_in_place() -> None:
    buffers = [Buffer(f"t{i}", 100, 4, i, i + 1) for i in range(8)]
    overlaps = [Overlap(f"t{i}", f"t{i + 1}", -99, 99, True) for i in range(7)]
    found = plan(buffers, overlaps)
    assert found.peak == 100 and found.proven and set(found.offsets.values()) == {0}
    assert plan(buffers).peak == 200


def test_depthwise_in_place_with_a_row_of_scratch() -> None:
    buffers = [Buffer("x", 18_432, 8, 0, 1), Buffer("scratch", 386, 8, 1, 1), Buffer("y", 18_432, 8, 1, 2)]
    found = plan(buffers, [Overlap("x", "y", -18_431, 18_431, True)])
    assert found.peak == 18_432 + 386 and found.proven and found.peak_step == 1
    assert found.offsets == {"x": 0, "scratch": 18_432, "y": 0}


def test_residual_add_over_either_input() -> None:
    """The sum may lie over the skip, which lives through the whole branch, or over the end of the branch."""
    buffers = [
        Buffer("skip", 1000, 4, 0, 3),
        Buffer("wide", 2000, 4, 1, 2),
        Buffer("branch", 1000, 4, 2, 3),
        Buffer("sum", 1000, 4, 3, 4),
        Buffer("other", 2000, 4, 3, 4),
    ]
    overlaps = [Overlap("skip", "sum", -999, 999, True), Overlap("branch", "sum", -999, 999, True)]
    found = plan(buffers, overlaps)
    check_plan((buffers, overlaps), found)
    assert found.peak == 4000 and found.proven and found.peak_step == 2
    assert found.offsets["sum"] in (found.offsets["skip"], found.offsets["branch"])
    assert plan(buffers).peak == 5000


def test_expanding_pointwise_overlaps_diagonally() -> None:
    """48 x 48 pixels, 8 channels to 16: pixel p is written to 16 p once 8 p .. 8 p + 7 are read."""
    buffers = [Buffer("x", 18_432, 8, 0, 1), Buffer("y", 36_864, 8, 1, 2)]
    found = plan(buffers, [Overlap("x", "y", -18_431, 18_431, False)])
    assert found.peak == 36_864 and found.proven
    assert found.offsets == {"x": 18_432, "y": 0}


def test_diagonals_line_up_along_a_chain() -> None:
    """Every result starts 96 bytes below its source, so the first of six must start 480 bytes up."""
    buffers = [Buffer(f"t{i}", 9600, 4, i, i + 1) for i in range(6)]
    overlaps = [Overlap(f"t{i}", f"t{i + 1}", -95, 9599, False) for i in range(5)]
    found = plan(buffers, overlaps)
    check_plan((buffers, overlaps), found)
    assert found.peak == 9600 + 5 * 96
    assert found.proven and found.lower_bound > 9600 + 96, "one step needs 9,696 bytes; the search proves the rest"


def test_scratch_of_one_step_lies_in_dead_room() -> None:
    buffers = [Buffer("x", 100, 1, 0, 1), Buffer("y", 60, 1, 1, 2), Buffer("s", 30, 1, 2, 2), Buffer("z", 70, 1, 2, 3)]
    found = plan(buffers)
    check_plan((buffers, []), found)
    assert found.peak == 160 and found.peak_step == 1 and found.offsets["s"] < 160


def test_odd_sizes_on_multiples_of_eight() -> None:
    buffers = [Buffer("a", 13, 8, 0, 1), Buffer("b", 7, 8, 0, 1), Buffer("c", 9, 8, 0, 1)]
    found = plan(buffers)
    check_plan((buffers, []), found)
    assert found.peak == 33 and found.proven, "16 + 8 + 9, with either long one on top"


def test_mixed_alignments_need_the_right_order() -> None:
    buffers = [Buffer("bytes", 3, 1, 0, 0), Buffer("words", 8, 4, 0, 0), Buffer("more", 5, 1, 0, 0)]
    found = plan(buffers)
    assert found.peak == 16 and found.proven and found.offsets["words"] % 4 == 0


def test_below_above_above_permits_everything() -> None:
    buffers = [Buffer("x", 50, 1, 0, 1), Buffer("y", 20, 1, 1, 2)]
    assert plan(buffers, [Overlap("x", "y", 1, 0, False)]).peak == 50


def test_disjoint_is_always_permitted() -> None:
    buffers = [Buffer("x", 50, 1, 0, 1), Buffer("y", 20, 1, 1, 2)]
    assert plan(buffers, [Overlap("x", "y", -1000, 1000, False)]).peak == 70


def test_same_is_permitted_between_the_limits() -> None:
    buffers = [Buffer("x", 50, 1, 0, 1), Buffer("y", 20, 1, 1, 2), Buffer("z", 20, 1, 1, 1)]
    overlaps = [Overlap("x", "y", -19, 49, True), Overlap("x", "z", -19, 39, False)]
    found = plan(buffers, overlaps)
    check_plan((buffers, overlaps), found)
    assert found.offsets["y"] == found.offsets["x"] and found.peak == 60 and found.proven


def test_two_entries_of_a_pair_both_hold() -> None:
    """x + x: the sum must suit either reading of x."""
    buffers = [Buffer("x", 50, 1, 0, 1), Buffer("y", 50, 1, 1, 2)]
    entries = [Overlap("x", "y", -9, 49, False), Overlap("x", "y", -49, -5, True)]
    assert plan(buffers, entries[:1]).peak == 60
    assert plan(buffers, entries).peak == 100


def test_graph_inputs_before_the_first_step() -> None:
    buffers = [Buffer("x", 8, 8, -1, 0), Buffer("w", 8, 8, -1, 5), Buffer("y", 8, 8, 0, 5)]
    assert plan(buffers).peak == 24


def test_two_hundred_buffers_within_the_budget() -> None:
    case = random_case(5, 200, 60, 1000, share=0.3)
    found = plan(*case, budget=0)
    validate(*case, found.offsets)
    better = plan(*case, budget=SMALL_BUDGET)
    validate(*case, better.offsets)
    assert found.lower_bound <= better.lower_bound <= better.peak <= found.peak


def test_same_plan_whatever_the_hash_seed() -> None:
    program = (
        "from tests.passes.arena_cases import random_case\nfrom tinyir.passes.arena import plan\n"
        "print(plan(*random_case(7, 40, 20, 500, (1, 8), 0.4), budget=100_000))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in "12"
    ]
    assert runs[0].stdout == runs[1].stdout != b""


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ({"x": 0, "y": 0, "z": 8}, "'x' (8 B at 0) and 'y' (8 B at 0) are displaced by 0, which"),
        ({"x": 8, "y": 4, "z": 4}, "'y' (8 B at 4) and 'z' (4 B at 4) share bytes and are alive together"),
        ({"x": 8, "y": 2, "z": 12}, "'y' at 2 is not at a multiple of 4"),
        ({"x": 8, "y": -4, "z": 12}, "'y' at -4 is not at a multiple of 4"),
        ({"x": 8, "y": 4}, "'z' has no offset"),
    ],
)
def test_validate_names_what_is_wrong(offsets: dict[str, int], message: str) -> None:
    buffers = [Buffer("x", 8, 4, 0, 1), Buffer("y", 8, 4, 1, 2), Buffer("z", 4, 4, 2, 3)]
    overlaps = [Overlap("x", "y", -3, 7, False)]
    validate(buffers, overlaps, {"x": 8, "y": 4, "z": 12})
    with pytest.raises(ArenaError) as error:
        validate(buffers, overlaps, offsets)
    assert str(error.value).startswith(message)


def test_an_overlap_with_a_source_that_is_needed_later_is_refused() -> None:
    buffers = [Buffer("x", 8, 4, 0, 2), Buffer("y", 8, 4, 1, 2)]
    overlaps = [Overlap("x", "y", -3, 7, True)]
    with pytest.raises(ArenaError, match="'x' is still needed after 'y' is begun"):
        plan(buffers, overlaps)
    with pytest.raises(ArenaError, match="share bytes for longer than the one step"):
        validate(buffers, overlaps, {"x": 0, "y": 0})


@pytest.mark.parametrize(
    ("buffers", "overlaps", "message"),
    [
        ([Buffer("x", 8, 4, 0, 1), Buffer("x", 8, 4, 2, 3)], [], "two buffers are called 'x'"),
        ([Buffer("x", 8, 3, 0, 1)], [], "an alignment that is no power of two"),
        ([Buffer("x", -8, 4, 0, 1)], [], "a negative size"),
        ([Buffer("x", 8, 4, 1, 0)], [], "a life of no step"),
        ([Buffer("x", 8, 4, 0, 1)], [Overlap("x", "y", 0, 0, True)], "names no buffer 'y'"),
        ([Buffer("x", 8, 4, 0, 0)], [Overlap("x", "x", 0, 0, True)], "'x' is still needed after 'x' is begun"),
    ],
)
def test_senseless_problems_are_refused(buffers: list[Buffer], overlaps: list[Overlap], message: str) -> None:
    with pytest.raises(ArenaError, match=message):
        plan(buffers, overlaps)
