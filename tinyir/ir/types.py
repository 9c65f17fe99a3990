"""Types of values: element types, quantised element types, and tensor types with a layout.

Types are frozen and hashable; two types are equal when they say the same. At the `nn` level a quantised type is the
only place where scales and zero points live: `real = scale * (stored - zero_point)`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt


class DType(Enum):
    """Element types. The value is the name in IR text."""

    I4 = "i4"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    U8 = "u8"
    F32 = "f32"
    BOOL = "bool"

    __hash__ = object.__hash__  # that of Enum is written in Python, and types are hashed often

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type that holds one element (i4 is held in an int8)."""
        return _NUMPY[self]

    @property
    def bytes(self) -> int:
        """Size of one element in memory; i4 takes a whole byte."""
        return self.numpy.itemsize

    @property
    def is_integer(self) -> bool:
        return self not in (DType.F32, DType.BOOL)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value of an integer type."""
        if self is DType.I4:
            return -8, 7
        info = np.iinfo(self.numpy)
        return int(info.min), int(info.max)

    def __str__(self) -> str:
        return self.value


_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.I4: np.dtype(np.int8),
    DType.I8: np.dtype(np.int8),
    DType.I16: np.dtype(np.int16),
    DType.I32: np.dtype(np.int32),
    DType.I64: np.dtype(np.int64),
    DType.U8: np.dtype(np.uint8),
    DType.F32: np.dtype(np.float32),
    DType.BOOL: np.dtype(np.bool_),
}


def dtype_of(array: npt.NDArray[Any]) -> DType:
    """The element type of a NumPy array. Raises KeyError for a type that has no counterpart."""
    for dtype, numpy_type in _NUMPY.items():
        if numpy_type == array.dtype and dtype is not DType.I4:
            return dtype
    raise KeyError(f"no element type for numpy {array.dtype}")


@dataclass(frozen=True)
class QType:
    """A quantised element: integers that stand for reals, with one scale for the tensor or one per index of `axis`."""

    storage: DType
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        assert self.axis is not None or len(self.scales) == 1
        assert len(self.zero_points) == len(self.scales)

    @property
    def per_axis(self) -> bool:
        return self.axis is not None

    @property
    def scale(self) -> float:
        """The one scale of a per-tensor type."""
        assert not self.per_axis
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The one zero point of a per-tensor type."""
        assert not self.per_axis
        return self.zero_points[0]


ElemType = DType | QType


def q8(scale: float, zero_point: int) -> QType:
    """A per-tensor int8 quantised element; `scale` is rounded to float32, as model files hold it."""
    return QType(DType.I8, (float(np.float32(scale)),), (zero_point,))


@dataclass(frozen=True)
class TensorType:
    """A shape, an element type, and a layout: one letter per axis that names it, or "" where axes have no names.

    `shape` is the order in memory, row-major. A layout of "NHWC" or "NCHW" says which axis is which, so a pass that
    moves axes changes shape and layout together and no op breaks.
    """

    shape: tuple[int, ...]
    elem: ElemType
    layout: str = ""

    def __post_init__(self) -> None:
        assert not self.layout or len(self.layout) == len(self.shape), (self.shape, self.layout)

    @property
    def storage(self) -> DType:
        """The element type in memory."""
        return self.elem.storage if isinstance(self.elem, QType) else self.elem

    @property
    def quant(self) -> QType | None:
        return self.elem if isinstance(self.elem, QType) else None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.storage.bytes

    def axis(self, letter: str) -> int:
        """The index of the axis called `letter`. Raises ValueError where the layout has none."""
        return self.layout.index(letter)

    def size(self, letter: str) -> int:
        """The extent of the axis called `letter`."""
        return self.shape[self.axis(letter)]

    def with_elem(self, elem: ElemType) -> TensorType:
        return replace(self, elem=elem)

    def with_shape(self, shape: tuple[int, ...], layout: str = "") -> TensorType:
        return replace(self, shape=shape, layout=layout)

    def in_layout(self, layout: str) -> TensorType:
        """The same tensor with its axes in the order of `layout`, a permutation of the letters it has."""
        assert sorted(layout) == sorted(self.layout), (layout, self.layout)
        order = layout_order(self.layout, layout)
        shape = tuple(self.shape[i] for i in order)
        elem = self.elem
        if isinstance(elem, QType) and elem.axis is not None:
            elem = replace(elem, axis=order.index(elem.axis))
        return TensorType(shape, elem, layout)

    def __str__(self) -> str:
        from tinyir.ir.printer import type_text

        return type_text(self)


def layout_order(source: str, target: str) -> tuple[int, ...]:
    """The permutation `p` with `array.transpose(p)` going from layout `source` to layout `target`."""
    return tuple(source.index(letter) for letter in target)
