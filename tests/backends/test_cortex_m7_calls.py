"""The entry of a generated program: what it returns, refuses, reads and writes, and how often it can run at once."""

from __future__ import annotations

import ctypes
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.backends.programs import ALL, RANDOM, case, program
from tests.graph_maker import Array
from tinyir.runtime.host import HostProgram
from tinyir.runtime.program import ProgramInfo
from tinyir.runtime.toolchain import CompileOptions, HostCompiler

OK, NULL_POINTER, NOT_ALIGNED = 0, 1, 2
"""The codes that the header documents."""

ZONE, AROUND, FRESH = 64, 0x5C, 0xA5
FEW = ("conv", "add", "int8-18", "float-32", "digits")


class Library:
    """A program, built for this machine as it is, called with addresses."""

    def __init__(self, name: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.info = ProgramInfo.load(program(name).write(folder))
            options = CompileOptions("-O2", (Path(folder),))
            out = Path(folder) / "program.so"
            self.library = ctypes.CDLL(str(HostCompiler.detect().shared_library(self.info.source_paths, out, options)))
        self.inputs = [f"input{i}" for i in range(len(self.info.inputs))]
        self.outputs = [f"output{i}" for i in range(len(self.info.outputs))]

    def run(self, arena: int, ports: list[int]) -> int:
        return int(self.library[self.info.entry](ctypes.c_void_p(arena), *map(ctypes.c_void_p, ports)))

    def place(self, port: str, arena: int) -> int:
        """What `NAME_input0(arena)` and the like give."""
        accessor = self.library[f"{self.info.prefix}_{port}"]
        accessor.restype = ctypes.c_void_p
        return int(accessor(ctypes.c_void_p(arena)))


@cache
def library(name: str) -> Library:
    return Library(name)


class Buffer:
    """Memory that begins `skew` bytes past an address aligned to 16, with zones around it that nobody may write."""

    def __init__(self, size: int, skew: int = 0) -> None:
        self.whole = np.full(size + 2 * ZONE + 16 + skew, AROUND, np.uint8)
        self.begin = ZONE + skew + -(self.whole.ctypes.data + ZONE) % 16
        self.bytes = self.whole[self.begin : self.begin + size]
        self.bytes[:] = FRESH

    @property
    def address(self) -> int:
        return self.bytes.ctypes.data

    def is_alone(self) -> bool:
        """Whether nothing around it was written."""
        after = self.begin + len(self.bytes)
        return bool((self.whole[: self.begin] == AROUND).all() and (self.whole[after:] == AROUND).all())

    def is_fresh(self) -> bool:
        return self.is_alone() and bool((self.bytes == FRESH).all())


class Call:
    """An arena, and buffers of the caller's for one set of inputs, `skew` elements past an aligned address."""

    def __init__(self, name: str, which: int = 0, skew: int = 0, arena_skew: int = 0) -> None:
        self.library, self.values = library(name), case(name).inputs[which]
        self.wanted = [y.tobytes() for y in case(name).outputs[which]]
        self.arena = Buffer(self.library.info.arena_bytes, arena_skew)
        tensors = [*self.library.info.inputs, *self.library.info.outputs]
        self.ports = [Buffer(t.bytes, skew * np.dtype(t.dtype).itemsize) for t in tensors]
        self.inputs, self.outputs = self.ports[: len(self.values)], self.ports[len(self.values) :]
        for buffer, value in zip(self.inputs, self.values, strict=True):
            buffer.bytes[:] = as_bytes(value)

    def run(self, arena: int | None = None, **replaced: int) -> int:
        """The status of a run; `replaced` are addresses of ports to pass instead, by name."""
        names = [*self.library.inputs, *self.library.outputs]
        ports = [replaced.get(name, port.address) for name, port in zip(names, self.ports, strict=True)]
        return self.library.run(self.arena.address if arena is None else arena, ports)

    def check(self) -> None:
        """The outputs are right, the inputs what they were, and nothing else was written."""
        assert [bytes(y.bytes) for y in self.outputs] == self.wanted
        assert [bytes(x.bytes) for x in self.inputs] == [x.tobytes() for x in self.values]
        assert all(buffer.is_alone() for buffer in (self.arena, *self.ports))


def as_bytes(array: Array) -> Array:
    return np.frombuffer(array.tobytes(), np.uint8)


# -- results --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("which", range(3))
def test_outputs(name: str, which: int) -> None:
    call = Call(name, which)
    assert call.run() == OK
    call.check()


@pytest.mark.parametrize("skew", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ALL)
def test_buffers_at_odd_addresses(name: str, skew: int) -> None:
    """Any address that is aligned to one element will do."""
    call = Call(name, skew=skew)
    assert call.run() == OK
    call.check()


@pytest.mark.parametrize("name", FEW)
def test_the_arena_may_stand_at_the_alignment_it_asks_for(name: str) -> None:
    call = Call(name, arena_skew=library(name).info.arena_align)
    assert call.arena.address % 16 == 8
    assert call.run() == OK
    call.check()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("own_inputs", "own_outputs"), [*product([False, True], repeat=2)])
def test_planned_places(name: str, own_inputs: bool, own_outputs: bool) -> None:
    """In each mix of planned places and the caller's buffers the outputs are the same bytes."""
    call = Call(name)
    program, arena, replaced = call.library, call.arena.address, {}
    if not own_inputs:
        for port, value in zip(program.inputs, call.values, strict=True):
            replaced[port] = program.place(port, arena)
            ctypes.memmove(replaced[port], value.ctypes.data, value.nbytes)
    if not own_outputs:
        replaced |= {port: program.place(port, arena) for port in program.outputs}
    assert call.run(**replaced) == OK
    if not own_outputs:
        assert all(buffer.is_fresh() for buffer in call.outputs)
        for port, buffer in zip(program.outputs, call.outputs, strict=True):
            ctypes.memmove(buffer.address, replaced[port], len(buffer.bytes))
    call.check()


@pytest.mark.parametrize("name", FEW)
def test_places_lie_in_the_arena(name: str) -> None:
    info, program = library(name).info, library(name)
    arena = Buffer(info.arena_bytes).address
    tensors = [*info.inputs, *info.outputs]
    for port, tensor in zip([*program.inputs, *program.outputs], tensors, strict=True):
        offset = program.place(port, arena) - arena
        assert 0 <= offset <= info.arena_bytes - tensor.bytes
        assert offset % np.dtype(tensor.dtype).itemsize == 0


@pytest.mark.parametrize("fill", [0x00, 0x7F, 0x80, 0xFF])
@pytest.mark.parametrize("name", ALL)
def test_no_state(name: str, fill: int) -> None:
    """What was in the arena, and in it from an earlier run, is of no account."""
    call = Call(name)
    call.arena.bytes[:] = fill
    for _ in range(2):
        for buffer in call.outputs:
            buffer.bytes[:] = fill
        assert call.run() == OK
        call.check()


# -- what is refused ------------------------------------------------------------------------------------------------


def assert_nothing_was_written(call: Call) -> None:
    assert all(buffer.is_fresh() for buffer in (call.arena, *call.outputs))
    assert [bytes(x.bytes) for x in call.inputs] == [x.tobytes() for x in call.values]


@pytest.mark.parametrize("name", FEW)
def test_null_pointers(name: str) -> None:
    call = Call(name)
    assert call.run(arena=0) == NULL_POINTER
    for port in [*call.library.inputs, *call.library.outputs]:
        assert call.run(**{port: 0}) == NULL_POINTER
    assert_nothing_was_written(call)


@pytest.mark.parametrize("skew", [1, 2, 4, 7, 9])
@pytest.mark.parametrize("name", FEW)
def test_an_arena_that_is_not_aligned(name: str, skew: int) -> None:
    call = Call(name, arena_skew=skew)
    assert call.run() == NOT_ALIGNED
    assert_nothing_was_written(call)


# -- side by side ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_two_threads(name: str) -> None:
    """Each with an arena of its own, on inputs of its own."""

    def runs(which: int) -> None:
        for _ in range(100):
            call = Call(name, which)
            assert call.run() == OK
            call.check()

    Call(name)  # builds, before the threads start
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(runs, 0), pool.submit(runs, 1)]:
            done.result()


@pytest.mark.parametrize("name", [*RANDOM[:3], *FEW])
def test_a_run_within_a_run(name: str, tmp_path: Path) -> None:
    """After each op of one run another one takes place, whole, in an arena of its own."""
    outer = HostProgram.build(program(name).write(tmp_path))
    nested: list[Call] = []
    busy = False

    def observe(index: int, arena: Array) -> None:
        nonlocal busy
        if not busy:
            busy = True
            call = Call(name, which=1 + index % 2)
            ports = [port.address for port in call.ports]
            count = len(call.inputs)
            assert outer.invoke(call.arena.address, ports[:count], ports[count:]) == OK
            nested.append(call)
            busy = False

    found = outer.run(case(name).inputs[0], observe=observe).outputs
    assert [y.tobytes() for y in found] == [y.tobytes() for y in case(name).outputs[0]]
    assert len(nested) == len(outer.info.ops)
    for call in nested:
        call.check()
