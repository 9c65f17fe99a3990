"""Each rule of docs/cycle_model.md as a short sequence with its cycles."""

from __future__ import annotations

import pytest

from tinyir.machine import MachineInstr, cost, make, make_fp
from tinyir.machine.make import add, alu, load, mac, pack, setting_flags, shift, store
from tinyir.machine.timing import Port


def issued_apart(*code: MachineInstr) -> int:
    """Cycles between the issue of the first and of the last instruction."""
    return round(cost(code)) - round(cost(code[:1]))


@pytest.mark.parametrize(
    ("older", "younger", "pairs"),
    [
        (alu("a", "x"), alu("b", "x"), True),
        (alu("a", "x"), alu("b", "a"), False),
        (add("a", "x"), alu("b", "a"), True),  # early, then late ALU
        (mac("a", "x", "y"), mac("b", "x", "y"), False),
        (mac("a", "x", "y"), store("b", "p"), False),
        (store("b", "p"), mac("a", "x", "y"), False),
        (store("a", "p"), store("b", "p", offset=4), False),
        (load("a", "p"), store("b", "q"), True),
        (load("a", "p"), load("b", "p", offset=4), True),
        (load("a", "p"), load("b", "p", offset=8), False),  # one bank
        (load("a", "p"), load("b", "q"), True),  # not known: taken to differ
        (load("a", "p"), mac("b", "x", "y"), True),
        (pack("a", "x"), mac("b", "x", "y"), True),
        (mac("b", "x", "y"), pack("a", "x"), False),  # DSP is the older of a pair
        (pack("a", "x"), pack("b", "y"), False),
        (alu("a", "x", shifted="y"), alu("b", "x", shifted="y"), False),
        (make.pack_two("a", "x", "y"), alu("b", "x", shifted="y"), False),
        (alu("a", "x"), make.load_several(["b", "c"], "p", name="ldrd"), False),
        (make.load_several(["b", "c"], "p", name="ldrd"), alu("a", "x"), False),
        (make_fp.fp_sum("s0", "s1", "s2"), make_fp.fp_multiply("s3", "s4", "s5"), False),
        (make_fp.fp_load("s0", "p"), make_fp.fp_load("s1", "q"), True),
        (make_fp.fp_mac("s2", "s3", "s4"), make_fp.fp_load("s0", "p"), False),
        (make_fp.fp_sum("s2", "s3", "s4"), make_fp.fp_load("s0", "p"), True),
        (make_fp.fp_move("s2", None), make_fp.fp_move("s3", None), False),
        (make.branch(), make.branch(), False),
    ],
    ids=str,
)
def test_pairs(older: MachineInstr, younger: MachineInstr, pairs: bool) -> None:
    assert issued_apart(older, younger) == (0 if pairs else 1)


@pytest.mark.parametrize(
    ("producer", "consumer", "latency"),
    [
        (load("a", "p"), alu("b", "a"), 1),
        (load("a", "p"), pack("b", "a"), 1),
        (load("a", "p"), mac("b", "a", "x"), 2),
        (load("a", "p"), alu("b", "x", shifted="a"), 3),
        (load("a", "p"), alu("b", "a", shifted="x"), 2),
        (load("a", "p"), load("b", "a"), 3),
        (load("a", "p"), store("a", "q"), 0),
        (load("a", "p", bytes=1), alu("b", "a"), 2),
        (load("a", "p", bytes=1), mac("a", "x", "y"), 1),
        (load("a", "p", bytes=2), mac("b", "a", "x"), 2),
        (mac("a", "x", "y"), mac("a", "z", "y"), 1),  # accumulators chain
        (mac("a", "x", "y"), alu("b", "a"), 2),
        (mac("a", "x", "y"), make.saturate("b", "a"), 3),
        (alu("a", "x"), mac("b", "a", "x"), 1),
        (alu("a", "x"), mac("a", "x", "y"), 0),  # the accumulator is read a stage later
        (alu("a", "x"), alu("b", "x", shifted="a"), 2),
        (alu("a", "x"), load("b", "a"), 2),
        (add("a", "x"), load("b", "a"), 1),
        (pack("a", "x"), load("b", "a"), 2),
        (make.reverse("a", "x"), load("b", "a"), 2),
        (make.saturate("a", "x"), alu("b", "a"), 2),
        (make.saturate("a", "x"), store("a", "p"), 0),
        (load("a", "p", update=True, offset=4), load("b", "p"), 1),
        (make.divide("a", "x", "y"), alu("b", "a"), 1),
        (make_fp.fp_load("s0", "p"), make_fp.fp_sum("s1", "s0", "s1"), 1),
        (make_fp.fp_load("s0", "p"), make_fp.fp_to_core(("a",), ("s0",)), 2),
        (make_fp.fp_sum("s0", "s1", "s2"), make_fp.fp_sum("s3", "s0", "s2"), 3),
        (make_fp.fp_sum("s0", "s1", "s2"), make_fp.fp_store("s0", "p"), 1),
        (make_fp.fp_mac("s0", "s1", "s2", "vmla.f32"), make_fp.fp_mac("s0", "s1", "s2", "vmla.f32"), 3),
        (make_fp.fp_mac("s0", "s1", "s2"), make_fp.fp_mac("s0", "s3", "s2"), 3),
        (make_fp.fp_mac("s0", "s1", "s2"), make_fp.fp_multiply("s3", "s0", "s2"), 5),
        (make_fp.fp_mac("s0", "s1", "s2"), make_fp.fp_sum("s3", "s4", "s5"), 4),
        (make_fp.fp_from_core(("s0",), ("a",)), make_fp.fp_sum("s1", "s0", "s2"), 3),
    ],
    ids=str,
)
def test_latency(producer: MachineInstr, consumer: MachineInstr, latency: int) -> None:
    assert issued_apart(producer, consumer) == latency


def test_an_addition_as_the_younger_executes_late() -> None:
    assert issued_apart(add("a", "x"), alu("b", "a")) == 0
    assert issued_apart(alu("z", "x"), add("a", "x"), alu("b", "a")) == 1


def test_a_shift_may_be_the_younger_unless_the_shifter_is_taken() -> None:
    use = alu("b", "a")
    assert issued_apart(alu("z", "x"), shift("a", "x"), use) == 1
    free, taken = alu("z", "x"), alu("z", "x", shifted="y")
    address = load("b", "a")
    assert issued_apart(free, shift("a", "x"), address) == 1
    assert issued_apart(taken, shift("a", "x"), address) == 2


def test_flags_come_from_the_late_alu() -> None:
    compared = setting_flags(add("n", "n", name="subs"))
    assert issued_apart(compared, make.conditional(alu("a", "x"))) == 1


def test_several_registers_take_a_cycle_for_two() -> None:
    for registers, cycles in ((1, 1), (2, 1), (3, 2), (8, 4)):
        names = [f"r{i}" for i in range(registers)]
        assert cost([make.load_several(names, "p")]) == cycles
        assert cost([make.store_several(names, "p")]) == cycles


@pytest.mark.parametrize(("bytes", "cycles"), [(4, 1.0), (2, 2.0), (1, 2.4)])
def test_the_store_buffer_fills_up(bytes: int, cycles: float) -> None:
    assert cost([store("a", "p", bytes=bytes)], loop=True) == pytest.approx(cycles, abs=0.05)


def test_five_stores_of_bytes_do_not_wait() -> None:
    assert cost([store("a", "p", bytes=1)] * 5) == 5


def test_one_fetch_of_eight_bytes_a_cycle() -> None:
    wide = [make.no_operation("nop.w")] * 15 + [make.branch()]
    assert cost(wide, loop=True) == 8
    assert cost(wide, loop=True, address=4) == 9  # one group more
    narrow = [make.narrow(instr) for instr in wide]
    assert cost(narrow, loop=True, address=4) == 8


def test_data_of_stores_is_read_last() -> None:
    needs = store("a", "p").needs
    assert dict(needs) == {"a": Port.DATA, "p": Port.ADDRESS}
