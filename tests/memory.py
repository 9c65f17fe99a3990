"""Memory for kernels that are run in Python: bytes that buffers share, and a record of who reads and writes what."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyir.ir.types import DType
from tinyir.loops.interp import Buffer
from tinyir.loops.ir import Param

FORMATS = {DType.I8: "b", DType.U8: "B", DType.I16: "h", DType.I32: "i", DType.F32: "f"}


class Elements(list[Any]):
    """Elements of one type in `memory`, from byte `offset` on: what a Buffer may have as its data."""

    def __init__(self, memory: bytearray, offset: int, param: Param) -> None:
        super().__init__()
        self.memory, self.offset, self.param = memory, offset, param
        self.format, self.size = FORMATS[param.dtype], param.dtype.bytes

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            return self[at : at + 1][0]
        start = self.offset + at.start * self.size
        values = struct.unpack_from(f"<{at.stop - at.start}{self.format}", self.memory, start)
        return [np.float32(v) for v in values] if self.format == "f" else list(values)

    def __setitem__(self, at: Any, values: Any) -> None:
        struct.pack_into(f"<{len(values)}{self.format}", self.memory, self.offset + at.start * self.size, *values)


def buffer_in(memory: bytearray, offset: int, param: Param) -> Buffer:
    """The buffer of a parameter that lies in `memory`."""
    buffer = Buffer(param, None)
    buffer.data = Elements(memory, offset, param)
    return buffer


class Watched(list[Any]):
    """The elements of a buffer; `seen` is called with first element, number of elements, and whether it is a store."""

    def __init__(self, values: list[Any], seen: Callable[[int, int, bool], None]) -> None:
        super().__init__(values)
        self.seen = seen

    def __getitem__(self, at: Any) -> Any:
        start, stop = (at.start, at.stop) if isinstance(at, slice) else (at, at + 1)
        self.seen(start, stop - start, False)
        return super().__getitem__(at)

    def __setitem__(self, at: Any, values: Any) -> None:
        self.seen(at.start, at.stop - at.start, True)
        super().__setitem__(at, values)
