"""Fixed-point arithmetic in Python integers, written from the sources that define it."""

from __future__ import annotations

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def wrap(x: int) -> int:
    """`x` as a signed 32-bit number."""
    return (x - INT32_MIN) % 2**32 + INT32_MIN


def toward_zero(a: int, b: int) -> int:
    """a / b with the fraction cut off, for b > 0."""
    return a // b if a >= 0 else -(-a // b)


def nearest(a: int, b: int) -> int:
    """a / b rounded to the nearest integer, ties away from zero, for b > 0."""
    return (2 * a + b) // (2 * b) if a >= 0 else -((-2 * a + b) // (2 * b))


def doubling_high_mul(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul, from gemmlowp's fixedpoint.h."""
    if a == b == INT32_MIN:
        return INT32_MAX
    nudge = 1 << 30 if a * b >= 0 else 1 - (1 << 30)
    return toward_zero(a * b + nudge, 1 << 31)


def multiply_quantized(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier, from TFLite's common.h: two roundings."""
    return nearest(doubling_high_mul(wrap(x << max(shift, 0)), multiplier), 1 << max(-shift, 0))


def multiply_quantized_single(x: int, multiplier: int, shift: int) -> int:
    """The same with one rounding, ties upward, from TFLite's common.cc."""
    total = 31 - shift
    return wrap((x * multiplier + (1 << (total - 1))) >> total)
