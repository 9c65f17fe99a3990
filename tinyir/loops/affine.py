"""Affine index expressions: constant + sum of coefficient * loop variable, and the intervals that guard them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Affine:
    """`const + sum(coef * var)`; terms sorted by variable, no zero coefficients."""

    terms: tuple[tuple[str, int], ...] = ()
    const: int = 0

    @staticmethod
    def of(value: int | str | Affine) -> Affine:
        """A constant, a variable, or an Affine as it is."""
        if isinstance(value, Affine):
            return value
        if isinstance(value, str):
            return Affine(((value, 1),))
        return Affine((), value)

    @staticmethod
    def build(coefs: Mapping[str, int], const: int = 0) -> Affine:
        return Affine(tuple(sorted([term for term in coefs.items() if term[1]])), const)

    @property
    def coefs(self) -> dict[str, int]:
        return dict(self.terms)

    @property
    def vars(self) -> tuple[str, ...]:
        return tuple(var for var, _ in self.terms)

    def coef(self, var: str) -> int:
        for name, c in self.terms:
            if name == var:
                return c
        return 0

    def __add__(self, other: Affine | int | str) -> Affine:
        other = Affine.of(other)
        const = self.const + other.const
        if not other.terms or not self.terms:
            return Affine(self.terms or other.terms, const)
        coefs = self.coefs
        for var, c in other.terms:
            coefs[var] = coefs.get(var, 0) + c
        return Affine.build(coefs, const)

    def __mul__(self, factor: int) -> Affine:
        if factor == 1:
            return self
        return Affine(tuple([(v, c * factor) for v, c in self.terms]) if factor else (), self.const * factor)

    def __sub__(self, other: Affine | int | str) -> Affine:
        return self + Affine.of(other) * -1

    def substitute(self, values: Mapping[str, Affine]) -> Affine:
        """Each variable of `values` replaced by what it maps to."""
        for var, _ in self.terms:
            if var in values:
                break
        else:
            return self
        coefs: dict[str, int] = {}
        const = self.const
        for var, c in self.terms:
            value = values.get(var)
            if value is None:
                coefs[var] = coefs.get(var, 0) + c
                continue
            const += c * value.const
            for inner, factor in value.terms:
                coefs[inner] = coefs.get(inner, 0) + c * factor
        return Affine.build(coefs, const)

    def part(self, vars: Iterable[str]) -> Affine:
        """The terms of `vars` alone, without the constant."""
        wanted = set(vars)
        return Affine(tuple((v, c) for v, c in self.terms if v in wanted), 0)

    def range(self, extents: Mapping[str, int]) -> tuple[int, int]:
        """Smallest and largest value for variables that run over 0..extent-1."""
        lo = hi = self.const
        for var, c in self.terms:
            span = c * (extents[var] - 1)
            lo, hi = lo + min(0, span), hi + max(0, span)
        return lo, hi

    def multiple_of(self, n: int) -> bool:
        """Whether the value is a multiple of `n` for all values of the variables."""
        return self.const % n == 0 and all(c % n == 0 for _, c in self.terms)

    def __str__(self) -> str:
        parts = [var if c == 1 else f"{c}*{var}" for var, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts)


@dataclass(frozen=True)
class Guard:
    """`0 <= expr < bound`."""

    expr: Affine
    bound: int

    def substitute(self, values: Mapping[str, Affine]) -> Guard:
        return Guard(self.expr.substitute(values), self.bound)

    def decide(self, extents: Mapping[str, int]) -> bool | None:
        """True or False where the guard always or never holds, else None."""
        lo, hi = self.expr.range(extents)
        if lo >= 0 and hi < self.bound:
            return True
        if hi < 0 or lo >= self.bound:
            return False
        return None

    def __str__(self) -> str:
        return f"0 <= {self.expr} < {self.bound}"


def flatten(index: tuple[Affine, ...], shape: tuple[int, ...]) -> Affine:
    """The row-major linear index of `index` in `shape`."""
    coefs: dict[str, int] = {}
    const, stride = 0, 1
    for part, extent in zip(reversed(index), reversed(shape), strict=True):
        const += part.const * stride
        for var, c in part.terms:
            coefs[var] = coefs.get(var, 0) + c * stride
        stride *= extent
    return Affine.build(coefs, const)
