"""The step order: instructions in the order that the cycle model likes best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.loops.kernels import becomes, data_for, kernel, refuses, same_results, text
from tinyir.loops.affine import flatten
from tinyir.loops.ir import Body, Call, Kernel, Let, Load, Local, Set
from tinyir.loops.schedule import apply
from tinyir.loops.schedule.core import replace_loop
from tinyir.loops.schedule.list_scheduler import schedule
from tinyir.loops.schedule.order import MOST_ALIVE, MOST_ALIVE_BRIEFLY, REGISTERS
from tinyir.loops.walk import loops_of
from tinyir.machine import MachineInstr, cost, make

DOT = """
kernel @dot(in x: i16[{image}], const w: i8[{weights}], out y: i32[4]) {{
  for o in 2 {{
    var s: i32 = 3
    var t: i32 = 5
    {body}
    y[o] = s
    y[o + 2] = t
  }}
}}
"""


def dot(*body: str, image: int = 64, weights: int = 64) -> str:
    return DOT.format(body="\n    ".join(body), image=image, weights=weights)


# -- instructions as statements ---------------------------------------------------------------------------------------


def test_operands_become_statements() -> None:
    becomes(
        dot("for k in 4 { s = smlad(x[4*k] as i16x2, sxtb16(w[4*k] as i8x4), s) }"),
        "order(k)",
        dot(
            """
            for k in 4 {
              let x_1: i16x2 = x[4*k] as i16x2
              let w_1: i8x4 = w[4*k] as i8x4
              let sxtb16: i16x2 = sxtb16(w_1)
              s = smlad(x_1, sxtb16, s)
            }
            """
        ),
    )


def test_a_product_in_a_product() -> None:
    before = kernel(
        dot("for k in 4 { s = smlad(x[4*k] as i16x2, x[4*k] as i16x2, smlabt(x[k] as i16x2, x[k] as i16x2, s)) }")
    )
    same_results(before, apply(before, ("order(k)",)))


def test_stores_loops_and_other_statements_stay_where_they_are() -> None:
    """Words of scratch that is written in between: no load moves over a store, into a loop or out of it."""
    body = """
    for k in 4 {
      s = smlad(z[0] as i16x2, x[4*k] as i16x2, s)
      t = smlad(z[2] as i16x2, x[4*k + 2] as i16x2, t)
      z[0] = i16(s)
      s = smlad(z[0] as i16x2, x[4*k] as i16x2, s)
      t = smlad(z[2] as i16x2, x[4*k + 2] as i16x2, t)
      for l in 2 { z[2*l + 1] = i16(t) }
      s = smlad(z[0] as i16x2, x[4*k] as i16x2, s)
      t = smlad(z[2] as i16x2, x[4*k + 2] as i16x2, t)
      if 0 <= k < 2 { z[2] = i16(s) }
      s = smlad(z[0] as i16x2, x[4*k] as i16x2, s)
      t = smlad(z[2] as i16x2, x[4*k + 2] as i16x2, t)
    }
    """
    plain = dot("for v in 4 { z[v] = i16(7) }", body).replace("out y", "scratch z: i16[4], out y")
    before = kernel(plain)
    after = apply(before, ("order(k)",))
    assert runs(loops_of(before.body)["k"].body) == [2, 2, 2, 2]
    assert runs(loops_of(after.body)["k"].body) == [6, 6, 6, 6]
    same_results(before, after)


def runs(body: Body) -> list[int]:
    """How many statements stand between those that cannot be moved."""
    counts = [0]
    for stmt in body:
        if isinstance(stmt, (Let, Set)):
            counts[-1] += 1
        else:
            counts.append(0)
    return counts


def test_a_sum_that_begins_with_another() -> None:
    """s = t + ... is no addition to s: what was added to s before is lost, what is added to t later is not in it."""
    body = """
    for k in 4 {
      s = smlad(x[4*k] as i16x2, x[4*k + 2] as i16x2, s)
      s = smlad(x[4*k] as i16x2, x[4*k + 2] as i16x2, t)
      t = smlad(x[4*k + 8] as i16x2, x[4*k + 10] as i16x2, t)
      s = smlad(x[4*k + 12] as i16x2, x[4*k + 10] as i16x2, s)
      t = smlad(x[4*k + 12] as i16x2, x[4*k + 14] as i16x2, s)
      s = smlad(x[4*k + 20] as i16x2, x[4*k + 18] as i16x2, s)
    }
    """
    before = kernel(dot(body))
    for seed in range(4):
        same_results(before, apply(before, ("order(k)",)), data_for(before, seed))


def test_words_under_a_guard_are_not_loaded_before_it() -> None:
    """Beyond the guard they would lie outside of the buffer."""
    body = "for k in 9 { s = smlad(where [0 <= k < 8] x[2*k] as i16x2 else x[0] as i16x2, x[k] as i16x2, s) }"
    before = kernel(dot(body, image=16))
    after = apply(before, ("order(k)",))
    assert text(after) == text(before)
    same_results(before, after)


def test_all_takes_innermost_loops_under_conditions_too() -> None:
    product = "s = smlad(x[4*{0}] as i16x2, sxtb16(w[4*{0}] as i8x4), s)"
    body = (
        f"if 0 <= o < 1 {{ for k in 4 {{ {product.format('k')} }} }} else {{ for l in 4 {{ {product.format('l')} }} }}"
    )
    before = kernel(dot(body))
    after = apply(before, ("order(all)",))
    assert text(after) == text(apply(before, ("order(k)", "order(l)")))
    assert text(after) != text(before)
    same_results(before, after)


def test_other_loops() -> None:
    refuses(dot(), "order(n)", "cannot find the loop `n`")
    becomes(dot("for k in 4 { s = (s + 1) }"), "order(k)\norder(o)\norder(all)", dot("for k in 4 { s = (s + 1) }"))


# -- requantisations --------------------------------------------------------------------------------------------------

QUANT = """
kernel @quant(in x: i32[4, 2], in d: i8[4], out y: i8[4, 2]) {{
  for o in 4 {{
    let a: i32 = x[o, 0]
    let b: i32 = x[o, 1]
    {body}
  }}
}}
"""


def test_requantisations_take_turns() -> None:
    becomes(
        QUANT.format(
            body="""
            let p: i8 = i8(ssat_asr(smmla((a << 3), 1518500250, 9), 2))
            let q: i8 = i8(ssat8((smmla((b << 3), 1518500250, 9) + 4)))
            y[o, 0] = p
            y[o, 1] = q
            """
        ),
        "order(o)",
        QUANT.format(
            body="""
            let lsl: i32 = (a << 3)
            let mac: i32 = smmla(lsl, 1518500250, 9)
            let lsl_1: i32 = (b << 3)
            let mac_1: i32 = smmla(lsl_1, 1518500250, 9)
            let ssat: i32 = ssat_asr(mac, 2)
            let p: i8 = i8(ssat)
            let add: i32 = (mac_1 + 4)
            let ssat_1: i32 = ssat8(add)
            let q: i8 = i8(ssat_1)
            y[o, 0] = p
            y[o, 1] = q
            """
        ),
    )


@pytest.mark.parametrize(
    "second",
    [
        "i8(ssat8((i32(p) + 4)))",  # the result of the first
        "i8(ssat_asr(smmla((i32(p) << 3), 1518500250, 9), 2))",
        "i8(ssat_asr((smmla((a + 5), 1518500250, b) << 2), 3))",  # steps in another order
        "i8((ssat_asr(smmla(a, 1518500250, 9), 2) + 1))",
        "i8(ssat_asr(smmla(ssat8(smmla(a, 1518500250, 9)), 1518500250, 9), 2))",
        "i8(ssat8((a + smmla(b, 1518500250, (a + 4)))))",
    ],
)
def test_requantisations_of_other_shapes(second: str) -> None:
    first = "let p: i8 = i8(ssat_asr(smmla((a << 3), 1518500250, 9), 2))"
    before = kernel(QUANT.format(body=f"{first} let q: i8 = {second} y[o, 0] = p y[o, 1] = q"))
    same_results(before, apply(before, ("order(o)",)))


def test_requantisations_that_need_others_begin_anew() -> None:
    """The two that are added stand side by side, and so do the two sums of them."""
    quant = "i8(ssat_asr(smmla({}, 1518500250, 9), 2))"
    body = [f"let p: i8 = {quant.format('a')}", f"let q: i8 = {quant.format('b')}"]
    body += [f"let {r}: i8 = i8(ssat_asr((i32({s}) + (i32(d[o]) * 3)), 1))" for r, s in (("u", "p"), ("v", "q"))]
    before = kernel(QUANT.format(body="\n".join([*body, "y[o, 0] = u", "y[o, 1] = v"])))
    after = apply(before, ("order(o)",))
    names = [stmt.name for stmt in loops_of(after.body)["o"].body if isinstance(stmt, Let)]
    assert names == ["a", "b", "mac", "mac_1", "ssat", "p", "ssat_1", "q", "ssat_2", "u", "ssat_3", "v"]
    same_results(before, after)


def test_a_requantisation_under_a_guard_stays_there() -> None:
    value = "where [0 <= o < 3] i8(ssat_asr(smmla(x[o + 1, 0], 1518500250, 9), 2)) else i8(0)"
    before = kernel(QUANT.format(body=f"let p: i8 = {value} y[o, 0] = p y[o, 1] = p"))
    after = apply(before, ("order(o)",))
    assert text(after) == text(before)
    same_results(before, after)


# -- what the order costs ---------------------------------------------------------------------------------------------


def block(channels: int, pixels: int, words: int) -> Kernel:
    """Sums of `channels` by `pixels` over `words` of weights a round, each word for two channels, as recipes make them:
    every load and unpacking is done once."""
    sums = [f"a{c}{p}" for c in range(channels) for p in range(pixels)]
    body = []
    for j in range(words):
        pairs = range(channels // 2)
        body += [f"let w{j}{g}: i8x4 = w[{4 * j} + {4 * words}*k + {64 * g}] as i8x4" for g in pairs]
        body += [f"let u{j}{2 * g}: i16x2 = sxtb16(w{j}{g})" for g in pairs]
        body += [f"let u{j}{2 * g + 1}: i16x2 = sxtb16_ror8(w{j}{g})" for g in pairs]
        body += [f"let x{j}{p}: i16x2 = x[{p}, {2 * words}*k + {2 * j}] as i16x2" for p in range(pixels)]
        body += [f"a{c}{p} = smlad(x{j}{p}, u{j}{c}, a{c}{p})" for c in range(channels) for p in range(pixels)]
    lines = [f"var {s}: i32 = 0" for s in sums]
    lines += ["for k in 2 {", *body, "}"]
    lines += [f"y[{i}] = {s}" for i, s in enumerate(sums)]
    head = f"in x: i16[{pixels}, {4 * words}], const w: i8[{64 * channels}], out y: i32[{len(sums)}]"
    return kernel(f"kernel @block({head}) {{\n" + "\n".join(lines) + "\n}")


def machine_code(k: Kernel, var: str) -> list[MachineInstr]:
    """A round of a loop of words and products: pointers that move, and the branch."""
    code, bases = [], dict[object, str]()
    for stmt in loops_of(k.body)[var].body:
        match stmt:
            case Let(name=name, value=Load(buffer=buffer, index=index)):
                at, size = flatten(index, k.param(buffer).shape), k.param(buffer).dtype.bytes
                base = bases.setdefault((buffer, at.terms), f"p{len(bases)}")
                code.append(make.load(name, base, offset=at.const * size))
            case Let(name=name, value=Call(args=(Local(name=word),))):
                code.append(make.pack(name, word))
            case Set(name=name, value=Call(args=(Local(name=a), Local(name=b), Local(name=same)))) if same == name:
                code.append(make.mac(name, a, b))
            case _:
                raise AssertionError(f"{stmt} is no instruction")
    moves = [make.narrow(make.add(p, p)) for p in bases.values()]
    return [*code, *moves, make.narrow(make.compare("p0", "end")), make.narrow(make.branch())]


def cycles(k: Kernel, var: str = "k") -> float:
    return cost(machine_code(k, var), loop=True)


def most_alive(body: Body) -> int:
    """The largest number of words that are held at a time."""
    lets = {stmt.name for stmt in body if isinstance(stmt, Let)}
    uses = [[name for name in used_by(stmt) if name in lets] for stmt in body]
    alive: set[str] = set()
    most = 0
    for i, stmt in enumerate(body):
        alive |= {stmt.name} if isinstance(stmt, Let) else set()
        alive = {name for name in alive if any(name in later for later in uses[i + 1 :])}
        most = max(most, len(alive))
    return most


def used_by(stmt: object) -> list[str]:
    assert isinstance(stmt, (Let, Set))
    return [a.name for a in getattr(stmt.value, "args", ()) if isinstance(a, Local)]


BLOCKS = [(2, 1, 1), (2, 1, 4), (2, 2, 2), (2, 2, 4), (2, 3, 1), (2, 3, 2), (2, 3, 4), (4, 1, 2), (4, 2, 1)]


@pytest.mark.parametrize("size", BLOCKS, ids=str)
def test_blocks(size: tuple[int, int, int]) -> None:
    before = block(*size)
    after = apply(before, ("order(k)",))
    assert cycles(after) <= cycles(before)
    assert most_alive(loops_of(after.body)["k"].body) <= MOST_ALIVE
    assert set(loops_of(after.body)["k"].body) == set(loops_of(before.body)["k"].body)
    same_results(before, after)


def test_a_block_of_two_by_three_with_four_words_takes_29_cycles() -> None:
    """24 products at one a cycle; 24 loads and unpackings beside them."""
    assert cycles(apply(block(2, 3, 4), ("order(k)",))) <= 29


def test_where_unpackings_outnumber_the_other_operands_products_wait_without_a_stall() -> None:
    """A dense layer: 16 products, 16 unpackings, 12 loads. The slots of 25 cycles hold them and the loop's own."""
    assert cycles(apply(block(4, 1, 4), ("order(k)",))) <= 28


@pytest.mark.parametrize("seed", range(12))
def test_no_order_becomes_worse(seed: int) -> None:
    """The same block with its statements in another order that keeps values before their uses. One that holds more
    words than there are registers for is none that could be kept."""
    rng = np.random.default_rng(seed)
    sizes = BLOCKS[seed % len(BLOCKS)]
    plain = block(*sizes)
    left, shuffled = list(loops_of(plain.body)["k"].body), []
    while left:
        waiting = {stmt.name for stmt in left if isinstance(stmt, Let)}
        ready = [stmt for stmt in left if not waiting & set(used_by(stmt))]
        stmt = ready[int(rng.integers(len(ready)))]
        left.remove(stmt)
        shuffled.append(stmt)
    before = with_body(plain, "k", tuple(shuffled))
    after = apply(before, ("order(k)",))
    alive = [most_alive(loops_of(k.body)["k"].body) for k in (before, after)]
    assert alive[0] > room(plain) or cycles(after) <= cycles(before)
    assert alive[1] <= MOST_ALIVE
    same_results(plain, after)


def room(plain: Kernel) -> int:
    """How many words there are registers for, beside the sums and two pointers."""
    return min(MOST_ALIVE, REGISTERS - 2 - plain.param("y").elements)


def with_body(k: Kernel, var: str, body: Body) -> Kernel:
    return replace_loop(k, var, lambda loop: (replace(loop, body=body),))


def test_ordered_again_costs_no_more() -> None:
    once = apply(block(2, 3, 4), ("order(k)",))
    assert cycles(apply(once, ("order(k)",))) <= cycles(once)


def test_the_same_order_every_time() -> None:
    first = apply(block(2, 3, 2), ("order(k)",)).text()
    schedule.cache_clear()
    assert apply(block(2, 3, 2), ("order(k)",)).text() == first


def test_names_make_no_difference() -> None:
    """The order depends on the shape of the body alone."""
    plain = block(2, 2, 2)
    renamed = kernel(text(plain).replace("u0", "z9").replace("w1", "aa"))
    first, second = (apply(k, ("order(k)",)) for k in (plain, renamed))
    assert text(first).replace("u0", "z9").replace("w1", "aa") == text(second)


def test_a_short_run_outside_of_loops_holds_less() -> None:
    """A run that is a part of a loop: the compiler needs registers for what stands around it."""
    plain = block(2, 3, 2)
    body = loops_of(plain.body)["k"].body
    before = with_body(plain, "k", (*body, *kernel("kernel @s(out y: i32[1]) { y[0] = 1 }").body))
    after = apply(before, ("order(k)",))
    inner = loops_of(after.body)["k"].body
    assert most_alive(inner[:-1]) <= MOST_ALIVE_BRIEFLY
    same_results(before, after)


def test_runs_of_two_and_words_of_no_use() -> None:
    few = dot("for k in 4 { let a: i16x2 = x[4*k] as i16x2 s = smlad(a, a, s) }")
    becomes(few, "order(k)", few)
    unused = dot(
        *["for k in 4 {", *(f"let a{i}: i16x2 = x[4*k + {i}] as i16x2" for i in range(9)), "s = smlad(a0, a1, s) }"]
    )
    before = kernel(unused)
    same_results(before, apply(before, ("order(k)",)))
