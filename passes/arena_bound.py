"""A lower bound of the peak: what one step's buffers need when they have the arena to themselves."""

from __future__ import annotations

from dataclasses import replace

from tinyir.passes.arena_fit import Work, first_fits
from tinyir.passes.arena_problem import Problem, align_up
from tinyir.passes.arena_search import close_gap

MIXED_ALIGNMENTS_SOLVED = 8
"""Up to so many buffers of different alignments, a step is solved exactly; beyond, its bound may be a few bytes low."""
STEP_WORK = 50_000
"""What the exact solution of one step may cost; a bound that is not proved by then is left out."""


def step_bound(problem: Problem, work: Work) -> tuple[int, int | None]:
    """The most that any step needs by itself, and the first step that needs it (None without buffers)."""
    best: tuple[int, int | None] = (0, None)
    sets = problem.live_sets
    at_most = {step: sum(align_up(problem.sizes[k], problem.aligns[k]) for k in alive) for step, alive in sets.items()}
    for step in sorted(sets, key=lambda step: (-at_most[step], step)):
        if at_most[step] < best[0]:
            break
        need = _needed(problem.restricted(sets[step]), work)
        if best[1] is None or (need, -step) > (best[0], -best[1]):
            best = need, step
    return best


def step_needs(problem: Problem, work: Work) -> dict[int, int]:
    """What each step at which a buffer is begun needs by itself, or a lower bound of that."""
    return {step: _needed(problem.restricted(alive), work) for step, alive in problem.live_sets.items()}


def _needed(step: Problem, work: Work) -> int:
    """A lower bound of the peak of the buffers of one step; exact but for many buffers of mixed alignments.

    A buffer that must be disjoint from all the others can be taken out, and what lies above it moved down: the peak
    is the sum of such buffers and of the least peak of the rest. Only the least of the alignments outlives the move;
    sizes can be rounded up to that, except the size of whatever lies on top.
    """
    unit = min(step.aligns)
    apart, rest = _split(step)
    sizes = [step.sizes[k] for k in apart]
    if rest:
        part = step.restricted(rest)
        sizes.append(_least(replace(part, aligns=(unit,) * len(rest)), max(part.sizes), work))
    rounded = [align_up(size, unit) for size in sizes]
    need = sum(rounded) - max(up - size for up, size in zip(rounded, sizes, strict=True))
    mixed = max(step.aligns) > unit
    return _least(step, need, work) if mixed and len(step.sizes) <= MIXED_ALIGNMENTS_SOLVED else need


def _split(step: Problem) -> tuple[list[int], list[int]]:
    """The buffers that must be disjoint from every other one, and the rest."""
    others = [len(step.sizes) - 1] * len(step.sizes)
    for clash in step.clashes:
        if step.is_disjoint(clash):
            others[clash.a] -= 1
            others[clash.b] -= 1
    return [k for k, n in enumerate(others) if not n], [k for k, n in enumerate(others) if n]


def _least(problem: Problem, bound: int, work: Work) -> int:
    """The least peak of a small problem, or the best bound that a share of the work proves."""
    mine = work.part(STEP_WORK)
    bound = close_gap(problem, first_fits(problem, bound, mine)[0], bound, mine)[1]
    work.left += mine.left
    return bound
