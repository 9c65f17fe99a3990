"""The order of instructions in straight-line code, found by a list scheduler.

The core issues in order, two instructions a cycle at best, so the order in which a body stands is what it costs. The
C compiler keeps it: the helpers for these instructions are volatile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tinyir.loops.affine import flatten
from tinyir.loops.analysis import assigned_locals
from tinyir.loops.ir import Bin, Body, Call, Cond, Const, Expr, For, Kernel, Let, Load, Local, Set, Stmt
from tinyir.loops.schedule.core import find, fresh, inner_loops, names_of, primitive, replace_loop
from tinyir.loops.schedule.list_scheduler import Node, schedule
from tinyir.loops.walk import exprs_of, loops_of, map_expr, subexprs
from tinyir.machine import make

REGISTERS = 14
"""r0 to r12 and lr; the stack pointer and the program counter are taken."""

MOST_ALIVE, MOST_ALIVE_BRIEFLY, BRIEF = 6, 5, 100
"""Loaded and unpacked values that are alive at a time, in loops and long runs, and in runs of fewer than BRIEF
instructions: there, what the compiler has to put on the stack to have registers costs more than it brings."""


@primitive
def order(kernel: Kernel, var: str) -> Kernel:
    """Each instruction in the body of the loop `var` as a statement of its own, runs of them in the order that costs
    the fewest cycles with the registers there are. With `var` = "all", every innermost body.

    acc0 = smlad(a, sxtb16(w)); ..  ->  let w0 = w[..]; let w1 = w[.. + 4]; let p = sxtb16(w0); acc0 = smlad(a, p); ..
    """
    taken = names_of(kernel)
    for name in _innermost(kernel) if var == "all" else [find(kernel, var).var]:
        kernel = _with_order(kernel, name, taken)
    return kernel


def _innermost(kernel: Kernel) -> list[str]:
    """The loops that hold no loop."""
    return [var for var, loop in loops_of(kernel.body).items() if not inner_loops(loop)]


def _with_order(kernel: Kernel, var: str, taken: set[str]) -> Kernel:
    return replace_loop(kernel, var, lambda loop: (replace(loop, body=_ordered(kernel, loop, taken)),))


def _ordered(kernel: Kernel, loop: For, taken: set[str]) -> Body:
    """The body of a loop with its runs of instructions in order."""
    atoms = [atom for stmt in side_by_side(loop.body, taken) for atom in _atoms(stmt, taken)]
    whole = all(_is_instruction(stmt) for stmt in atoms)
    result: list[Stmt] = []
    run: list[Stmt] = []
    for stmt in (*atoms, None):
        if stmt is not None and _is_instruction(stmt):
            run.append(stmt)
            continue
        result += _best_order(kernel, run, loop.var if whole else "")
        run = []
        if stmt is not None:
            result.append(stmt)
    return tuple(result)


# -- what completes the elements of a block ----------------------------------------------------------------------------

LATE = {"lsl": 0, "mac": 1, "add": 3, "ssat": 4}
"""The earliest each step of a requantisation stands, in steps of the element before: a product takes two cycles."""


def side_by_side(body: Body, taken: set[str]) -> list[Stmt]:
    """Requantisations that stand one after the other, step by step in turn: none then waits for itself. One that needs
    the result of another begins anew."""
    result: list[Stmt] = []
    run: dict[str, list[tuple[int, Stmt]]] = {}

    def flush() -> None:
        timed = [(late + i, i, step) for i, steps in enumerate(run.values()) for late, step in steps]
        result.extend(step for _, _, step in sorted(timed, key=lambda t: t[:2]))
        run.clear()

    for stmt in body:
        steps = _steps(stmt, taken) if isinstance(stmt, Let) else []
        if not steps or any(isinstance(e, Local) and e.name in run for v in exprs_of(stmt) for e in subexprs(v)):
            flush()
        if steps and isinstance(stmt, Let):
            run[stmt.name] = steps
        else:
            result.append(stmt)
    flush()
    return result


def _steps(stmt: Let, taken: set[str]) -> list[tuple[int, Stmt]]:
    """The steps of `let q = i8(ssat_asr(smmla(acc << k, m, a), n))`, each a statement with its time; empty for
    anything else."""
    steps: list[tuple[int, Stmt]] = []

    def bind(expr: Expr) -> Expr:
        kind = _step_kind(expr)
        if kind is None:
            return expr
        name = fresh(taken, kind)
        steps.append((max(LATE[kind], steps[-1][0] if steps else 0), Let(name, expr)))
        return Local(name, expr.ty)

    if _is_guarded(stmt.value):
        return []
    value = map_expr(stmt.value, bind)
    if not any(isinstance(step, Let) and isinstance(step.value, Call) for _, step in steps):
        return []
    return [*steps, (LATE["ssat"], replace(stmt, value=value))]


def _is_guarded(value: Expr) -> bool:
    """Whether a part of a value is only evaluated where a guard holds: it must not be moved out of there."""
    return any(isinstance(e, Cond) for e in subexprs(value))


def _step_kind(expr: Expr) -> str | None:
    match expr:
        case Bin(op="<<", b=Const()):
            return "lsl"
        case Call(name="smmla" | "smmlar"):
            return "mac"
        case Bin(op="+", a=Local()):
            return "add"
        case Call(name="ssat_asr" | "ssat8"):
            return "ssat"
    return None


# -- statements as instructions ---------------------------------------------------------------------------------------

PACKS = ("sxtb16", "sxtb16_ror8", "pkhbt", "pkhtb")
MACS = ("smlad", "smlabb", "smlabt", "smlatb", "smlatt")


def _atoms(stmt: Stmt, taken: set[str]) -> Iterator[Stmt]:
    """A statement with every instruction inside its value bound to a local first."""
    if not isinstance(stmt, (Let, Set)) or not isinstance(stmt.value, Call) or not _is_ordered(stmt.value):
        yield stmt
        return
    before: list[Stmt] = []

    def bind(expr: Expr) -> Expr:
        if _is_word(expr):
            hint = expr.buffer if isinstance(expr, Load) else getattr(expr, "name", "t")
            name = fresh(taken, hint)
            before.append(Let(name, expr))
            return Local(name, expr.ty)
        return expr

    args = tuple(map_expr(arg, bind) for arg in stmt.value.args)
    yield from before
    yield replace(stmt, value=replace(stmt.value, args=args))


def _is_ordered(call: Call) -> bool:
    """Whether an instruction is of the kind that is ordered, and no part of it waits for a guard."""
    return call.name in PACKS + MACS and not _is_guarded(call)


def _is_word(expr: Expr) -> bool:
    if isinstance(expr, Load):
        return expr.ty.lanes > 1
    return isinstance(expr, Call) and expr.name in PACKS + MACS


def _is_instruction(stmt: Stmt) -> bool:
    """Whether a statement is one instruction of the kind that is ordered."""
    match stmt:
        case Let(value=Load(ty=ty)):
            return ty.lanes > 1
        case Let(value=Call(name=name, args=args)):
            return name in PACKS and all(isinstance(a, Local) for a in args)
        case Set(name=total, value=Call(name=name, args=(Local(), Local(), Local(name=addend)))):
            return name in MACS and addend == total
    return False


def _best_order(kernel: Kernel, run: Sequence[Stmt], var: str) -> list[Stmt]:
    """A run in the best order found. `var` is the loop whose whole body the run is, if it is one."""
    if len(run) < 3:
        return list(run)
    shapes = {p.name: p.shape for p in kernel.params}
    nodes, bases = _nodes(kernel, run, shapes)
    sums = len(assigned_locals(tuple(run)))
    most = MOST_ALIVE if var or len(run) >= BRIEF else MOST_ALIVE_BRIEFLY
    room = max(3, min(REGISTERS - sums - bases, most))
    return [run[i] for i in schedule(nodes, room, bases if var else 0)]


def _nodes(kernel: Kernel, run: Sequence[Stmt], shapes: dict[str, tuple[int, ...]]) -> tuple[tuple[Node, ...], int]:
    """The instructions of a run under names that depend on nothing but its shape, and how many pointers it needs."""
    names: dict[str, str] = {}
    made: dict[str, int] = {}
    bases: dict[tuple[object, ...], str] = {}

    def reg(name: str) -> str:
        return names.setdefault(name, f"r{len(names)}")

    nodes = []
    for i, stmt in enumerate(run):
        assert isinstance(stmt, (Let, Set))
        used = [e.name for value in exprs_of(stmt) for e in subexprs(value) if isinstance(e, Local)]
        waits = tuple(sorted({made[n] for n in used if n in made and n != stmt.name}))  # sums come in any order
        match stmt:
            case Let(name=name, value=Load(buffer=buffer, index=index)):
                at = flatten(index, shapes[buffer])
                size = kernel.param(buffer).dtype.bytes
                base = bases.setdefault((buffer, at.terms), f"p{len(bases)}")
                instr = make.load(reg(name), base, offset=at.const * size)
            case Let(name=name, value=Call(args=(Local(name=word),))):
                instr = make.pack(reg(name), reg(word))
            case Let(name=name, value=Call(name="pkhbt", args=(Local(name=word), Local(name=other)))):
                instr = make.pack_two(reg(name), reg(word), reg(other))
            case Let(name=name, value=Call(name="pkhtb", args=(Local(name=other), Local(name=word)))):
                instr = make.pack_two(reg(name), reg(word), reg(other), "pkhtb")
            case Set(name=name, value=Call(args=(Local(name=a), Local(name=b), _))):
                instr = make.mac(reg(name), reg(a), reg(b))
            case _:
                raise AssertionError(f"{stmt} is no instruction")
        made[stmt.name] = i
        nodes.append(Node(instr, waits, isinstance(stmt, Let)))
    return tuple(nodes), len(bases)
