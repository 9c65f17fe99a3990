"""The tracer in C (`blockcount.c`), built for this machine when first needed and kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyir.diagnostics import ToolError
from tinyir.runtime.toolchain import HERE, CompileOptions, HostCompiler, cache_dir
from tinyir.runtime.trace import (
    EVERYWHERE,
    NOWHERE,
    Block,
    Checks,
    Edge,
    Loads,
    OpObserver,
    Range,
    Span,
    Stop,
    StopKind,
    Trace,
    reaching,
)

MAX_RANGES = 64
_STOPS: tuple[StopKind | None, ...] = (None, "limit", "read", "write", "fetch", "unaligned", "memory")
_OBSERVER = ctypes.CFUNCTYPE(None, ctypes.c_uint32)

_BLOCK = np.dtype([("address", "u4"), ("bytes", "u4"), ("instructions", "u4"), ("op", "u4")])
_EDGE = np.dtype([("from", "i4"), ("to", "i4"), ("count", "u8"), ("mispredicted", "u8")])
_LOAD = np.dtype([("pc", "u4"), ("padding", "u4"), ("count", "u8"), ("unaligned", "u8"), ("clashes", "u8")])


class _Span(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_uint32), ("end", ctypes.c_uint32))


class _Range(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_uint32), ("end", ctypes.c_uint32), ("writable", ctypes.c_uint32))


class _Tracer(ctypes.Structure):
    """The part of `struct tracer` that is not private."""

    _fields_ = (
        ("emu_stop", ctypes.c_void_p),
        ("mem_read", ctypes.c_void_p),
        ("reg_read", ctypes.c_void_p),
        ("reg_write", ctypes.c_void_p),
        ("observer", ctypes.c_void_p),
        ("kernels", ctypes.POINTER(_Span)),
        ("limit", ctypes.c_uint64),
        ("n_kernels", ctypes.c_uint32),
        ("sp_register", ctypes.c_int32),
        ("pc_register", ctypes.c_int32),
        ("cpsr_register", ctypes.c_int32),
        ("guarding", ctypes.c_uint32),
        ("recording", ctypes.c_uint32),
        ("n_ranges", ctypes.c_uint32),
        ("ranges", _Range * MAX_RANGES),
        ("instructions", ctypes.c_uint64),
        ("op", ctypes.c_uint32),
        ("entered", ctypes.c_uint32),
        ("lowest_sp", ctypes.c_uint32),
        ("n_blocks", ctypes.c_uint32),
        ("n_edges", ctypes.c_uint32),
        ("n_loads", ctypes.c_uint32),
        ("stop", ctypes.c_uint32),
        ("fault_address", ctypes.c_uint32),
        ("fault_bytes", ctypes.c_uint32),
        ("fault_pc", ctypes.c_uint32),
        ("started", ctypes.c_uint32),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled tracer, or None when this machine has no C compiler."""
    try:
        loaded = ctypes.CDLL(str(_build()))
    except (ToolError, OSError):
        return None
    loaded.tinyir_new.restype = ctypes.POINTER(_Tracer)
    loaded.tinyir_free.argtypes = loaded.tinyir_start.argtypes = (ctypes.POINTER(_Tracer),)
    loaded.tinyir_export.argtypes = (ctypes.POINTER(_Tracer), *3 * (ctypes.c_void_p,))
    return loaded


def _build() -> Path:
    source = HERE / "blockcount.c"
    compiler = HostCompiler.detect()
    what = (source.read_bytes(), compiler.version.encode(), sys.platform.encode(), platform.machine().encode())
    built = cache_dir() / f"blockcount-{hashlib.sha256(b'|'.join(what)).hexdigest()[:16]}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(prefix="tinyir-", dir=cache_dir()) as folder:
            part = compiler.shared_library([source], Path(folder) / built.name, CompileOptions(opt="-O2"))
            os.replace(part, built)  # another process may have been faster: the same file
    return built


class NativeTracer:
    """A `Tracer` whose callbacks never enter Python, but for an observer."""

    def __init__(self, uc: Any, kernels: Sequence[Span], checks: Checks) -> None:
        """Attach to the Unicorn instance `uc`."""
        from unicorn import arm_const, unicorn_const
        from unicorn.unicorn_py3.unicorn import uclib

        loaded = library()
        assert loaded is not None
        self._library, self._uc, self._uclib, self._checks = loaded, uc, uclib, checks
        self._handle = loaded.tinyir_new()
        self._state: Any = self._handle.contents
        self._observer: Any = None
        self._kernels = (_Span * max(len(kernels), 1))(*(_Span(*kernel) for kernel in kernels))
        for name in ("emu_stop", "mem_read", "reg_read", "reg_write"):
            setattr(self._state, name, ctypes.cast(getattr(uclib, f"uc_{name}"), ctypes.c_void_p))
        self._state.kernels, self._state.n_kernels = self._kernels, len(kernels)
        self._state.sp_register, self._state.pc_register = arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_PC
        self._state.cpsr_register = arm_const.UC_ARM_REG_CPSR
        self._state.lowest_sp = 0xFFFF_FFFF
        self._access = unicorn_const.UC_HOOK_MEM_READ | unicorn_const.UC_HOOK_MEM_WRITE
        self._gap_hooks: list[Any] = []
        self._hook(unicorn_const.UC_HOOK_BLOCK, loaded.tinyir_on_block, EVERYWHERE)
        self._hook(unicorn_const.UC_HOOK_MEM_INVALID, loaded.tinyir_on_invalid, EVERYWHERE)
        if checks != "pages":  # there must be a hook when code is translated, for those of later gaps to be called
            self._hook(self._access, loaded.tinyir_on_access, EVERYWHERE if checks == "full" else NOWHERE)

    def _hook(self, kind: int, callback: Any, where: Span) -> Any:
        handle, address = ctypes.c_size_t(), ctypes.cast(callback, ctypes.c_void_p)
        begin, end = ctypes.c_uint64(where.begin), ctypes.c_uint64(where.end)
        status = self._uclib.uc_hook_add(self._uc._uch, ctypes.byref(handle), kind, address, self._handle, begin, end)
        if status != 0:
            raise ToolError(f"Unicorn refused a hook (error {status})")
        return handle

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.tinyir_free(self._handle)

    def guard(self, ranges: Sequence[Range], gaps: Sequence[Span]) -> None:
        if len(ranges) > MAX_RANGES:
            raise ToolError(f"the emulator guards at most {MAX_RANGES} ranges of memory, {len(ranges)} were given")
        for slot, allowed in zip(self._state.ranges, ranges, strict=False):
            slot.begin, slot.end, slot.writable = allowed.begin, allowed.end, allowed.writable
        self._state.n_ranges = len(ranges)
        for hook in self._gap_hooks:
            self._uclib.uc_hook_del(self._uc._uch, hook)
        self._gap_hooks = [
            self._hook(self._access, self._library.tinyir_on_access, reaching(gap))
            for gap in (gaps if self._checks == "bounds" else ())
        ]

    def start(self, limit: int, observer: OpObserver | None) -> None:
        self._observer = _OBSERVER(observer) if observer else None
        self._state.observer = ctypes.cast(self._observer, ctypes.c_void_p) if observer else None
        self._state.limit = limit
        self._library.tinyir_start(self._handle)
        self._state.guarding, self._state.recording = self._checks != "pages", self._checks == "full"

    def finish(self) -> None:
        self._state.started = self._state.guarding = self._state.recording = 0

    @property
    def instructions(self) -> int:
        return int(self._state.instructions)

    @property
    def op(self) -> int:
        return int(self._state.op)

    @property
    def entered(self) -> int:
        return int(self._state.entered)

    @property
    def lowest_sp(self) -> int:
        return int(self._state.lowest_sp)

    @property
    def stop(self) -> Stop | None:
        kind = _STOPS[self._state.stop]
        if kind is None:
            return None
        return Stop(kind, self._state.fault_address, self._state.fault_bytes, self._state.fault_pc)

    def trace(self) -> Trace:
        state = self._state
        blocks, edges = np.empty(state.n_blocks, _BLOCK), np.empty(state.n_edges, _EDGE)
        loads = np.empty(state.n_loads, _LOAD)
        self._library.tinyir_export(self._handle, blocks.ctypes.data, edges.ctypes.data, loads.ctypes.data)
        counts = np.zeros(len(blocks), np.uint64)
        np.add.at(counts, edges["to"], edges["count"])
        executed = counts > 0  # blocks and transitions of earlier runs stay known, with a count of 0
        number = np.append(np.cumsum(executed) - 1, -1)  # the last one is for `from` == -1
        edges = edges[edges["count"] > 0]
        rows = zip(blocks[executed].tolist(), counts[executed].tolist(), strict=True)
        came, to = number[edges["from"]].tolist(), number[edges["to"]].tolist()
        times = zip(came, to, edges["count"].tolist(), edges["mispredicted"].tolist(), strict=True)
        seen = {pc: Loads(n, unaligned, clashes) for pc, _, n, unaligned, clashes in loads[loads["count"] > 0].tolist()}
        found = [Block(address, size, n, op, count) for (address, size, n, op), count in rows]
        return Trace(found, [Edge(*edge) for edge in times], seen)
