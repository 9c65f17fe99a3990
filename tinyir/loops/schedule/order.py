"""The order of instructions: a list scheduler over straight-line code, with the cycle model as its judge.

The core issues in order, two instructions a cycle at best, so the order in which a body stands is what it costs. The
C compiler keeps it: the helpers for these instructions are volatile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tinyir.loops.affine import flatten
from tinyir.loops.analysis import assigned_locals
from tinyir.loops.ir import (
    Bin,
    Body,
    Call,
    Cond,
    Const,
    Expr,
    For,
    Kernel,
    Let,
    Load,
    Local,
    Set,
    Stmt,
    exprs_of,
    loops_of,
    map_expr,
    subexprs,
)
from tinyir.loops.schedule.core import find, fresh, inner_loops, names_of, primitive, replace_loop
from tinyir.machine import MachineInstr, cost, make

REGISTERS = 14
"""r0 to r12 and lr; the stack pointer and the program counter are taken."""

MOST_ALIVE, MOST_ALIVE_BRIEFLY, BRIEF = 6, 5, 100
"""Loaded and unpacked values that are alive at a time, in loops and long runs, and in runs of fewer than BRIEF
instructions: there, what the compiler has to put on the stack to have registers costs more than it brings."""

LEADS = range(2, 8)
"""How many loads and unpackings stand before the first product, to be tried."""

LATENCIES = ((2, 1, 2), (2, 1, 3), (2, 2, 2), (3, 1, 2), (3, 2, 3), (4, 2, 3))
"""Products from a load to the product, from an unpacking to the product, and from a load to its unpacking, to try."""


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

PACKS = ("sxtb16", "sxtb16_ror8")
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


@dataclass(frozen=True)
class _Node:
    """An instruction of a run: what it costs, the nodes whose results it reads, and whether it loads or unpacks a
    value, rather than adding a product to a sum."""

    instr: MachineInstr
    waits: tuple[int, ...]
    is_value: bool


def _best_order(kernel: Kernel, run: Sequence[Stmt], var: str) -> list[Stmt]:
    """A run in the best order found. `var` is the loop whose whole body the run is, if it is one."""
    if len(run) < 3:
        return list(run)
    shapes = {p.name: p.shape for p in kernel.params}
    nodes, bases = _nodes(kernel, run, shapes)
    sums = len(assigned_locals(tuple(run)))
    most = MOST_ALIVE if var or len(run) >= BRIEF else MOST_ALIVE_BRIEFLY
    room = max(3, min(REGISTERS - sums - bases, most))
    return [run[i] for i in _schedule(nodes, room, bases if var else 0)]


def _nodes(kernel: Kernel, run: Sequence[Stmt], shapes: dict[str, tuple[int, ...]]) -> tuple[tuple[_Node, ...], int]:
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
            case Set(name=name, value=Call(args=(Local(name=a), Local(name=b), _))):
                instr = make.mac(reg(name), reg(a), reg(b))
            case _:
                raise AssertionError(f"{stmt} is no instruction")
        made[stmt.name] = i
        nodes.append(_Node(instr, waits, isinstance(stmt, Let)))
    return tuple(nodes), len(bases)


# -- the scheduler ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _schedule(nodes: tuple[_Node, ...], room: int, pointers: int) -> tuple[int, ...]:
    """The best order found, as positions in `nodes`, that given among them if it has `room` for its values. `pointers`
    of a loop are moved on at its end; 0 for no loop.

    The products are the backbone: one a cycle is what the core can do. Everything else is threaded between them, one
    beside each, in the order in which the products need it.
    """
    users = _users(nodes)
    macs = [i for i, node in enumerate(nodes) if not node.is_value]
    given = tuple(range(len(nodes)))
    found = {given} if _most_alive(nodes) <= room else set()
    for products in dict.fromkeys((tuple(macs), tuple(sorted(macs, key=lambda i: _operands(nodes, i))))):
        for others in {tuple(_by_deadline(nodes, users, products, latencies)) for latencies in LATENCIES}:
            found |= {_zipped(nodes, users, products, others, lead, room) for lead in LEADS}
    return min(sorted(found), key=lambda order: _price(nodes, order, pointers))


def _most_alive(nodes: tuple[_Node, ...]) -> int:
    """The most values that are held at a time in the order given."""
    last = {j: i for i, node in enumerate(nodes) for j in node.waits if nodes[j].is_value}
    ends = Counter(last.values())
    alive = most = 0
    for i, node in enumerate(nodes):
        alive += node.is_value - ends[i]
        most = max(most, alive)
    return most


def _operands(nodes: tuple[_Node, ...], i: int) -> tuple[list[int], list[int]]:
    """What a product works on, so that those that share a word and a load stand together."""
    values = [j for j in nodes[i].waits if nodes[j].is_value]
    words = [w for j in values for w in nodes[j].waits]
    return words, [j for j in values if not nodes[j].waits]


def _users(nodes: tuple[_Node, ...]) -> list[list[int]]:
    """For each node those that read its result."""
    users: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for j in node.waits:
            users[j].append(i)
    return users


def _by_deadline(
    nodes: tuple[_Node, ...], users: list[list[int]], products: Sequence[int], latencies: tuple[int, int, int]
) -> list[int]:
    """The loads and unpackings, the one that is needed first first; one product takes one unit of time."""
    load_to_product, pack_to_product, load_to_pack = latencies
    deadline = {product: time for time, product in enumerate(products)}
    for i in reversed(range(len(nodes))):
        if not nodes[i].is_value:
            continue
        is_load = not nodes[i].waits
        to_product = load_to_product if is_load else pack_to_product
        times = [deadline[u] - (load_to_pack if nodes[u].is_value else to_product) for u in users[i]]
        deadline[i] = min(times, default=len(products))
    return sorted((i for i in deadline if nodes[i].is_value), key=lambda i: (deadline[i], i))


def _zipped(
    nodes: tuple[_Node, ...],
    users: list[list[int]],
    products: Sequence[int],
    others: Sequence[int],
    lead: int,
    room: int,
) -> tuple[int, ...]:
    """`products` and `others` in turn, the first product after `lead` others; at most `room` values alive at a time,
    unless a product waits for one more."""
    uses = [len(readers) for readers in users]
    order: list[int] = []
    done: set[int] = set()
    alive = 0

    def growth(i: int) -> int:
        more = int(nodes[i].is_value)
        for j in nodes[i].waits:
            if uses[j] == 1 and nodes[j].is_value:
                more -= 1
        return more

    def put(i: int) -> None:
        nonlocal alive
        alive += growth(i)
        for j in nodes[i].waits:
            uses[j] -= 1
        order.append(i)
        done.add(i)

    left, waiting = list(reversed(others)), list(reversed(products))
    while left or waiting:
        before = len(order)
        stuck = not waiting or not done.issuperset(nodes[waiting[-1]].waits)
        if left and (stuck or alive + growth(left[-1]) <= room):
            put(left.pop())
        led = len(others) - len(left) >= lead or not left or len(order) == before
        if waiting and led and done.issuperset(nodes[waiting[-1]].waits):
            put(waiting.pop())
    return tuple(order)


def _price(nodes: tuple[_Node, ...], order: Sequence[int], pointers: int) -> float:
    """Cycles of an order; of a loop with its pointers, its end and its branch."""
    code = [nodes[i].instr for i in order]
    if not pointers:
        return cost(code)
    moves = [make.narrow(make.add(f"p{i}", f"p{i}")) for i in range(pointers)]
    return cost([*code, *moves, make.narrow(make.compare("p0", "end")), make.narrow(make.branch())], loop=True)
