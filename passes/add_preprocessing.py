"""Frames of a camera in place of the model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import IRError
from tinyir.ir import semantics
from tinyir.ir.builder import Builder
from tinyir.ir.core import Module, Value
from tinyir.ir.ops.expand import typed
from tinyir.ir.ops.image import Lookup, ResizeBilinear, Rgb565
from tinyir.ir.ops.int_elementwise import Dequantize
from tinyir.ir.ops.nn_elementwise import Mul, Sub
from tinyir.ir.ops.tensor import ResizeNearest, Slice
from tinyir.ir.types import DType, QType, TensorType
from tinyir.passes.registry import Pass

Floats = npt.NDArray[np.float32]
Format = Literal["gray", "rgb888", "rgb565", "rgb565-swapped"]
Resize = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class AddPreprocessing(Pass):
    """Let @main take frames of a camera, and make of them what the model took.

        @main(%x: tensor<1x96x96x3x!q8<...>, NHWC>) { ... }
        ->  @main(%x_frame: tensor<1x120x160x1xi16, NHWC>) {
              image.rgb565 -> tensor.slice -> image.resize_bilinear -> image.lookup ... }

    `size` is height and width of the frame, by default the model's; `crop` is top, left, height and width of the part
    that is used, by default all of it; `resize` brings that to the model's size. A byte p becomes the real number
    (p - mean) / std, `mean` and `std` for all channels or one for each; for an int8 model these are looked up, rounded
    as nn.quantize does. "rgb565-swapped" has the upper byte of a pixel first in memory.

    Needs: one input, an image [1, height, width, 1 or 3] in f32 or int8.  Leaves: that input as a value.
    """

    name: ClassVar[str] = "add-preprocessing"
    format: Format = "rgb888"
    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    resize: Resize = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)

    def run(self, module: Module) -> dict[str, int]:
        func = module.main
        if len(func.args) != 1:
            raise IRError(f"@{func.name} has {len(func.args)} inputs; frames are for a model with one")
        arg = func.args[0]
        wanted = self._checked(arg.type)
        placeholder = Value(wanted, func.block, 0, arg.name)
        arg.replace_uses(placeholder)
        b = Builder(func.block, before=func.ops[0])
        size = self.size or (wanted.size("H"), wanted.size("W"))
        words = self.format.startswith("rgb565")
        channels, storage = (1, DType.I16) if words else (wanted.size("C"), DType.U8)
        arg.type = TensorType((1, *size, channels), storage, "NHWC")
        value = _to_numbers(b, self._to_bytes(b, arg, wanted), wanted, self.mean, self.std)
        value.name, arg.name = arg.name, f"{arg.name}_frame"
        placeholder.replace_uses(value)
        return {"bytes of a frame": arg.type.bytes}

    def _checked(self, wanted: TensorType) -> TensorType:
        """The type of the model's input. Raises IRError where it is no image that frames of this format can become."""
        quantised = wanted.quant is not None and wanted.storage == DType.I8 and not wanted.quant.per_axis
        if wanted.layout != "NHWC" or wanted.size("N") != 1 or not (quantised or wanted.elem == DType.F32):
            raise IRError(f"frames become an image [1, height, width, channels] of f32 or int8, not {wanted}")
        channels = 1 if self.format == "gray" else 3
        if wanted.size("C") != channels:
            raise IRError(f"frames of the format {self.format} have {channels} channels, the model takes {wanted}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise IRError(f"{name} has {len(values)} numbers for {channels} channels")
        if min(self.std) <= 0:
            raise IRError(f"std is {min(self.std):g}, which is not above 0")
        return wanted

    def _to_bytes(self, b: Builder, frame: Value, wanted: TensorType) -> Value:
        """The part of the frame that is used, as bytes, in the model's size."""
        if self.crop is not None:
            frame = b.add(_cropped(frame, self.crop))
        if self.format.startswith("rgb565"):
            frame = b.add(Rgb565(frame, swap_bytes=self.format == "rgb565-swapped"))
        size = (wanted.size("H"), wanted.size("W"))
        if size == (frame.type.size("H"), frame.type.size("W")):
            return frame
        if self.resize == "nearest":
            return b.add(ResizeNearest(frame, size=size, half_pixel_centers=True))
        return b.add(ResizeBilinear(frame, size=size))


def _cropped(frame: Value, crop: tuple[int, int, int, int]) -> Slice:
    """The part of `frame` from row crop[0] and column crop[1], crop[2] high and crop[3] wide."""
    top, left, height, width = crop
    type = frame.type
    if min(top, left) < 0 or top + height > type.size("H") or left + width > type.size("W") or min(crop[2:]) < 1:
        raise IRError(f"the part {height}x{width} at {top}, {left} is not inside frames of {type}")
    return Slice(frame, begin=(0, top, left, 0), size=(1, height, width, type.size("C")), stride=(1, 1, 1, 1))


def _to_numbers(b: Builder, image: Value, wanted: TensorType, mean: tuple[float, ...], std: tuple[float, ...]) -> Value:
    """Bytes as the numbers of the model: computed for f32, looked up for int8."""
    if wanted.quant is not None:
        table = b.const(_table(wanted.quant, mean, std))
        return typed(b, b.add(Lookup(image, table)), wanted)
    offset, factor = _constants(mean, std)
    value = b.add(Dequantize(image, scale=1.0, zero_point=0, types=wanted))
    if offset.any():
        value = b.add(Sub(value, _channels(b, offset)))
    return b.add(Mul(value, _channels(b, factor)))


def _constants(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Floats, Floats]:
    """What is taken off a byte, and what the rest is multiplied by."""
    return np.array(mean, np.float32), np.float32(1) / np.array(std, np.float32)


def _channels(b: Builder, numbers: Floats) -> Value:
    return b.const(numbers.reshape(())) if numbers.size == 1 else b.const(numbers, layout="C")


def _table(quant: QType, mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.int8]:
    """[1 or channels, 256]: each byte as the stored integer that the float ops and nn.quantize give."""
    offset, factor = _constants(mean, std)
    real = (np.arange(256, dtype=np.float32) - offset[:, None]) * factor[:, None]
    return np.asarray(semantics.quantize(real, scale=quant.scale, zero_point=quant.zero_point), np.int8)
