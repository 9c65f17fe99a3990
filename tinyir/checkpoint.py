"""Checkpoints of trained parameters, byte for byte those of NAME_params_save and NAME_params_load.

    0   "TIRC"
    4   version 1, u16; then 0, u16
    8   32 bytes: what the parameters belong to (`identity`)
    40  bytes of parameters, u32
    44  the parameters, each from its offset in the C struct NAME_params; gaps are 0
    ..  CRC-32 of all before (IEEE 802.3), u32

All little-endian.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import TinyIRError

Array = npt.NDArray[Any]

MAGIC, VERSION = b"TIRC", 1
HEADER = struct.Struct("<4sHH32sI")
HEADER_BYTES = HEADER.size

SIZE_STATUS, MAGIC_STATUS, MODEL_STATUS, CRC_STATUS = 6, 7, 8, 9
REASONS = {
    SIZE_STATUS: "bytes are missing or too many",
    MAGIC_STATUS: "it is no checkpoint, or one of another version",
    MODEL_STATUS: "its parameters are those of another model, or of another choice of what is trained",
    CRC_STATUS: "it is damaged: the CRC-32 does not fit",
}
"""What NAME_params_load returns for a checkpoint that it does not take."""


class Field(Protocol):
    """A parameter and its place in NAME_params."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offset(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class CheckpointError(TinyIRError):
    """A checkpoint that is refused; `status` is what the C function returns for it. No parameter has changed."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the checkpoint is refused: {REASONS.get(status, f'status {status}')}")
        self.status = status


def identity(model: str, fields: Iterable[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """The mark of a checkpoint: SHA-256 of the model's own hash, and of name, type and shape of each parameter."""
    lines = [model, *(f"{name} {dtype} {list(shape)}" for name, dtype, shape in fields)]
    return hashlib.sha256("\n".join(lines).encode()).digest()


def checkpoint_bytes(params_bytes: int) -> int:
    """The size of a checkpoint of so many bytes of parameters."""
    return HEADER_BYTES + params_bytes + 4


def pack(values: Mapping[str, Array], fields: Sequence[Field], params_bytes: int, mark: bytes) -> bytes:
    """The checkpoint of `values`."""
    image = bytearray(params_bytes)
    for field in fields:
        array = np.ascontiguousarray(values[field.name], np.dtype(field.dtype).newbyteorder("<"))
        image[field.offset : field.offset + field.bytes] = array.tobytes()
    head = HEADER.pack(MAGIC, VERSION, 0, mark, params_bytes) + bytes(image)
    return head + struct.pack("<I", zlib.crc32(head))


def unpack(data: bytes, fields: Sequence[Field], params_bytes: int, mark: bytes) -> dict[str, Array]:
    """The parameters in a checkpoint. Raises CheckpointError."""
    if len(data) < checkpoint_bytes(0):
        raise CheckpointError(SIZE_STATUS)
    magic, version, zero, found, count = HEADER.unpack_from(data)
    if len(data) != checkpoint_bytes(count):
        raise CheckpointError(SIZE_STATUS)
    if (magic, version, zero) != (MAGIC, VERSION, 0):
        raise CheckpointError(MAGIC_STATUS)
    if struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
        raise CheckpointError(CRC_STATUS)
    if found != mark or count != params_bytes:
        raise CheckpointError(MODEL_STATUS)
    at = {field.name: HEADER_BYTES + field.offset for field in fields}
    return {f.name: _read(data[at[f.name] : at[f.name] + f.bytes], f) for f in fields}


def _read(data: bytes, field: Field) -> Array:
    little = np.frombuffer(data, np.dtype(field.dtype).newbyteorder("<"))
    return little.astype(field.dtype).reshape(field.shape)
