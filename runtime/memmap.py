"""What a program on the emulator may touch: ranges of addresses, the pages they lie in, the gaps between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinyir.runtime.elf import Elf
from tinyir.runtime.image import PAGE_BYTES
from tinyir.runtime.trace import Range, Span
from tinyir.target import Memory

PAINT = b"\xd6\xa9\x3b\x5c"
"""What fills an unused stack, and memory that nobody may write."""

WORD = len(PAINT)


def ranges_of(elf: Elf) -> Iterator[Range]:
    """What the program may touch, from the symbols of m7.ld and the loaded segments."""
    symbol = elf.symbol
    yield Range(symbol("tinyir_stack_limit"), symbol("tinyir_stack_top"), True, "the stack")
    if "tinyir_arena" in elf.objects:
        yield Range(*elf.objects["tinyir_arena"], True, "the arena")
    for name in ("data", "bss"):
        span = Span(symbol(f"tinyir_{name}_start"), symbol(f"tinyir_{name}_end"))
        if span.begin < span.end:
            yield Range(*span, True, f".{name}")
    for segment in elf.segments:
        yield Range(segment.address, segment.address + len(segment.data), False, "the program in flash")


def pages(ranges: Sequence[Range]) -> Iterator[tuple[Span, bool]]:
    """The pages that the ranges touch, as spans that do not overlap, and whether they are writable."""
    merged: list[tuple[Span, bool]] = []
    for r in sorted(ranges):
        span = Span(down(r.begin), up(r.end))
        if merged and span.begin < merged[-1][0].end:
            last, writable = merged.pop()
            merged.append((Span(last.begin, max(last.end, span.end)), writable or r.writable))
        else:
            merged.append((span, r.writable))
    yield from merged


def gaps(ranges: Sequence[Range]) -> Iterator[tuple[Span, bool]]:
    """What lies in the pages of the ranges but in no range, and whether those pages are writable."""
    for page, writable in pages(ranges):
        at = page.begin
        for r in sorted(r for r in ranges if page.begin <= r.begin < page.end):
            if at < r.begin:
                yield Span(at, r.begin), writable
            at = max(at, r.end)
        if at < page.end:
            yield Span(at, page.end), writable


def paint(gap: Span) -> bytes:
    return (PAINT * ((gap.end - gap.begin) // WORD + 1))[: gap.end - gap.begin]


def inside(allowed: Range, memory: Memory) -> bool:
    return memory.origin <= allowed.begin and allowed.end <= memory.end


def down(address: int) -> int:
    return address & -PAGE_BYTES


def up(address: int) -> int:
    return -(-address // PAGE_BYTES) * PAGE_BYTES
