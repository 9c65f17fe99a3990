"""Damaged files: each loads or raises a TinyIRError, soon and in little memory. The seed names the mutation."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from tests.strategies import graph_case
from tinyir.diagnostics import TinyIRError
from tinyir.frontends.tflite import parse_tflite

SEEDS = 1200
BATCHES = 12
HANG_SECONDS = 20
MEMORY_BYTES = 16 << 20

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"

NASTY = (0, 1, 2, 255, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x7FC00000, 0x7F800000, 1 << 16)
"""Words that are lengths, offsets and floats of the worst kinds."""


@cache
def originals() -> list[bytes]:
    return [DIGITS.read_bytes(), *(graph_case(seed, quantized=seed % 3 > 0).model for seed in range(30))]


def _flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 12))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def _splice_words(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(data) // 4)) * 4
        word = int(rng.integers(2**32)) if rng.integers(2) else NASTY[int(rng.integers(len(NASTY)))]
        data[place : place + 4] = word.to_bytes(4, "little")


def _copy_a_piece(data: bytearray, rng: np.random.Generator) -> None:
    source, target = (int(place) for place in rng.integers(0, len(data), 2))
    size = int(rng.integers(1, 64))
    data[target : target + size] = data[source : source + size]


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip_bits,
    _truncate,
    _splice_words,
    _splice_words,
    _copy_a_piece,
)


def mutated(seed: int) -> bytes:
    """The damaged file that belongs to `seed`."""
    rng = np.random.default_rng(seed)
    data = bytearray(originals()[seed % len(originals())])
    MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return bytes(data)


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Fail if the body hangs or allocates without bound."""

    def hang(*_: object) -> None:
        raise TimeoutError(f"{what} hangs")

    previous = signal.signal(signal.SIGALRM, hang)
    signal.alarm(HANG_SECONDS)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
        assert peak < MEMORY_BYTES, f"{what} takes {peak} bytes"
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_files(batch: int) -> None:
    parse_tflite(originals()[0], "digits")  # what is imported once is not counted
    outcomes = set()
    for seed in range(batch, SEEDS, BATCHES):
        with bounded(f"seed {seed}"):
            try:
                parse_tflite(mutated(seed), "damaged")
                outcomes.add("loads")
            except TinyIRError as error:
                outcomes.add("refused" if error.render().startswith("error: ") else error.render())
    assert outcomes == {"loads", "refused"}


def test_lists_that_share_their_bytes() -> None:
    """200 tensors whose 20,000 scales are one and the same list would take a multiple of the file in memory."""
    b = flatbuffers.Builder(1 << 20)
    scales = b.CreateNumpyVector(np.ones(20_000, np.float32))
    zeros = b.CreateNumpyVector(np.zeros(20_000, np.int64))
    tensors = []
    for _ in range(200):
        schema.QuantizationParametersStart(b)
        schema.QuantizationParametersAddScale(b, scales)
        schema.QuantizationParametersAddZeroPoint(b, zeros)
        quantization = schema.QuantizationParametersEnd(b)
        schema.TensorStart(b)
        schema.TensorAddQuantization(b, quantization)
        tensors.append(schema.TensorEnd(b))
    inputs = b.CreateNumpyVector(np.arange(200, dtype=np.int32))
    buffers = _table_vector(b, [_empty_table(b)])
    tensor_vector = _table_vector(b, tensors)
    schema.SubGraphStart(b)
    schema.SubGraphAddTensors(b, tensor_vector)
    schema.SubGraphAddInputs(b, inputs)
    subgraphs = _table_vector(b, [schema.SubGraphEnd(b)])
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddSubgraphs(b, subgraphs)
    schema.ModelAddBuffers(b, buffers)
    b.Finish(schema.ModelEnd(b), file_identifier=b"TFL3")
    with bounded("a model with shared lists"), pytest.raises(TinyIRError, match="lists overlap"):
        parse_tflite(bytes(b.Output()), "shared")


def _empty_table(b: flatbuffers.Builder) -> int:
    schema.BufferStart(b)
    table: int = schema.BufferEnd(b)
    return table


def _table_vector(b: flatbuffers.Builder, tables: list[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    vector: int = b.EndVector()
    return vector
