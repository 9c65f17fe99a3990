"""Instructions: what they mean, from definitions written here; and their C, on this machine and on the M7."""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.loops.definitions import (
    INT32_MAX,
    INT32_MIN,
    doubling_high_mul,
    multiply_quantized,
    multiply_quantized_single,
    nearest,
    toward_zero,
    wrap,
)
from tests.loops.kernels import kernel
from tests.loops.programs import files_of, folder_of, host_program, module_of
from tests.runtime.samples import COMPILERS, needs_m7
from tinyir.loops.instrs import INSTRS, SSAT, Instr
from tinyir.loops.ir import F32, I32, Const, Kernel, Ty
from tinyir.runtime.decode import decode
from tinyir.runtime.m7 import M7Program
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import CompilerKind

Array = npt.NDArray[Any]
Args = tuple[Any, ...]

COUNT = 400

# -- definitions ------------------------------------------------------------------------------------------------------


def high_word(a: int, b: int, nudge: int) -> int:
    return math.floor(Fraction(a * b + nudge, 2**32))


def round_away(x: Any) -> int:
    if math.isnan(x):
        return 0
    if math.isinf(x):
        return INT32_MAX if x > 0 else INT32_MIN
    return min(max(nearest(*float(x).as_integer_ratio()), INT32_MIN), INT32_MAX)


def limited(x: Any, whole: Callable[[Any], int]) -> int:
    """`whole` of a float, within int32; 0 for NaN."""
    if math.isnan(x):
        return 0
    if math.isinf(x):
        return INT32_MAX if x > 0 else INT32_MIN
    return min(max(whole(Fraction(float(x))), INT32_MIN), INT32_MAX)


def random_word(seed: int, step: int, salt: int, index: int) -> int:
    """MurmurHash3's fmix32 of what tells one word from the others."""
    h = (seed + 0x9E3779B9 * (step + 1)) % 2**32 ^ salt * 0x85EBCA6B % 2**32
    h = (h + index * 0xC2B2AE35) % 2**32
    h = (h ^ h // 2**16) * 0x85EBCA6B % 2**32
    h = (h ^ h // 2**13) * 0xC2B2AE35 % 2**32
    return wrap(h ^ h // 2**16)


def leading_zeros(x: int) -> int:
    return f"{x:032b}".index("1")


def hard_swish_slope(g: Any, x: Any) -> Any:
    if x >= 3:
        return g
    return g * ((x + x + np.float32(3)) / np.float32(6)) if x > -3 else 0.0


def next_exponent(exponent: int, peak: int, base: int, limit: int, low: int) -> int:
    up, down = peak >= limit, peak < low and base != -30
    return max(-96, min(96, exponent + up - down))


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "smlad": lambda a, b, acc: wrap(a[0] * b[0] + a[1] * b[1] + acc),
    "sxtb16": lambda w: (w[0], w[2]),
    "sxtb16_ror8": lambda w: (w[1], w[3]),
    "pkhbt": lambda a, b: (a[0], b[0]),
    "pkhtb": lambda a, b: (a[1], b[1]),
    "smlabb": lambda a, b, acc: wrap(a[0] * b[0] + acc),
    "smlabt": lambda a, b, acc: wrap(a[0] * b[1] + acc),
    "smlatb": lambda a, b, acc: wrap(a[1] * b[0] + acc),
    "smlatt": lambda a, b, acc: wrap(a[1] * b[1] + acc),
    "ssat8": lambda x: sorted((-128, x, 127))[1],
    "ssat_asr": lambda x, n: sorted((-128, x // 2**n, 127))[1],
    "ssat": lambda x, n: sorted((-(2 ** (n - 1)), x, 2 ** (n - 1) - 1))[1],
    "smmla": lambda a, b, addend: wrap(addend + high_word(a, b, 0)),
    "smmlar": lambda a, b, addend: wrap(addend + high_word(a, b, 2**31)),
    "multiply_quantized": multiply_quantized,
    "multiply_quantized_single": multiply_quantized_single,
    "doubling_high_mul": doubling_high_mul,
    "rounding_shift_right": lambda x, n: nearest(x, 1 << n),
    "div": toward_zero,
    "softmax_shift": lambda total: 35 - leading_zeros(total),
    "round_away": round_away,
    "leakyf": lambda x, alpha: x if x > 0 else x * alpha,
    "minf": lambda a, b: b if a > b else a,
    "maxf": lambda a, b: b if a < b else a,
    "insidef": lambda g, y, lo, hi: g if y > lo and hi > y else 0.0,
    "maskedf": lambda g, word, bit: g if (word % 2**32) // 2 ** (bit % 32) % 2 else 0.0,
    "inside_bit": lambda y, lo, hi, bit: 0 if y <= lo or y >= hi else -(2**31) if bit == 31 else 2**bit,
    "macf": lambda a, b, acc: np.float32(np.float32(float(a) * float(b)) + np.float32(acc)),
    "macf_after": lambda a, b, acc, _: np.float32(np.float32(float(a) * float(b)) + np.float32(acc)),
    "equalf": lambda a, b: float(a - b == 0),
    "random": random_word,
    "unitf": lambda word: (word % 2**32 // 512 + 0.5) / 2**23,
    "floori": lambda x: limited(x, math.floor),
    "trunci": lambda x: limited(x, math.trunc),
    "truncated_sum": lambda a, x: a if math.isnan(x) else limited(np.float32(a) + x, math.trunc),
    "saturated_sum": lambda a, b, lo, hi: lo if a + b < lo else hi if a + b > hi else a + b,
    "sqrtf": lambda x: np.float32(math.sqrt(x)) if x >= 0 else np.float32(math.nan),
    "next_turn": lambda turn, count: 0 if turn + 1 >= count else turn + 1,
    "finitef": lambda x: 0 if math.isnan(x - x) else 1,
    "choosef": lambda yes, a, b: b if yes == 0 else a,
    "choose": lambda yes, a, b: b if yes == 0 else a,
    "turn": lambda turn, at, a, b: b if turn - at else a,
    "turnf": lambda turn, at, a, b: b if turn - at else a,
    "pickf": lambda a, b, yes, no: yes if b < a else no,
    "matchf": lambda a, b, g: g if a - b == 0 else 0.0,
    "leaky_slopef": lambda g, x, alpha: g if x > 0 else g * alpha,
    "hard_swish_slopef": hard_swish_slope,
    "exponentf": lambda x: sorted((-30, 30 if not math.isfinite(x) else math.frexp(x)[1] if x else -30, 30))[1],
    "power_of_two": lambda n: np.float32(math.ldexp(1, n)),
    "next_exponent": next_exponent,
}

# -- arguments --------------------------------------------------------------------------------------------------------

EDGES = [
    0,
    1,
    -1,
    2,
    -2,
    127,
    128,
    -128,
    -129,
    2**15,
    2**24,
    -(2**24),
    2**30,
    -(2**30),
    INT32_MAX,
    INT32_MIN,
    INT32_MIN + 1,
]
FLOAT_EDGES = [
    0.0, -0.0, 0.5, -0.5, 1.5, -2.5, 0.49999997, -0.49999997, 1.0, -1.0, 0.625, 8388607.5, -8388608.0, 2147483520.0,
    2147483648.0, -2147483648.0, -2147483904.0, 1e30, -1e30, 1e-40, 88.7, 89.0, -87.4, -103.0, -104.0, 200.0,
    math.inf, -math.inf, math.nan,
]  # fmt: skip

MANTISSA = (2**30, INT32_MAX)
ANY = (INT32_MIN, INT32_MAX)

RANGES: dict[str, list[tuple[int, int]]] = {
    "ssat8": [ANY],
    "ssat_asr": [ANY, (0, 31)],
    "power_of_two": [(-126, 127)],
    "next_exponent": [(-96, 96), (0, 40), (-30, 30), (20, 30), (1, 20)],
    "smmla": [ANY, ANY, ANY],
    "smmlar": [ANY, ANY, ANY],
    "multiply_quantized": [ANY, MANTISSA, (-31, 30)],
    "multiply_quantized_single": [ANY, MANTISSA, (-31, 30)],
    "doubling_high_mul": [ANY, ANY],
    "rounding_shift_right": [ANY, (0, 31)],
    "div": [ANY, (1, INT32_MAX)],
    "softmax_scale": [(1, INT32_MAX)],
    "softmax_shift": [(1, INT32_MAX)],
    "inside_bit": [ANY, ANY, ANY, (0, 31)],
    "saturated_sum": [ANY, ANY, (INT32_MIN, 0), (0, INT32_MAX)],
}
"""What integers an instruction is given, where not any of its type."""


def numbers(rng: np.random.Generator, least: int, most: int, count: int) -> list[int]:
    """Edges within the range, and random numbers of every size."""
    edges = [least, most, *(e for e in EDGES if least <= e <= most)]
    spread = [
        int(v) >> int(s) for v, s in zip(rng.integers(least, most + 1, count), rng.integers(0, 31, count), strict=True)
    ]
    return (edges + [min(max(v, least), most) for v in spread])[:count]


def floats(rng: np.random.Generator, count: int) -> list[Any]:
    """Edges, floats of moderate size, and any bits at all."""
    any_bits = rng.integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    moderate = rng.normal(scale=8, size=count).astype(np.float32)
    return [*np.array(FLOAT_EDGES, np.float32), *np.where(rng.integers(0, 3, count) == 0, any_bits, moderate)][:count]


@functools.cache
def arguments(name: str) -> list[Args]:
    """COUNT lists of arguments for an instruction: its edges against each other, then random ones."""
    rng = np.random.default_rng(len(name))
    if name == "ssat_asr":
        return shift_arguments(rng)
    if name == "ssat":
        return [(x, n + 1) for x, n in shift_arguments(rng)]
    instr = INSTRS[name]
    columns: list[list[Any]] = []
    for position, ty in enumerate(instr.args):
        if ty == F32:
            columns.append(floats(rng, COUNT))
        elif ty.lanes > 1:
            low, high = ty.dtype.limits
            lanes = rng.choice([low, -1, 0, 1, high], (COUNT, ty.lanes))
            lanes[::2] = rng.integers(low, high + 1, (COUNT + 1) // 2 * ty.lanes).reshape(-1, ty.lanes)
            columns.append([tuple(map(int, row)) for row in lanes])
        else:
            columns.append(numbers(rng, *(RANGES[name][position] if name in RANGES else ANY), COUNT))
    corners = list(itertools.islice(itertools.product(*(column[:6] for column in columns)), COUNT // 2))
    shuffled = [[column[i] for i in rng.permutation(COUNT)] for column in columns]
    return [*corners, *zip(*shuffled, strict=True)][:COUNT]


EACH_SHIFT = COUNT // 32
"""How many numbers are shifted by each constant, by 31 some more: SSAT takes no other shift."""


def shift_arguments(rng: np.random.Generator) -> list[Args]:
    """Numbers and their shifts, all those of one shift together; the edges of what saturates are among them."""
    found: list[Args] = []
    for i in range(COUNT):
        n = min(i // EACH_SHIFT, 31)
        edges = [INT32_MIN, INT32_MAX, -1, *(wrap(edge << n) for edge in (127, 128, -128)), wrap((-128 << n) - 1)]
        place = i - n * EACH_SHIFT
        x = edges[place] if place < len(edges) else int(rng.integers(INT32_MIN, INT32_MAX)) >> int(rng.integers(0, 31))
        found.append((x, n))
    return found


def meanings(name: str) -> list[Any]:
    with np.errstate(all="ignore"):
        return [INSTRS[name].means(*args) for args in arguments(name)]


def same(a: Any, b: Any) -> bool:
    """Equal, floats by their bits; any NaN is as good as another."""
    if isinstance(a, (float, np.floating)) and isinstance(b, (float, np.floating)):
        return bool(np.isnan(a) and np.isnan(b)) or struct.pack("f", a) == struct.pack("f", b)
    return bool(a == b)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_meaning(name: str) -> None:
    with np.errstate(all="ignore"):
        for args, found in zip(arguments(name), meanings(name), strict=True):
            assert same(found, DEFINITIONS[name](*args)), (name, args)


def test_softmax_scale_is_a_reciprocal() -> None:
    """Of 1 + f, where total = 2^k * (1 + f); the largest error of three Newton steps in Q29 is far below 2^-24."""
    for (total,), found in zip(arguments("softmax_scale"), meanings("softmax_scale"), strict=True):
        exact = (1 << (31 - leading_zeros(total))) / total
        assert abs(found / 2**31 - exact) < 2**-26, total


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("expf", np.exp),
        ("tanhf", np.tanh),
        ("softplusf", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
        ("logisticf", lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))),
    ],
)
def test_functions_of_floats(name: str, function: Callable[[Array], Array]) -> None:
    """Within 3 units in the last place of the function in double precision; subnormal results within one of theirs."""
    x = np.array([a for (a,) in arguments(name)], np.float32)
    with np.errstate(all="ignore"):
        exact = function(x.astype(np.float64))
        exact32 = exact.astype(np.float32)
    found = np.array(meanings(name), np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    finite = np.isfinite(exact32)
    unit = np.spacing(np.abs(exact32[finite]))
    assert (np.abs(found[finite] - exact[finite]) <= 3 * unit).all()
    np.testing.assert_array_equal(found[np.isinf(exact32)], exact32[np.isinf(exact32)])


def test_logarithm() -> None:
    """Within 3 units in the last place; NaN below 0, -inf at 0."""
    x = np.array([a for (a,) in arguments("logf")], np.float32)
    found = np.array(meanings("logf"), np.float32)
    with np.errstate(all="ignore"):
        exact = np.log(x.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(found[np.isinf(exact)], exact[np.isinf(exact)])
    assert (np.abs(found[finite] - exact[finite]) <= 3 * np.spacing(np.abs(exact[finite].astype(np.float32)))).all()


def test_every_instruction_is_tested() -> None:
    assert INSTRS.keys() - DEFINITIONS.keys() == {"softmax_scale", "expf", "logf", "softplusf", "tanhf", "logisticf"}
    assert all(INSTRS[name].name == name for name in INSTRS)


def test_a_call_checks_its_types() -> None:
    assert INSTRS["ssat8"](Const(3)).ty == I32
    with pytest.raises(AssertionError, match=r"ssat8 takes \['i32'\], not \['f32'\]"):
        INSTRS["ssat8"](Const(3.0, F32))


# -- the C ------------------------------------------------------------------------------------------------------------


def element(ty: Ty) -> tuple[str, int]:
    """The elements that a value of a type takes in memory."""
    return str(ty.dtype), ty.lanes


def instr_kernel(instr: Instr) -> Kernel:
    """y[i] = instr(a0[i], a1[i], ...)"""
    if instr.immediates:
        return shift_kernel(instr)
    params, args = [], []
    for n, ty in enumerate(instr.args):
        dtype, lanes = element(ty)
        params.append(f"in a{n}: {dtype}[{lanes * COUNT}]")
        args.append(f"a{n}[{lanes}*i] as {ty}" if lanes > 1 else f"a{n}[i]")
    dtype, lanes = element(instr.result)
    return kernel(
        f"""
        kernel @{instr.name}({", ".join(params)}, out y: {dtype}[{lanes * COUNT}]) {{
          for i in {COUNT} {{ y[{lanes}*i] = {instr.name}({", ".join(args)}) }}
        }}
        """
    )


def shift_kernel(instr: Instr) -> Kernel:
    """y[i] = instr(a0[i], n), a loop for each constant n."""
    starts = [n * EACH_SHIFT for n in range(32)]
    loops = [
        f"for i{n} in {end - at} {{ y[i{n} + {at}] = {instr.name}(a0[i{n} + {at}], {n + (instr is SSAT)}) }}"
        for n, (at, end) in enumerate(itertools.pairwise([*starts, COUNT]))
    ]
    return kernel(f"kernel @{instr.name}(in a0: i32[{COUNT}], out y: i32[{COUNT}]) {{ {' '.join(loops)} }}")


def column(ty: Ty, values: list[Any]) -> Array:
    return np.array(values, ty.dtype.numpy).reshape(-1)


@functools.cache
def inputs() -> list[Array]:
    """The arguments of every instruction, as the program of all of them takes them."""
    return [
        column(ty, [args[n] for args in arguments(name)])
        for name, instr in INSTRS.items()
        for n, ty in enumerate(instr.args)
        if n not in instr.immediates
    ]


def assert_as_they_mean(outputs: list[Array]) -> None:
    """Fail unless each output holds what its instruction means."""
    for (name, instr), found in zip(INSTRS.items(), outputs, strict=True):
        wanted = column(instr.result, meanings(name))
        if instr.result == F32:
            nan = np.isnan(wanted)
            np.testing.assert_array_equal(np.isnan(found), nan, name)
            found, wanted = found[~nan].view(np.int32), wanted[~nan].view(np.int32)
        np.testing.assert_array_equal(found, wanted, name)


@pytest.mark.parametrize("opt", ["-O0", "-O3"])
def test_c_on_this_machine(opt: str) -> None:
    program = host_program(module_of([instr_kernel(instr) for instr in INSTRS.values()]), opt=opt)
    assert_as_they_mean(program.run(inputs()).outputs)


FORMS = {"in order": (), "intrinsics": ("-DTINYIR_NO_ASM",), "portable": ("-DTINYIR_NO_ASM", "-U__ARM_FEATURE_DSP")}
"""What helpers are on the M7: volatile assembly, intrinsics, or the C of other machines."""


@functools.cache
def m7_program(kind: CompilerKind, form: str) -> M7Program:
    found = CrossCompiler.detect(kind)
    compiler = CrossCompiler(kind, (*found.command, *FORMS[form]))
    with folder_of(files_of(module_of([instr_kernel(instr) for instr in INSTRS.values()]))) as folder:
        return M7Program.build(folder, "cortex-m7", compiler)


@needs_m7
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_forms_on_the_m7(compiler: CompilerKind, form: str) -> None:
    assert_as_they_mean(m7_program(compiler, form).run(inputs()).outputs)


ONE_INSTRUCTION = ("smlad", "pkhbt", "pkhtb", "smlabb", "smlabt", "smlatb", "smlatt", "smmla", "smmlar")


@needs_m7
@pytest.mark.parametrize("compiler", COMPILERS)
def test_each_in_order_is_one_instruction(compiler: CompilerKind) -> None:
    """The one whose name it has."""
    program = m7_program(compiler, "in order")
    names = {name: name for name in ONE_INSTRUCTION} | {"ssat_asr": "ssat", "sxtb16_ror8": "sxtb16", "sxtb16": "sxtb16"}
    names |= {"ssat": "ssat", "round_away": "vcvta.s32.f32", "floori": "vcvtm.s32.f32", "maskedf": "vseleq.f32"}
    for (name, _), op in zip(INSTRS.items(), program.info.ops, strict=True):
        if name in names:
            start, end = program.elf.functions[op.function]
            code = decode(program.elf.loaded(start, end - start), start)
            assert any(instr.text.split()[0] == names[name] for instr in code), name
