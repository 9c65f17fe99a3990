"""Pages and gaps of what a program may touch: no byte in two places, none forgotten."""

import numpy as np
import pytest

from tinyir.runtime.image import PAGE_BYTES
from tinyir.runtime.memmap import gaps, pages
from tinyir.runtime.trace import Range, Span


def random_ranges(seed: int) -> list[Range]:
    random = np.random.default_rng(seed)
    at, ranges = 0x2000_0000, []
    for i in range(int(random.integers(1, 8))):
        at += int(random.choice([0, 4, 100, 1020, 1024, 5000]))
        size = int(random.choice([1, 4, 100, 1020, 1024, 3000]))
        ranges.append(Range(at, at + size, True, str(i)))
        at += size
    return [ranges[i] for i in random.permutation(len(ranges))]


@pytest.mark.parametrize("seed", range(50))
def test_pages_are_ranges_and_gaps(seed: int) -> None:
    ranges = random_ranges(seed)
    spans = [span for span, _ in pages(ranges)]
    assert all(span.begin % PAGE_BYTES == span.end % PAGE_BYTES == 0 for span in spans)
    mapped = [byte for span in spans for byte in range(*span)]
    assert len(mapped) == len(set(mapped))
    parts = [byte for r in ranges for byte in range(r.begin, r.end)]
    parts += [byte for gap, _ in gaps(ranges) for byte in range(*gap)]
    assert sorted(parts) == sorted(mapped)


def test_a_gap_is_as_writable_as_its_page() -> None:
    ranges = [Range(0x0800_0000, 0x0800_0010, False, "flash"), Range(0x2000_0000, 0x2000_0400, True, "arena")]
    assert list(gaps(ranges)) == [(Span(0x0800_0010, 0x0800_0400), False)]
