"""Instructions and helpers as data: name, types, meaning.

`means` computes the result on Python numbers (words are tuples of lanes); the interpreter runs it, `tensorize` compares
with it. The C spelling of each is the function `tinyir_<name>` of the support headers in `runtime/`, which is the
intrinsic on a Cortex-M7 and portable C elsewhere; the tests run both against `means`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyir.ir.semantics import block_floats, fixedpoint, gemmlowp, random_words, transcendental
from tinyir.loops.ir import F32, I8X4, I16X2, I32, Call, Expr, Ty


@dataclass(frozen=True)
class Instr:
    """One instruction or helper function without side effects. The arguments at `immediates` are numbers in it."""

    name: str
    args: tuple[Ty, ...]
    result: Ty
    means: Callable[..., Any]
    immediates: tuple[int, ...] = ()

    def __call__(self, *args: Expr) -> Call:
        """A call of this instruction; the types are checked."""
        have = tuple(a.ty for a in args)
        assert have == self.args, f"{self.name} takes {[str(t) for t in self.args]}, not {[str(t) for t in have]}"
        return Call(self.name, args, self.result)


def wrap_i32(x: int) -> int:
    """`x` modulo 2^32 as a signed number."""
    return ((x + 2**31) & 0xFFFFFFFF) - 2**31


def _smlad(a: tuple[int, int], b: tuple[int, int], acc: int) -> int:
    return wrap_i32(acc + a[0] * b[0] + a[1] * b[1])


def _smmla(nudge: int) -> Callable[[int, int, int], int]:
    return lambda a, b, addend: wrap_i32(((a * b + nudge) >> 32) + addend)


def _saturated(x: int) -> int:
    return min(max(x, -128), 127)


def _i64(x: int) -> Any:
    return np.array([x], np.int64)


def _multiply_quantized(rounding: str) -> Callable[[int, int, int], int]:
    def means(x: int, multiplier: int, shift: int) -> int:
        return int(fixedpoint.multiply_quantized(_i64(x), multiplier, shift, rounding)[0])

    return means


def _headroom(total: int) -> int:
    """Leading zeros of a positive int32."""
    return 32 - total.bit_length()


def _softmax_scale(total: int) -> int:
    """1 / total as softmax needs it: the mantissa of TFLite's GetReciprocal (kernels/internal/common.h)."""
    return int(gemmlowp.reciprocal_of_one_plus(_i64((total << _headroom(total)) - 2**31))[0])


def _float1(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: np.float32(function(np.array([x], np.float32))[0])


def _round_away(x: Any) -> int:
    """Nearest integer, ties away from zero, saturated to int32; 0 for NaN."""
    if np.isnan(x):
        return 0
    limited = min(max(float(x), -(2.0**31)), 2.0**31 - 1)
    return int(np.copysign(np.floor(abs(limited) + 0.5), limited))


def _float2(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: np.float32(function(a, b))


def _random(seed: int, step: int, salt: int, index: int) -> int:
    return int(random_words.words(seed, step, salt, np.array([index & 0xFFFFFFFF], np.uint32))[0])


def _toward_minus_infinity(x: Any) -> int:
    """The largest integer not above x, saturated to int32; 0 for NaN."""
    return 0 if np.isnan(x) else int(np.floor(min(max(float(x), -(2.0**31)), 2.0**31 - 1)))


def _toward_zero(x: Any) -> int:
    """x without its fraction, saturated to int32; 0 for NaN."""
    return 0 if np.isnan(x) else int(min(max(float(x), -(2.0**31)), 2.0**31 - 1))


def _unit(word: int) -> Any:
    """A number between 0 and 1, neither included: the upper 23 bits and a half, over 2^23."""
    return np.float32(((word & 0xFFFFFFFF) >> 8 | 1) * 2.0**-24)


def _saturated_sum(a: int, b: int, lo: int, hi: int) -> int:
    return min(max(a + b, lo), hi)


def _truncated_sum(a: int, x: Any) -> int:
    return a if np.isnan(x) else _toward_zero(np.float32(a) + x)


def _exponent(x: Any) -> int:
    """The smallest n of -30..30 with |x| < 2^n, or 30; NaN counts as infinite."""
    return int(block_floats.exponent(np.array([x], np.float32)))


def _next_exponent(exponent: int, peak: int, base: int, limit: int, low: int) -> int:
    numbers = (np.array(v, np.int64) for v in (exponent, peak, base))
    return int(block_floats.next_exponent(*numbers, limit=limit, low=low))


def _instr(
    name: str, args: tuple[Ty, ...], result: Ty, means: Callable[..., Any], immediates: tuple[int, ...] = ()
) -> Instr:
    INSTRS[name] = instr = Instr(name, args, result, means, immediates)
    return instr


INSTRS: dict[str, Instr] = {}

SMLAD = _instr("smlad", (I16X2, I16X2, I32), I32, _smlad)
SXTB16 = _instr("sxtb16", (I8X4,), I16X2, lambda w: (w[0], w[2]))
SXTB16_ROR8 = _instr("sxtb16_ror8", (I8X4,), I16X2, lambda w: (w[1], w[3]))
PKHBT = _instr("pkhbt", (I16X2, I16X2), I16X2, lambda a, b: (a[0], b[0]))
PKHTB = _instr("pkhtb", (I16X2, I16X2), I16X2, lambda a, b: (a[1], b[1]))
SMLABB = _instr("smlabb", (I16X2, I16X2, I32), I32, lambda a, b, acc: wrap_i32(acc + a[0] * b[0]))
SMLABT = _instr("smlabt", (I16X2, I16X2, I32), I32, lambda a, b, acc: wrap_i32(acc + a[0] * b[1]))
SMLATB = _instr("smlatb", (I16X2, I16X2, I32), I32, lambda a, b, acc: wrap_i32(acc + a[1] * b[0]))
SMLATT = _instr("smlatt", (I16X2, I16X2, I32), I32, lambda a, b, acc: wrap_i32(acc + a[1] * b[1]))
HALF_PRODUCTS = ((SMLABB, SMLABT), (SMLATB, SMLATT))
"""By the half of the first word, then of the second."""
SSAT8 = _instr("ssat8", (I32,), I32, _saturated)
SSAT_ASR = _instr("ssat_asr", (I32, I32), I32, lambda x, n: _saturated(x >> n), immediates=(1,))
SSAT = _instr("ssat", (I32, I32), I32, lambda x, n: min(max(x, -(1 << n - 1)), (1 << n - 1) - 1), immediates=(1,))
SMMLA = _instr("smmla", (I32, I32, I32), I32, _smmla(0))
SMMLAR = _instr("smmlar", (I32, I32, I32), I32, _smmla(1 << 31))

MULTIPLY_QUANTIZED = _instr("multiply_quantized", (I32, I32, I32), I32, _multiply_quantized("double"))
MULTIPLY_QUANTIZED_SINGLE = _instr("multiply_quantized_single", (I32, I32, I32), I32, _multiply_quantized("single"))
DOUBLING_HIGH_MUL = _instr(
    "doubling_high_mul", (I32, I32), I32, lambda a, b: int(fixedpoint.doubling_high_mul(_i64(a), _i64(b))[0])
)
ROUNDING_SHIFT_RIGHT = _instr(
    "rounding_shift_right", (I32, I32), I32, lambda x, n: int(fixedpoint.rounding_shift_right(_i64(x), n)[0])
)
DIV = _instr("div", (I32, I32), I32, lambda a, b: abs(a) // b if a >= 0 else -(abs(a) // b))
SOFTMAX_SCALE = _instr("softmax_scale", (I32,), I32, _softmax_scale)
SOFTMAX_SHIFT = _instr("softmax_shift", (I32,), I32, lambda total: 35 - _headroom(total))

EXPF = _instr("expf", (F32,), F32, _float1(transcendental.exp))
LOGF = _instr("logf", (F32,), F32, _float1(transcendental.log))
SOFTPLUSF = _instr("softplusf", (F32,), F32, _float1(transcendental.softplus))
TANHF = _instr("tanhf", (F32,), F32, _float1(transcendental.tanh))
LOGISTICF = _instr("logisticf", (F32,), F32, _float1(transcendental.logistic))
ROUND_AWAY = _instr("round_away", (F32,), I32, _round_away)
LEAKYF = _instr("leakyf", (F32, F32), F32, _float2(lambda x, alpha: x if x > 0 else x * alpha))
MINF = _instr("minf", (F32, F32), F32, _float2(lambda a, b: b if a > b else a))
MAXF = _instr("maxf", (F32, F32), F32, _float2(lambda a, b: b if a < b else a))
INSIDEF = _instr("insidef", (F32, F32, F32, F32), F32, lambda g, y, lo, hi: g if lo < y < hi else np.float32(0))
MASKEDF = _instr("maskedf", (F32, I32, I32), F32, lambda g, word, bit: g if word >> (bit & 31) & 1 else np.float32(0))
INSIDE_BIT = _instr("inside_bit", (I32, I32, I32, I32), I32, lambda y, lo, hi, bit: wrap_i32((lo < y < hi) << bit))
MACF = _instr("macf", (F32, F32, F32), F32, lambda a, b, acc: np.float32(acc + np.float32(a * b)))
MACF_AFTER = _instr("macf_after", (F32, F32, F32, F32), F32, lambda a, b, acc, _: np.float32(acc + np.float32(a * b)))
EQUALF = _instr("equalf", (I32, I32), F32, lambda a, b: np.float32(a == b))
RANDOM = _instr("random", (I32, I32, I32, I32), I32, _random)
UNITF = _instr("unitf", (I32,), F32, _unit)
FLOORI = _instr("floori", (F32,), I32, _toward_minus_infinity)
TRUNCI = _instr("trunci", (F32,), I32, _toward_zero)
SATURATED_SUM = _instr("saturated_sum", (I32, I32, I32, I32), I32, _saturated_sum)
TRUNCATED_SUM = _instr("truncated_sum", (I32, F32), I32, _truncated_sum)


def _hard_swish_slope(g: Any, x: Any) -> Any:
    slope = (x + x + np.float32(3)) / np.float32(6)
    return np.float32(0) if not x > -3 else g * slope if x < 3 else g


PICKF = _instr("pickf", (F32, F32, I32, I32), I32, lambda a, b, yes, no: yes if a > b else no)
MATCHF = _instr("matchf", (I32, I32, F32), F32, lambda a, b, g: g if a == b else np.float32(0))
LEAKY_SLOPEF = _instr("leaky_slopef", (F32, F32, F32), F32, lambda g, x, alpha: g if x > 0 else alpha * g)
HARD_SWISH_SLOPEF = _instr("hard_swish_slopef", (F32, F32), F32, _hard_swish_slope)
SQRTF = _instr("sqrtf", (F32,), F32, _float1(np.sqrt))
NEXT_TURN = _instr("next_turn", (I32, I32), I32, lambda turn, count: turn + 1 if turn + 1 < count else 0)
FINITEF = _instr("finitef", (F32,), I32, lambda x: int(np.isfinite(x)))
CHOOSEF = _instr("choosef", (I32, F32, F32), F32, lambda yes, a, b: a if yes else b)
CHOOSE = _instr("choose", (I32, I32, I32), I32, lambda yes, a, b: a if yes else b)
TURN = _instr("turn", (I32, I32, I32, I32), I32, lambda turn, at, a, b: a if turn == at else b)
TURNF = _instr("turnf", (I32, I32, F32, F32), F32, lambda turn, at, a, b: a if turn == at else b)
EXPONENTF = _instr("exponentf", (F32,), I32, _exponent)
POWER_OF_TWO = _instr("power_of_two", (I32,), F32, lambda n: np.float32(2.0**n))
NEXT_EXPONENT = _instr("next_exponent", (I32, I32, I32, I32, I32), I32, _next_exponent)
