"""Groups of ops that become one kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.diagnostics import fuse_locs
from tinyir.ir.core import Block, Func, Module, Op
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Fused, Yield
from tinyir.ir.rewrite import replace_op
from tinyir.passes.registry import Pass

GROUPED = (Trait.CONTRACTION, Trait.WINDOW, Trait.DATA_MOVEMENT, Trait.ELEMENTWISE)


@dataclass(frozen=True)
class FuseOps(Pass):
    """Put an op and the elementwise ops that finish its elements into one `kernel.fused` region.

        %0 = int.conv2d(...)           %0 = kernel.fused(...) region(...) {
        %1 = int.requantize(%0, ...)     %a = int.conv2d(...)
        %2 = int.add(%1, %skip)    ->    %b = int.requantize(%a, ...)
                                         %c = int.add(%b, %skip)
                                         kernel.yield(%c)
                                       }

    A group has at most one op that makes loops of its own (a contraction, a window, a copy); what follows it element by
    element joins, and so does elementwise work on the other operands of what joined (the rescaled skip of a residual
    addition). A result wider than its operands (an int8 tensor less its zero point) is computed again for each reader
    rather than stored. An update of state, with one result or several, takes in all that it alone is made of, however
    many ops: what is remembered of a weight changes in the kernel of its gradient, and no gradient is stored.

    Needs: nothing.  Leaves: groups whose inner values have one reader, in the group of an update perhaps several.
    Skips a value with a second reader outside the group, because it must be stored anyway, and views.
    """

    name: ClassVar[str] = "fuse-ops"
    max_ops: int = 16

    def run(self, module: Module) -> dict[str, int]:
        groups = copies = 0
        for func in module.funcs.values():
            copies += _repeat_widenings(func)
            for members in _Grouping(func, self.max_ops).groups():
                _make_group(func, members)
                groups += 1
        return {"groups": groups, "repeated ops": copies}


class _Grouping:
    """Assigns ops to groups in program order. A group is a list of ops; its last one is its tail."""

    def __init__(self, func: Func, max_ops: int) -> None:
        self.max_ops = max_ops
        self.position = {op: i for i, op in enumerate(func.ops)}
        self.of: dict[Op, list[Op]] = {}
        for op in reversed(func.ops):
            if op.has(Trait.UPDATE) and op not in self.of:
                group = self._made_of(op)
                self.of |= dict.fromkeys(group, group)
        for op in func.ops:
            if op not in self.of and len(op.results) == 1 and any(op.has(trait) for trait in GROUPED):
                self._place(op)

    def groups(self) -> list[list[Op]]:
        """The groups of more than one op, each in program order."""
        unique = {id(group): group for group in self.of.values()}
        return [sorted(group, key=self.position.__getitem__) for group in unique.values() if len(group) > 1]

    def _place(self, op: Op) -> None:
        """Join `op` to the group that feeds it last, with what the others have to give; else begin a group."""
        feeding = self._feeding_groups(op)
        if not op.has(Trait.ELEMENTWISE) or not feeding:
            self.of[op] = [op]
            return
        host = max(feeding, key=lambda group: (_has_loops(group), self.position[group[0]]))
        taken = [member for group in feeding if group is not host for member in _surplus(group)]
        if len(host) + len(taken) + 1 > self.max_ops:
            self.of[op] = [op]
            return
        for member in taken:
            self.of[member].remove(member)
        host += [*taken, op]
        for member in (*taken, op):
            self.of[member] = host

    def _made_of(self, update: Op) -> list[Op]:
        """The ops that compute an update element by element, and nothing else, with one at most that has loops."""
        group = [update]
        reached = [update]
        for op in reached:
            for source in (value.defining_op for value in op.operands):
                if source is None or source in group or len(source.results) != 1 or _space(source) != _space(update):
                    continue
                if all(user in reached for user in source.result.users) and any(source.has(t) for t in GROUPED):
                    if source.has(Trait.ELEMENTWISE):
                        reached.append(source)
                    elif _has_loops(group):
                        continue
                    group.append(source)
        return group

    def _feeding_groups(self, op: Op) -> list[list[Op]]:
        """The groups whose tail `op` alone reads, element by element."""
        found: list[list[Op]] = []
        for value in op.operands:
            source = value.defining_op
            group = self.of.get(source) if source is not None else None
            if group is None or group in found or source is not group[-1]:
                continue
            if _only_user(source) is op and _space(source) == _space(op):
                found.append(group)
        return found


def _has_loops(group: list[Op]) -> bool:
    """Whether a group has an op that is more than elementwise."""
    return any(not op.has(Trait.ELEMENTWISE) for op in group)


def _surplus(group: list[Op]) -> list[Op]:
    """What of a group the reader of its tail should compute itself: all of it if it is elementwise; else the ops after
    its narrowest result, so that no wider one is stored."""
    if not _has_loops(group):
        return list(group)
    chain = [group[-1]]
    while chain[0].has(Trait.ELEMENTWISE):
        inner = [v.defining_op for v in chain[0].operands if v.defining_op in group]
        if len(inner) != 1 or inner[0] is None:
            break
        chain.insert(0, inner[0])
    narrowest = min(range(len(chain)), key=lambda i: (chain[i].type.bytes, -i))
    return chain[narrowest + 1 :]


def _only_user(op: Op) -> Op | None:
    """The one op that reads the result, with all its uses; None for none or several readers."""
    users = op.result.users
    return users[0] if len(users) == 1 else None


def _space(op: Op) -> tuple[object, ...]:
    """The index space of an op's result, whatever the order of its axes in memory."""
    type = op.results[0].type
    return tuple(sorted(zip(type.layout, type.shape, strict=True))) if type.layout else type.shape


def _repeat_widenings(func: Func) -> int:
    """Give each reader of a widened value its own widening, so that the value is not stored wide. Returns how many
    copies were made."""
    copies = 0
    for op in reversed(list(func.ops)):
        if not op.has(Trait.ELEMENTWISE) or len(op.results) != 1 or len(op.result.users) < 2:
            continue
        if max((v.type.bytes for v in op.operands), default=0) >= op.type.bytes:
            continue
        for user in op.result.users[1:]:
            copy = type(op)(*op.operands, types=op.type, loc=op.loc, name=op.result.name, **op.attrs)
            func.block.insert_before(op, copy)
            for index, value in enumerate(user.operands):
                if value is op.result:
                    user.set_operand(index, copy.result)
            copies += 1
    return copies


def _make_group(func: Func, members: list[Op]) -> None:
    """Replace `members` by a `kernel.fused` in the place of the last."""
    inside = {value for op in members for value in op.results}
    inputs = list(dict.fromkeys(v for op in members for v in op.operands if v not in inside))
    last = members[-1]
    region = Block([v.type for v in inputs], [v.name for v in inputs])
    twin = dict(zip(inputs, region.args, strict=True))
    for op in members:
        copy = type(op)(
            *(twin[v] for v in op.operands),
            types=[v.type for v in op.results],
            loc=op.loc,
            **op.attrs,
        )
        region.append(copy)
        _take_names(copy, op)
        twin.update(zip(op.results, copy.results, strict=True))
    region.append(Yield(*(twin[value] for value in last.results)))
    group = Fused(*inputs, region=region, loc=fuse_locs(op.loc for op in members))
    _take_names(group, last)
    func.block.insert_before(last, group)
    replace_op(last, group.results)
    for op in reversed(members[:-1]):
        op.erase()


def _take_names(op: Op, other: Op) -> None:
    """Call the results of `op` like those of `other`."""
    for value, old in zip(op.results, other.results, strict=True):
        value.name = old.name
