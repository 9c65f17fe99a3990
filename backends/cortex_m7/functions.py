"""Kernels to C functions. Kernels that differ in nothing but numbers share one, and hand the numbers over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from tinyir.backends.cortex_m7.cnames import element_type, identifier
from tinyir.backends.cortex_m7.cwriter import CWriter
from tinyir.backends.cortex_m7.emit import KernelPrinter
from tinyir.backends.cortex_m7.slots import fill
from tinyir.loops.ir import Kernel
from tinyir.loops.schedule.core import fresh

Column = tuple[int, ...]
"""A number in the text of a function, for each of its kernels."""

MOST_TIMES, MOST_MORE = 16, 4


@dataclass(frozen=True)
class Body:
    """The body of a kernel's function as text with open numbers; which parameters may share memory with others."""

    kernel: Kernel
    printer: KernelPrinter
    text: str
    aliased: Collection[str]

    @staticmethod
    def of(kernel: Kernel, aliased: Collection[str]) -> Body:
        printer, c = KernelPrinter(kernel), CWriter()
        c.depth = 1
        printer.body(kernel.body, c)
        return Body(kernel, printer, c.text(), aliased)

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for kernels that can share a function."""
        return (self.text, *(f"{element_type(p)} {identifier(p.name)}" for p in self.kernel.params))


class Function:
    """A C function called `name` for one or more kernels.

    Where these differ in numbers, the function has a last parameter `numbers`: a row of the table that precedes it.
    """

    def __init__(self, name: str, bodies: list[Body]) -> None:
        self.name, self.bodies = name, bodies

    @property
    def helpers(self) -> set[str]:
        return self.bodies[0].printer.helpers

    @cached_property
    def _slots(self) -> list[Column]:
        """The number in each slot, for each kernel."""
        return list(zip(*(body.printer.slots.values for body in self.bodies), strict=True))

    @cached_property
    def _columns(self) -> dict[Column, str]:
        """The numbers that kernels hand over, and what they are called in the function."""
        first = self.bodies[0].printer
        hints = dict(zip(reversed(self._slots), reversed(first.slots.hints), strict=True))
        taken = {*first.names, "numbers"}
        columns: dict[Column, str] = {}
        for column in sorted(column for column in hints if len(set(column)) > 1):
            if not any(follows(column, base) for base in columns):
                columns[column] = fresh(taken, hints[column])
        return columns

    def _name(self, column: Column) -> str:
        """A number in the function: known, handed over, or what follows from another."""
        if len(set(column)) == 1:
            return str(column[0])
        if column in self._columns:
            return self._columns[column]
        base, (times, more) = next((base, found) for base in self._columns if (found := follows(column, base)))
        product = self._columns[base] if times == 1 else f"{times} * {self._columns[base]}"
        return f"({product} {'-' if more < 0 else '+'} {abs(more)})" if more else f"({product})"

    @cached_property
    def _rows(self) -> list[tuple[int, ...]]:
        """The numbers that each kernel hands over."""
        return list(zip(*self._columns, strict=True)) or [()] * len(self.bodies)

    @cached_property
    def _table(self) -> list[tuple[int, ...]]:
        return list(dict.fromkeys(self._rows))

    def numbers(self, kernel: Kernel) -> list[str]:
        """The argument after the buffers in a call for `kernel`, if there is one."""
        index = next(i for i, body in enumerate(self.bodies) if body.kernel is kernel)
        return [f"{self.name}_numbers[{self._table.index(self._rows[index])}]"] if self._columns else []

    def define(self, c: CWriter) -> None:
        """The definition, the table of numbers before it."""
        body = self.bodies[0]
        c.comment(self._doc())
        small = all(-(2**15) <= number < 2**15 for row in self._table for number in row)
        ctype = "int16_t" if small else "int32_t"
        if self._columns:
            with c.block(f"static const {ctype} {self.name}_numbers[{len(self._table)}][{len(self._columns)}] =", "};"):
                for row in self._table:
                    c.line(f"{{{', '.join(map(str, row))}}},")
        params = [self._parameter(body, p.name) for p in body.kernel.params]
        params += [f"const {ctype} *numbers"] if self._columns else []
        c.line(f"static TINYIR_KERNEL void {self.name}(\n    {f',{chr(10)}    '.join(params)})")
        with c.block(""):
            for i, name in enumerate(self._columns.values()):
                c.line(f"const int32_t {name} = numbers[{i}];")
            names = {i: self._name(column) for i, column in enumerate(self._slots) if len(set(column)) > 1}
            c.lines += fill(body.text, body.printer.slots.values, names).splitlines()

    def _parameter(self, body: Body, name: str) -> str:
        param = body.kernel.param(name)
        restrict = "" if any(name in other.aliased for other in self.bodies) else "restrict "
        return f"{element_type(param)} *{restrict}{identifier(name)}"

    def _doc(self) -> list[str]:
        """What the function computes and how; the other ops it serves."""
        kernel = self.bodies[0].kernel
        others = [line for body in self.bodies[1:] for line in body.kernel.doc[:1]]
        return [*kernel.doc, *schedule_lines(kernel), *(f"also {line}" for line in dict.fromkeys(others))]


def functions_of(
    kernels: Iterable[tuple[Kernel, Collection[str]]], name_of: Callable[[Kernel], str]
) -> dict[str, Function]:
    """A function for each kernel, by the kernel's name. Beside each kernel stand the parameters that may share memory
    with others; `name_of` gives a free name to the first kernel of a function."""
    groups: dict[tuple[str, ...], list[Body]] = {}
    for kernel, aliased in kernels:
        body = Body.of(kernel, aliased)
        groups.setdefault(body.key, []).append(body)
    functions = [Function(name_of(bodies[0].kernel), bodies) for bodies in groups.values()]
    return {body.kernel.name: function for function in functions for body in function.bodies}


def follows(column: Column, base: Column) -> tuple[int, int] | None:
    """Factor and addend, both small, that make `column` of `base` for every kernel: a stride, the next element of a
    row. Compilers then see that addresses have parts in common."""
    rise = next(((c - column[0], b - base[0]) for c, b in zip(column, base, strict=True) if b != base[0]), (0, 1))
    times = rise[0] // rise[1]
    more = column[0] - times * base[0]
    fits = 1 <= times <= MOST_TIMES and abs(more) <= MOST_MORE
    return (times, more) if fits and all(c == times * b + more for c, b in zip(column, base, strict=True)) else None


def schedule_lines(kernel: Kernel) -> list[str]:
    """The schedule of a kernel, wrapped."""
    lines: list[str] = []
    for step in kernel.schedule:
        if lines and len(lines[-1]) + len(step) < 110:
            lines[-1] += f", {step}"
        else:
            lines.append(f"  {step}" if lines else f"schedule: {step}")
    return lines
