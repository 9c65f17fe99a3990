"""Targets as data: regions, flags, and the message for a name that is not one."""

import itertools

import pytest

from tinyir.diagnostics import UsageError
from tinyir.target import KIB, MIB, TARGETS, get_target


def test_regions_that_touch_are_one() -> None:
    board = get_target("stm32f746g-disco")
    assert (board.ram.origin, board.ram.length) == (0x2000_0000, 320 * KIB)
    assert (board.flash.origin, board.flash.end) == (0x0800_0000, 0x0800_0000 + MIB)


@pytest.mark.parametrize("name", TARGETS)
def test_regions_do_not_overlap(name: str) -> None:
    memories = sorted(get_target(name).memories, key=lambda m: m.origin)
    assert all(a.end <= b.origin for a, b in itertools.pairwise(memories))


def test_an_unknown_name_gets_the_closest_known_one() -> None:
    with pytest.raises(UsageError) as caught:
        get_target("stm32f746-disco")
    assert caught.value.render() == "error: unknown target `stm32f746-disco`\nhelp: did you mean `stm32f746g-disco`?"


def test_the_host_has_no_memory_map() -> None:
    host = get_target("host")
    assert host.is_host
    with pytest.raises(UsageError, match="has no ram"):
        _ = host.ram


def test_single_precision_fpu_only() -> None:
    """`fp_armv8d16` without `sp` would let clang use double-precision instructions, which an STM32F746 lacks."""
    for target in TARGETS.values():
        assert not any(flag.endswith("+fp_armv8d16") for flag in target.flags("zig"))
