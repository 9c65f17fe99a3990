"""A list scheduler for an in-order core that issues two instructions a cycle, with the cycle model as its judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tinyir.machine import MachineInstr, cost, make

LEADS = range(2, 8)
"""How many loads and unpackings stand before the first product, to be tried."""

APART = (2, 3)
"""Places from a value to what reads it, to be tried: a cycle, or somewhat more."""

AHEAD = 2
"""Among how many products the first that is ready is chosen."""

LATENCIES = ((2, 1, 2), (2, 1, 3), (2, 2, 2), (3, 1, 2), (3, 2, 3), (4, 2, 3))
"""Products from a load to the product, from an unpacking to the product, and from a load to its unpacking, to try."""


@dataclass(frozen=True)
class Node:
    """An instruction of a run: what it costs, the nodes whose results it reads, and whether it loads or unpacks a
    value, rather than adding a product to a sum."""

    instr: MachineInstr
    waits: tuple[int, ...]
    is_value: bool


@lru_cache(maxsize=512)
def schedule(nodes: tuple[Node, ...], room: int, pointers: int) -> tuple[int, ...]:
    """The best order found, as positions in `nodes`, that given among them if it has `room` for its values. `pointers`
    of a loop are moved on at its end; 0 for no loop.

    The products are the backbone: one a cycle is what the core can do. Everything else is threaded between them in the
    order in which the products need it, one beside each or, where there is more of it, as it becomes ready.
    """
    users = _users(nodes)
    macs = [i for i, node in enumerate(nodes) if not node.is_value]
    given = tuple(range(len(nodes)))
    found = {given} if _most_alive(nodes) <= room else set()
    for products in dict.fromkeys((tuple(macs), tuple(sorted(macs, key=lambda i: _operands(nodes, i))))):
        for others in {tuple(_by_deadline(nodes, users, products, latencies)) for latencies in LATENCIES}:
            found |= {_zipped(_Order(nodes, users, room), products, others, lead) for lead in LEADS}
            found |= {_when_ready(_Order(nodes, users, room), products, others, apart) for apart in APART}
    return min(sorted(found), key=lambda order: _price(nodes, order, pointers))


def _most_alive(nodes: tuple[Node, ...]) -> int:
    """The most values that are held at a time in the order given."""
    last = {j: i for i, node in enumerate(nodes) for j in node.waits if nodes[j].is_value}
    ends = Counter(last.values())
    alive = most = 0
    for i, node in enumerate(nodes):
        alive += node.is_value - ends[i]
        most = max(most, alive)
    return most


def _operands(nodes: tuple[Node, ...], i: int) -> tuple[list[int], list[int]]:
    """What a product works on, so that those that share a word and a load stand together."""
    values = [j for j in nodes[i].waits if nodes[j].is_value]
    words = [w for j in values for w in nodes[j].waits]
    return words, [j for j in values if not nodes[j].waits]


def _users(nodes: tuple[Node, ...]) -> list[list[int]]:
    """For each node those that read its result."""
    users: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for j in node.waits:
            users[j].append(i)
    return users


def _by_deadline(
    nodes: tuple[Node, ...], users: list[list[int]], products: Sequence[int], latencies: tuple[int, int, int]
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


class _Order:
    """An order in the making, with `room` for values that are loaded or unpacked and not yet used up."""

    def __init__(self, nodes: tuple[Node, ...], users: list[list[int]], room: int) -> None:
        self.nodes, self.room = nodes, room
        self.order: list[int] = []
        self._uses = [len(readers) for readers in users]
        self._place: dict[int, int] = {}
        self._alive = 0

    def has_inputs(self, i: int, apart: int = 1) -> bool:
        """Whether all that a node reads stands at least `apart` places back."""
        return all(self._place.get(j, len(self.order)) + apart <= len(self.order) for j in self.nodes[i].waits)

    def has_room(self, i: int) -> bool:
        return self._alive + self._growth(i) <= self.room

    def put(self, i: int) -> None:
        self._alive += self._growth(i)
        for j in self.nodes[i].waits:
            self._uses[j] -= 1
        self._place[i] = len(self.order)
        self.order.append(i)

    def _growth(self, i: int) -> int:
        more = int(self.nodes[i].is_value)
        for j in self.nodes[i].waits:
            if self._uses[j] == 1 and self.nodes[j].is_value:
                more -= 1
        return more


def _zipped(order: _Order, products: Sequence[int], others: Sequence[int], lead: int) -> tuple[int, ...]:
    """`products` and `others` in turn, the first product after `lead` others; a value that has no room only where a
    product waits for it."""
    left, waiting = list(reversed(others)), list(reversed(products))
    while left or waiting:
        before = len(order.order)
        stuck = not waiting or not order.has_inputs(waiting[-1])
        if left and (stuck or order.has_room(left[-1])):
            order.put(left.pop())
        led = len(others) - len(left) >= lead or not left or len(order.order) == before
        if waiting and led and order.has_inputs(waiting[-1]):
            order.put(waiting.pop())
    return tuple(order.order)


def _when_ready(order: _Order, products: Sequence[int], others: Sequence[int], apart: int) -> tuple[int, ...]:
    """`products` and `others` in turn, each only where its inputs stand `apart` places back, an unpacking one more:
    where others are the more, products then wait for them without a stall. The next of a kind may overtake the one
    before it."""
    left, waiting = list(others), list(products)
    while left or waiting:
        ready = _first(waiting[:AHEAD], lambda i: order.has_inputs(i, apart))
        next_other = _first(left[: AHEAD + 1], lambda i: order.has_inputs(i, apart + 1) and order.has_room(i))
        after_product = bool(order.order) and not order.nodes[order.order[-1]].is_value
        chosen = next_other if ready is None or (after_product and next_other is not None) else ready
        if chosen is None:
            chosen = _first(waiting, order.has_inputs)
        if chosen is None:
            chosen = _first(left, lambda i: order.has_inputs(i) and order.has_room(i))
        if chosen is None:
            chosen = left[0]
        order.put(chosen)
        (left if order.nodes[chosen].is_value else waiting).remove(chosen)
    return tuple(order.order)


def _first(nodes: Sequence[int], holds: Callable[[int], bool]) -> int | None:
    return next((i for i in nodes if holds(i)), None)


def _price(nodes: tuple[Node, ...], order: Sequence[int], pointers: int) -> float:
    """Cycles of an order; of a loop with its pointers, its end and its branch."""
    code = [nodes[i].instr for i in order]
    if not pointers:
        return cost(code)
    moves = [make.narrow(make.add(f"p{i}", f"p{i}")) for i in range(pointers)]
    return cost([*code, *moves, make.narrow(make.compare("p0", "end")), make.narrow(make.branch())], loop=True)
