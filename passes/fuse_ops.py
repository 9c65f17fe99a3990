"""Groups of ops that become one kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyir.diagnostics import fuse_locs
from tinyir.ir.core import Block, Func, Module, Op, Value
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
    rather than stored.

    Needs: nothing.  Leaves: groups whose inner values have one reader.  Skips a value with a second reader outside the
    group, because it must be stored anyway, and views.
    """

    name: ClassVar[str] = "fuse-ops"
    max_ops: int = 16

    def run(self, module: Module) -> dict[str, int]:
        groups = copies = 0
        for func in module.funcs.values():
            copies += _repeat_widenings(func)
            for op in list(func.ops):
                if op.block is func.block and _may_lead(op):
                    members = self._group(op)
                    if len(members) > 1:
                        _make_group(func, members)
                        groups += 1
        return {"groups": groups, "repeated ops": copies}

    def _group(self, lead: Op) -> list[Op]:
        """The ops of the group that `lead` begins, in program order."""
        assert lead.block is not None
        position = {op: i for i, op in enumerate(lead.block.ops)}
        members = [lead]
        while (user := _only_user(members[-1])) is not None and _may_join(user, lead):
            joined = [*members, *_elementwise_sources(user, members), user]
            if len(joined) > self.max_ops:
                break
            members = joined
        return sorted(members, key=lambda op: position[op])


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


def _may_lead(op: Op) -> bool:
    """Whether a group may begin here: an op with loops of its own, or an elementwise one that none such feeds."""
    if not any(op.has(trait) for trait in GROUPED):
        return False
    return not op.has(Trait.ELEMENTWISE) or not any(_led_by_loops(value) for value in op.operands)


def _led_by_loops(value: Value) -> bool:
    """Whether the op behind `value` will be part of a group that ends in `value`'s only reader."""
    op = value.defining_op
    return op is not None and _only_user(op) is not None and any(op.has(trait) for trait in GROUPED)


def _only_user(op: Op) -> Op | None:
    """The one op that reads the result, with all its uses; None for none or several readers."""
    users = op.result.users if len(op.results) == 1 else []
    return users[0] if len(users) == 1 else None


def _may_join(user: Op, lead: Op) -> bool:
    """Whether `user` finishes the elements that `lead` makes, one by one."""
    return user.has(Trait.ELEMENTWISE) and _space(user) == _space(lead)


def _space(op: Op) -> tuple[object, ...]:
    """The index space of an op's result, whatever the order of its axes in memory."""
    type = op.result.type
    return tuple(sorted(zip(type.layout, type.shape, strict=True))) if type.layout else type.shape


def _elementwise_sources(user: Op, members: list[Op]) -> list[Op]:
    """Elementwise ops on the other operands of `user` that serve nothing else."""
    found: list[Op] = []
    for value in user.operands:
        op = value.defining_op
        if op is None or op in members or op in found or not op.has(Trait.ELEMENTWISE):
            continue
        if op.type.elements == user.type.elements and _only_user(op) is user and not _led_by_loops_behind(op):
            found += [*_elementwise_sources(op, members), op]
    return found


def _led_by_loops_behind(op: Op) -> bool:
    """Whether a chain of single uses leads from an op with loops to `op`: then it belongs to that op's group."""
    for value in op.operands:
        source = value.defining_op
        if source is None or _only_user(source) is not op:
            continue
        if not source.has(Trait.ELEMENTWISE) and any(source.has(trait) for trait in GROUPED):
            return True
        if source.has(Trait.ELEMENTWISE) and _led_by_loops_behind(source):
            return True
    return False


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
            name=op.results[0].name,
            **op.attrs,
        )
        region.append(copy)
        twin.update(zip(op.results, copy.results, strict=True))
    region.append(Yield(twin[last.result]))
    group = Fused(*inputs, region=region, loc=fuse_locs(op.loc for op in members), name=last.result.name)
    func.block.insert_before(last, group)
    replace_op(last, group.results)
    for op in reversed(members[:-1]):
        op.erase()
