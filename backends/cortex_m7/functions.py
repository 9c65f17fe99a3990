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
    def _columns(self) -> dict[tuple[int, ...], str]:
        """The numbers in which kernels differ, one for each kernel, and what they are called in the function."""
        first = self.bodies[0].printer
        taken = {*first.names, "numbers"}
        columns: dict[tuple[int, ...], str] = {}
        for column, hint in zip(self._slots, first.slots.hints, strict=True):
            if column not in columns and len(set(column)) > 1:
                columns[column] = fresh(taken, hint)
        return columns

    @cached_property
    def _slots(self) -> list[tuple[int, ...]]:
        """The number in each slot, for each kernel."""
        return list(zip(*(body.printer.slots.values for body in self.bodies), strict=True))

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
        ctype = "int16_t" if max((n for row in self._table for n in row), default=0) < 2**15 else "int32_t"
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
            names = {i: self._columns[column] for i, column in enumerate(self._slots) if column in self._columns}
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


def schedule_lines(kernel: Kernel) -> list[str]:
    """The schedule of a kernel, wrapped."""
    lines: list[str] = []
    for step in kernel.schedule:
        if lines and len(lines[-1]) + len(step) < 110:
            lines[-1] += f", {step}"
        else:
            lines.append(f"  {step}" if lines else f"schedule: {step}")
    return lines
