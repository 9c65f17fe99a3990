"""Checkpoints: the same bytes on every backend; what is foreign or damaged is refused and changes nothing."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.train.networks import dense_network
from tests.train.test_backends_agree import SIZES, examples, state, trainers
from tinyir.checkpoint import CheckpointError
from tinyir.pipeline import Training
from tinyir.runtime.train_program import Trainer

Every = dict[str, Trainer]


@pytest.fixture(scope="module")
def every() -> Every:
    return trainers(dense_network(SIZES), Training())


def stamped(head: bytes) -> bytes:
    """`head` with the CRC-32 that it should have."""
    return head + struct.pack("<I", zlib.crc32(head))


def test_the_layout_is_as_documented(every: Every) -> None:
    trainer = every["host"]
    data = trainer.save()
    image = b"".join(array.tobytes() for array in trainer.params.values())
    assert data[:8] == b"TIRC" + struct.pack("<HH", 1, 0)
    assert data[40:44] == struct.pack("<I", len(image))
    assert data[44:-4] == image
    assert data[-4:] == struct.pack("<I", zlib.crc32(data[:-4]))


def test_all_backends_write_and_read_the_same_bytes(every: Every) -> None:
    for x, label in examples(Training(), 3):
        for trainer in every.values():
            trainer.step(x, label, 0.1)
    saved = {name: trainer.save() for name, trainer in every.items()}
    assert saved["numpy"] == saved["host"] == saved["m7"]
    wanted = state(every["numpy"])
    x = np.ones((1, SIZES[0]), np.float32)
    for trainer in every.values():
        trainer.step(x, 0, 0.5)
        assert state(trainer) != wanted
        trainer.load(saved["numpy"])
        assert state(trainer) == wanted


def damaged(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Checkpoints that must be refused, each with the status."""
    flipped = bytearray(data)
    flipped[60] ^= 4
    other_version = data[:4] + struct.pack("<HH", 2, 0) + data[8:-4]
    foreign = data[:8] + bytes(32) + data[40:-4]
    larger = data[:40] + struct.pack("<I", len(data) - 48 + 4) + data[44:-4] + bytes(4)
    return {
        "empty": (6, b""),
        "cut": (6, data[:-1]),
        "only a header": (6, data[:44]),
        "too long": (6, data + b"\0"),
        "other magic": (7, stamped(b"TIRX" + data[4:-4])),
        "other version": (7, stamped(other_version)),
        "other model": (8, stamped(foreign)),
        "other size": (8, stamped(larger)),
        "a bit flipped": (9, bytes(flipped)),
        "CRC flipped": (9, data[:-1] + bytes([data[-1] ^ 128])),
        "identity damaged": (9, data[:10] + bytes([data[10] ^ 1]) + data[11:]),
    }


@pytest.mark.parametrize("backend", ["numpy", "host", "m7"])
def test_what_is_no_good_is_refused_and_changes_nothing(every: Every, backend: str) -> None:
    trainer = every[backend]
    data = trainer.save()
    trainer.step(np.ones((1, SIZES[0]), np.float32), 0, 0.5)
    before = state(trainer)
    for name, (status, bad) in damaged(data).items():
        with pytest.raises(CheckpointError) as caught:
            trainer.load(bad)
        assert caught.value.status == status, name
        assert state(trainer) == before, name


def test_every_byte_counts(every: Every) -> None:
    """No single damaged byte gets through, on NumPy and in C."""
    data = every["host"].save()
    for at in range(0, len(data), 7):
        bad = bytearray(data)
        bad[at] ^= 0x20
        for name in ("numpy", "host"):
            with pytest.raises(CheckpointError):
                every[name].load(bytes(bad))


def test_parameters_of_another_model_are_refused() -> None:
    """Same shapes, other first values: a checkpoint would silently replace one network by another."""
    a = trainers(dense_network(SIZES, seed=0), Training())
    b = trainers(dense_network(SIZES, seed=1), Training())
    for name in a:
        with pytest.raises(CheckpointError, match="another model"):
            b[name].load(a[name].save())


def test_another_loss_is_no_other_model() -> None:
    """What a network is trained on does not change what its weights mean."""
    training = Training()
    a = trainers(dense_network(SIZES), training)["numpy"]
    b = trainers(dense_network(SIZES), replace(training, loss="mean-squared-error"))["m7"]
    a.step(np.ones((1, SIZES[0]), np.float32), 1, 0.3)
    b.load(a.save())
    assert state(a) == state(b)


def test_what_an_optimiser_remembers_is_kept_too() -> None:
    """Training goes on from a checkpoint as if it had not stopped, on another backend too."""
    training = Training(optimizer="adam", accumulate=2)
    every = trainers(dense_network(SIZES), training)
    data = examples(training, 6)
    for x, label in data[:3]:
        every["host"].step(x, label, 0.01)
    saved = every["host"].save()
    for x, label in data[3:]:
        every["host"].step(x, label, 0.01)
    for name in ("numpy", "m7"):
        every[name].load(saved)
        for x, label in data[3:]:
            every[name].step(x, label, 0.01)
        assert every[name].save() == every["host"].save()
