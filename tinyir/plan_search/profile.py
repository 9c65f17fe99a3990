"""What a program that trains keeps in the arena over time, in a form that can be put together for several plans.

Time is cut into windows that programs of all plans share: one for each op of the model on the way forward, one for the
loss, one for each op on the way back. In a window the arena holds what was saved for later (inputs and bits that the
gradients need), and the rest, which is what the kernels there read, write and use as scratch.

A program that trains what several plans train saves what each of them saves, and its kernels need no less than those of
each. So the largest sum over the windows bounds its arena from below. That is no law: kernels may be fused otherwise
when more is trained. `search` watches whether a program is smaller than its bound, and then claims no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import Loc
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.training import STEP
from tinyir.ir.views import view_root
from tinyir.passes.arena_bound import step_needs
from tinyir.passes.arena_fit import Work
from tinyir.passes.arena_problem import make_problem
from tinyir.passes.plan_memory import ArenaProblem
from tinyir.train_plan import Layer

Bytes = npt.NDArray[np.int64]

WHOLE = "whole"

WORK = 200_000
"""What the bounds of single steps may cost, in clashes looked at; later ones are then less tight."""


@dataclass(frozen=True)
class Saved:
    """Bytes kept for the gradients: the tensor they are part of ("" without a name), which part (`WHOLE`, bits, or
    the layer that channels are for), the size of that and of the whole tensor, and the windows between which they are
    kept, both excluded."""

    tensor: str
    part: str
    bytes: int
    whole: int
    first: int
    last: int


@dataclass(frozen=True)
class Moment:
    """One kernel call: its window, the bytes that it needs, and which saved parts are still kept then, by position."""

    window: int
    need: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """What a program saves, the bytes of each window beside what is kept throughout, and its calls."""

    saved: tuple[Saved, ...]
    rest: tuple[int, ...]
    moments: tuple[Moment, ...] = ()

    def beside(self, windows: range, tensor: str) -> Profile:
        """What the call that needs most in each window needs: parts of `tensor` that are kept then, and the rest but
        for what is saved."""
        rest = [0] * len(self.rest)
        kept = []
        for window in windows:
            here = [moment for moment in self.moments if moment.window == window]
            if here:
                most = max(here, key=lambda moment: moment.need)
                saved = [self.saved[k] for k in most.kept]
                rest[window] = most.need - sum(entry.bytes for entry in saved)
                kept += [replace(s, first=window - 1, last=window + 1) for s in saved if s.tensor == tensor]
        return Profile(tuple(kept), tuple(rest))


class Places:
    """The windows of a model: its ops in order."""

    def __init__(self, func: Func) -> None:
        self._ops = list(func.ops)
        self.count = len(self._ops)
        self._of: dict[object, int] = {}
        for i, op in enumerate(func.ops):
            for key in _keys(op.loc):
                self._of.setdefault(key, i)

    @property
    def windows(self) -> int:
        """How many windows there are: forward, loss, backward."""
        return 2 * self.count + 1

    def back_to(self, op: Op, last: Op | None) -> range:
        """The windows in which gradients go back to `op`, and on to before `last`, an op before it."""
        end = self.windows if last is None else 2 * self.count - self._ops.index(last)
        return range(2 * self.count - self._ops.index(op), end)

    def of(self, loc: Loc) -> list[int]:
        """The ops of the model that something was made from."""
        return [self._of[key] for key in _keys(loc) if key in self._of]


def _keys(loc: Loc) -> list[object]:
    if loc.sources:
        return [source.name for source in loc.sources]
    return [loc.text.line] if loc.text is not None else []


def bypassed(func: Func, all_layers: Sequence[Layer], layer: Layer) -> int:
    """The last layer from which on back every path around `layer` has its gradient: that before the values that ops
    ahead of it and behind it read, or the one before it where there are none; -1 where that is the input."""
    ops = list(func.ops)
    here = ops.index(layer.op)
    made = [layer.index - 1]
    for value in (*func.args, *(result for op in ops[:here] if not isinstance(op, Const) for result in op.results)):
        if any(ops.index(user) > here for user in value.users):
            at = ops.index(value.defining_op) if value.defining_op is not None else -1
            made.append(max((other.index for other in all_layers if ops.index(other.op) <= at), default=-1))
    return min(made)


def profile_of(module: Module, places: Places) -> Profile:
    """The profile of a planned module, whose ops were made from those of `places`."""
    step = module.funcs[STEP]
    arena = ArenaProblem(module, step)
    loss = step.outputs[0].defining_op
    turn = next(i for i, call in enumerate(arena.calls) if call is loss)
    windows = _windows(arena.calls, turn, places)
    saved, lives = _saved(arena, turn, windows)
    through = np.zeros(places.windows, np.int64)
    for entry in saved:
        through[entry.first + 1 : entry.last] += entry.bytes
    rest = np.zeros(places.windows, np.int64)
    moments = []
    problem = make_problem(arena.buffers, arena.overlaps)
    for t, need in step_needs(problem, Work(WORK)).items():
        window = windows[max(t, 0)]
        kept = tuple(k for k, life in enumerate(lives) if t in life)
        rest[window] = max(rest[window], need - through[window] - _instead(saved, kept, window))
        moments.append(Moment(window, need, kept))
    return Profile(saved, tuple(map(int, rest)), tuple(moments))


def _instead(saved: Sequence[Saved], kept: Sequence[int], window: int) -> int:
    """Bytes for which the rest of a window may have stood in: those of bits, at most, of tensors that are kept to there
    or from there. Another program may be known to keep the bits throughout."""
    own = (saved[k] for k in kept if not saved[k].first < window < saved[k].last)
    return sum(-(-entry.bytes // 8) for entry in own if entry.part == WHOLE)


def _windows(calls: Sequence[LoopCall], turn: int, places: Places) -> list[int]:
    """The window of each call; what comes from nowhere is where the call before it is."""
    windows: list[int] = []
    at = 0
    for i, call in enumerate(calls):
        found = places.of(call.loc)
        if i < turn:
            at = max([at, *found])
        elif i == turn:
            at = places.count
        elif found:
            at = max(at, 2 * places.count - min(found))
        windows.append(at)
    return windows


def _saved(arena: ArenaProblem, turn: int, windows: Sequence[int]) -> tuple[tuple[Saved, ...], list[range]]:
    """What forward calls make and calls behind the loss read, and the steps in which each is kept."""
    saved, lives = [], []
    for value in arena.names:
        made = value.defining_op
        first = arena.step[made] if isinstance(made, LoopCall) else 0
        last = arena.last_use(value)
        if first < turn < last < len(windows):
            source, part = _origin(arena, value)
            sizes = value.type.bytes, source.type.bytes
            saved.append(Saved(source.name, part, *sizes, windows[first], windows[last]))
            lives.append(range(first, last + 1))
    return tuple(saved), lives


def _origin(arena: ArenaProblem, value: Value) -> tuple[Value, str]:
    """The tensor that `value` is a part of, and which part: bits of it, or channels for some layer. Itself, if none."""
    made = value.defining_op
    roots = [view_root(v) for v in made.operands] if isinstance(made, LoopCall) else []
    sources = [root for root in roots if root in arena.names]
    if len(sources) != 1 or sources[0].type.bytes <= value.type.bytes or not (not value.name or ".bits" in value.name):
        return value, WHOLE
    return sources[0], "bits" if value.name else str(made and made.loc)


class Ledger:
    """Profiles as arrays, so that those of several plans are put together by taking the larger in each place. What has
    no name is left out: it cannot be told whether two programs save the same.

    Columns are windows, and windows again: the rest of a program alone, and what is needed beside others, count apart.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        saved = [s for profile in profiles for s in profile.saved if s.tensor]
        rows = sorted({(s.tensor, s.part) for s in saved})
        self.windows = max(len(profile.rest) for profile in profiles)
        tensors = sorted({tensor for tensor, _ in rows})
        self.row = {key: i for i, key in enumerate(rows)}
        self.starts = np.array([next(i for i, row in enumerate(rows) if row[0] == t) for t in tensors], np.intp)
        sizes = {s.tensor: s.whole for s in saved}
        self.whole = np.array([sizes[t] for t in tensors], np.int64)[:, None]
        self.tensor_of = np.array([tensors.index(t) for t, _ in rows], np.intp)

    def entry(self, profile: Profile) -> Bytes:
        """The bytes of each saved part in each window; the last row is the rest."""
        table = np.zeros((len(self.row) + 1, 2, self.windows), np.int64)
        self._fill(table[:-1], profile)
        table[-1, 0, : len(profile.rest)] = profile.rest
        return table.reshape(len(table), -1)

    def entry_beside(self, profile: Profile) -> Bytes:
        """The same for what is needed beside others."""
        table = np.zeros((len(self.row) + 1, 2, self.windows), np.int64)
        self._fill(table[:-1, 1:], profile)
        table[-1, 1, : len(profile.rest)] = profile.rest
        return table.reshape(len(table), -1)

    def _fill(self, table: Bytes, profile: Profile) -> None:
        for s in profile.saved:
            if s.tensor:
                span = table[self.row[s.tensor, s.part], :, s.first + 1 : s.last]
                np.maximum(span, s.bytes, out=span)

    def needs(self, table: Bytes) -> Bytes:
        """The bytes of each window. Parts of a tensor take no more than the whole of it."""
        if not len(self.row):
            return np.asarray(table[-1])
        saved = np.minimum(np.add.reduceat(table[:-1], self.starts, axis=0), self.whole)
        return np.asarray(saved.sum(axis=0) + table[-1])
