"""From camera frames to what a model takes, and random changes of images. Cropping is tensor.slice, enlarging by
repetition tensor.resize_nearest."""

from __future__ import annotations

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.types import DType, TensorType

BYTES = (DType.U8, DType.I8)
LONGEST_SHIFT = 256
LARGEST_SIZE = 4096


def _require_image(op: Op, x: Value) -> None:
    op.require(sorted(x.type.layout) == sorted("NHWC"), f"needs an image with the axes N, H, W, C, not {x.type}")


def _as_declared(op: Op, x: TensorType) -> TensorType:
    """`x` in the layout that the result was given, if it was given one."""
    declared = op.declared_type()
    return x.in_layout(declared.layout) if declared is not None and declared.layout else x


@define_op("image.rgb565", Trait.PURE, Trait.ELEMENTWISE)
class Rgb565(Op):
    """Pixels of 16 bits (red 5, green 6, blue 5, red uppermost) to three bytes; a channel's upper bits are repeated
    below, so that the brightest is 255."""

    x: Value = operand("i16, one channel")
    swap_bytes: bool = attr("the upper byte comes first in memory", default=False)
    y: Value = result("u8, three channels")

    def infer(self) -> TensorType:
        x = self.x.type
        _require_image(self, self.x)
        self.require(x.elem == DType.I16 and x.size("C") == 1, f"needs one channel of i16, not {x}")
        x = _as_declared(self, x)
        shape = tuple(3 if letter == "C" else n for letter, n in zip(x.layout, x.shape, strict=True))
        return TensorType(shape, DType.U8, x.layout)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.rgb565, dict(self.attrs))


@define_op("image.lookup", Trait.PURE, Trait.ELEMENTWISE)
class Lookup(Op):
    """y = table[c, x] for each element x of channel c: bytes of a camera as the integers of a quantised tensor."""

    x: Value = operand("u8, an image")
    table: Value = operand("i8 [C, 256], or [1, 256] for every channel")
    y: Value = result("i8")

    def infer(self) -> TensorType:
        x, table = self.x.type, self.table.type
        _require_image(self, self.x)
        self.require(x.elem == DType.U8 and table.elem == DType.I8, f"takes u8 to i8, not {x} by {table}")
        rows = {(1, 256), (x.size("C"), 256)}
        self.require(table.shape in rows, f"needs a table for one or for {x.size('C')} channels, not {table}")
        return _as_declared(self, x).with_elem(DType.I8)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.byte_lookup)


@define_op("image.resize_bilinear", Trait.PURE)
class ResizeBilinear(Op):
    """Bilinear resize of the axes H and W, weights in 1/2048, places as PyTorch and OpenCV have them (half pixels)."""

    x: Value = operand("u8 or i8, an image")
    size: tuple[int, int] = attr("new height and width")
    y: Value = result()

    def infer(self) -> TensorType:
        x = self.x.type
        _require_image(self, self.x)
        self.require(x.elem in BYTES, f"needs u8 or i8, not {x}")
        self.require(min(self.size) > 0, f"has the size {list(self.size)}")
        extents = {"H": self.size[0], "W": self.size[1]}
        return x.with_shape(tuple(extents.get(a, n) for a, n in zip(x.layout, x.shape, strict=True)), x.layout)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.resize_bilinear, dict(self.attrs))


@define_op("image.affine", Trait.PURE)
class Affine(Op):
    """y[r, c] is the element of x nearest to (m0 r + m1 c + m2, m3 r + m4 c + m5) / 2^14; beyond the edge the edge
    goes on."""

    x: Value = operand("an image")
    m: Value = operand("i32 [6]; sums of products below 2^31")
    y: Value = result()

    def infer(self) -> TensorType:
        _require_image(self, self.x)
        self.require(self.m.type == TensorType((6,), DType.I32), f"needs six i32, not {self.m.type}")
        return self.x.type

    def verify(self) -> None:
        largest = max(self.x.type.size("H"), self.x.type.size("W"))
        self.require(largest <= LARGEST_SIZE, f"takes images of up to {LARGEST_SIZE} pixels a side, not {self.x.type}")

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.affine_nearest)


@define_op("image.affine_matrix", Trait.PURE)
class AffineMatrix(Op):
    """A matrix for image.affine chosen by random words, one for each of rotation (and flip), shear, zoom of rows and of
    columns, shift of rows and of columns. All within -most to +most; 256 angles."""

    words: Value = operand("i32 [6], random")
    size: tuple[int, int] = attr("height and width of the image")
    rotation: float = attr("most degrees", default=0.0)
    shift: float = attr("most, as a share of height and width", default=0.0)
    shear: float = attr("most columns per row", default=0.0)
    zoom: float = attr("most change of scale", default=0.0)
    flip: bool = attr("left and right are swapped half the time", default=False)
    m: Value = result("i32 [6]")

    def infer(self) -> TensorType:
        self.require(self.words.type == TensorType((6,), DType.I32), f"needs six i32, not {self.words.type}")
        return self.words.type

    def verify(self) -> None:
        for name, most in (("rotation", 180.0), ("shift", 1.0), ("shear", 1.0), ("zoom", 1.0)):
            value = getattr(self, name)
            self.require(0 <= value <= most, f"has {name} = {value}, which is not between 0 and {most:g}")
        self.require(min(self.size) > 0 and max(self.size) <= LARGEST_SIZE, f"has the size {list(self.size)}")
        shift = self.shift * max(self.size)
        self.require(shift < LONGEST_SHIFT, f"shifts by {shift:g} pixels, {LONGEST_SHIFT} or more are not possible")

    def reference(self) -> Reference:
        return Reference(semantics.affine_matrix, dict(self.attrs))
