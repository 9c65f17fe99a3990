"""What is in an Arm ELF file: segments, symbols, and the sizes of sections."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tinyir.diagnostics import ToolError
from tinyir.runtime.toolchain import INSTALL_HELP
from tinyir.runtime.trace import Span

_CODE, _ALLOCATED = 0x4, 0x2  # SHF_EXECINSTR, SHF_ALLOC


class Segment(NamedTuple):
    """Bytes and the address where a programmer of flash puts them."""

    address: int
    data: bytes


class FlashSizes(NamedTuple):
    """Bytes of flash: instructions with their literal pools, and constants."""

    code: int
    weights: int


@dataclass(frozen=True)
class Elf:
    """A linked program: what is loaded, and where its symbols are. Addresses of code have bit 0 clear."""

    path: Path
    segments: tuple[Segment, ...]
    symbols: dict[str, int]
    functions: dict[str, Span]
    objects: dict[str, Span]

    @staticmethod
    def read(path: Path | str) -> Elf:
        """Read the file. Raises ToolError when it is not an ELF file for Arm."""
        path = Path(path)
        elf = _open(path)
        segments = tuple(
            Segment(segment["p_paddr"], segment.data())
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        )
        symbols: dict[str, int] = {}
        functions: dict[str, Span] = {}
        objects: dict[str, Span] = {}
        table = elf.get_section_by_name(".symtab")
        for symbol in table.iter_symbols() if table else ():
            kind, value = symbol["st_info"]["type"], symbol["st_value"]
            if kind == "STT_FUNC":
                value &= ~1
                functions[symbol.name] = Span(value, value + symbol["st_size"])
            elif kind == "STT_OBJECT":
                objects[symbol.name] = Span(value, value + symbol["st_size"])
            if symbol.name and kind != "STT_FILE":
                symbols[symbol.name] = value
        return Elf(path, segments, symbols, functions, objects)

    def symbol(self, name: str) -> int:
        """The address of a symbol. Raises ToolError when there is none of that name."""
        if name not in self.symbols:
            raise ToolError(f"{self.path.name} has no symbol `{name}`")
        return self.symbols[name]

    def loaded(self, address: int, size: int) -> bytes:
        """Bytes of what is loaded, code for instance. Raises ToolError where nothing is."""
        for segment in self.segments:
            at = address - segment.address
            if at >= 0 and at + size <= len(segment.data):
                return segment.data[at : at + size]
        raise ToolError(f"{self.path.name} has nothing at {address:#010x}")

    def describe(self, pc: int) -> str:
        """`function+0x12` for an address inside a function, else the address."""
        at = bisect.bisect_right(self._starts, (pc, "\U0010ffff")) - 1
        if at >= 0:
            begin, name = self._starts[at]
            end = self.functions[name].end
            if pc < end or begin == end:  # a function written in assembly may have no size
                return f"{name}+{pc - begin:#x}"
        return f"{pc:#010x}"

    @cached_property
    def _starts(self) -> list[tuple[int, str]]:
        return sorted((span.begin, name) for name, span in self.functions.items())


def flash_sizes(objects: Iterable[Path]) -> FlashSizes:
    """The flash that object files or a linked program take: executable sections, and constant or initialised data."""
    code = weights = 0
    for path in objects:
        for section in _open(path).iter_sections():
            flags = section["sh_flags"]
            if section["sh_type"] != "SHT_PROGBITS" or not flags & _ALLOCATED:
                continue
            if flags & _CODE:
                code += section["sh_size"]
            else:
                weights += section["sh_size"]
    return FlashSizes(code, weights)


def _open(path: Path) -> Any:
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ToolError("the Python package pyelftools was not found", help=INSTALL_HELP) from error
    import io

    try:
        elf = ELFFile(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror or error}") from error
    except ELFError as error:
        raise ToolError(f"{path}: not an ELF file") from error
    if elf["e_machine"] != "EM_ARM":
        raise ToolError(f"{path}: not an ELF file for Arm")
    return elf
