"""Ops that move elements and compute nothing. They work on every element type, quantised ones included."""

from __future__ import annotations

from dataclasses import replace

from tinyir.ir import semantics
from tinyir.ir.core import Op, Reference, Value
from tinyir.ir.opdef import Trait, attr, define_op, operand, result
from tinyir.ir.shapes import broadcast_axes
from tinyir.ir.types import QType, TensorType


@define_op("tensor.reshape", Trait.PURE, Trait.VIEW)
class Reshape(Op):
    """The same bytes under another shape."""

    x: Value = operand()
    shape: tuple[int, ...] = attr("the new extents")
    y: Value = result()

    def infer(self) -> TensorType:
        declared = self.declared_type()
        layout = declared.layout if declared is not None and len(declared.layout) == len(self.shape) else ""
        type = self.x.type.with_shape(self.shape, layout)
        self.require(
            type.elements == self.x.type.elements,
            f"cannot give {self.x.type.elements} elements the shape {list(self.shape)}",
        )
        return type

    def reference(self) -> Reference:
        return Reference(semantics.reshape, {"shape": self.shape})


@define_op("tensor.transpose", Trait.PURE, Trait.DATA_MOVEMENT)
class Transpose(Op):
    """Axis i of the result is axis perm[i] of the operand. The result's layout may follow the axes (a change of layout)
    or name them anew (a transpose of the model)."""

    x: Value = operand()
    perm: tuple[int, ...] = attr("a permutation of the axes")
    y: Value = result()

    def infer(self) -> TensorType:
        x = self.x.type
        self.require(
            sorted(self.perm) == list(range(len(x.shape))),
            f"{list(self.perm)} is no permutation of {len(x.shape)} axes",
        )
        declared = self.declared_type()
        layout = declared.layout if declared is not None else "".join(x.layout[p] for p in self.perm if x.layout)
        elem = x.elem
        if isinstance(elem, QType) and elem.axis is not None:
            elem = replace(elem, axis=self.perm.index(elem.axis))
        return TensorType(tuple(x.shape[p] for p in self.perm), elem, layout)

    def reference(self) -> Reference:
        return Reference(semantics.transpose, {"perm": self.perm})

    def changes_layout(self) -> bool:
        """Whether the result is the same tensor in another layout."""
        x, y = self.x.type, self.y.type
        return bool(x.layout) and y.layout == "".join(x.layout[p] for p in self.perm)


@define_op("tensor.pad", Trait.PURE, Trait.DATA_MOVEMENT)
class Pad(Op):
    """Adds margins filled with `value`, a stored integer or a float."""

    x: Value = operand()
    pads: tuple[tuple[int, int], ...] = attr("(before, after) for each axis")
    value: float = attr("what the margins hold", default=0.0)
    y: Value = result()

    def infer(self) -> TensorType:
        x = self.x.type
        self.require(len(self.pads) == len(x.shape), f"has {len(self.pads)} pairs of pads for {len(x.shape)} axes")
        self.require(all(n >= 0 for pair in self.pads for n in pair), "cannot take margins away")
        shape = tuple(n + before + after for n, (before, after) in zip(x.shape, self.pads, strict=True))
        return x.with_shape(shape, x.layout)

    def reference(self) -> Reference:
        return Reference(semantics.pad, {"pads": self.pads, "value": self.value})


@define_op("tensor.slice", Trait.PURE, Trait.DATA_MOVEMENT)
class Slice(Op):
    """Elements begin, begin + stride, ... of each axis; `size` of them."""

    x: Value = operand()
    begin: tuple[int, ...] = attr("first index of each axis")
    size: tuple[int, ...] = attr("how many elements of each axis")
    stride: tuple[int, ...] = attr("step of each axis, may be negative")
    y: Value = result()

    def infer(self) -> TensorType:
        x = self.x.type
        rank = len(x.shape)
        self.require(
            len(self.begin) == len(self.size) == len(self.stride) == rank,
            f"needs begin, size and stride of {rank} axes",
        )
        for axis, (n, first, count, step) in enumerate(zip(x.shape, self.begin, self.size, self.stride, strict=True)):
            last = first + (count - 1) * step
            self.require(
                count > 0 and step != 0 and 0 <= first < n and 0 <= last < n,
                f"leaves axis {axis}: elements {first}..{last} of {n}",
            )
        return x.with_shape(self.size, x.layout)

    def reference(self) -> Reference:
        return Reference(semantics.slice, {"begin": self.begin, "size": self.size, "stride": self.stride})


@define_op("tensor.concat", Trait.PURE, Trait.DATA_MOVEMENT)
class Concat(Op):
    """The operands one after the other along `axis`."""

    xs: tuple[Value, ...] = operand(variadic=True)
    axis: int = attr("along which axis")
    y: Value = result()

    def infer(self) -> TensorType:
        self.require(bool(self.xs), "needs an operand")
        first = self.xs[0].type
        self.require(0 <= self.axis < len(first.shape), f"has no axis {self.axis}")
        total = 0
        for x in self.xs:
            same = (x.type.elem, x.type.layout, _without(x.type.shape, self.axis)) == (
                first.elem,
                first.layout,
                _without(first.shape, self.axis),
            )
            self.require(same, f"cannot join {x.type} to {first}")
            total += x.type.shape[self.axis]
        return first.with_shape((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]), first.layout)

    def reference(self) -> Reference:
        return Reference(semantics.concat, {"axis": self.axis})


@define_op("tensor.broadcast", Trait.PURE, Trait.ELEMENTWISE)
class Broadcast(Op):
    """The operand repeated along axes that it does not have, or has with extent 1."""

    x: Value = operand()
    shape: tuple[int, ...] = attr("the new extents")
    y: Value = result()

    def infer(self) -> TensorType:
        declared = self.declared_type()
        layout = declared.layout if declared is not None and len(declared.layout) == len(self.shape) else ""
        type = self.x.type.with_shape(self.shape, layout)
        try:
            broadcast_axes(self.x.type, type)
        except ValueError as error:
            raise self.fail(f"cannot give {self.x.type} the shape {list(self.shape)}: {error}") from None
        return type

    def reference(self) -> Reference:
        return Reference(semantics.broadcast, {"shape": self.shape})


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


@define_op("tensor.resize_nearest", Trait.PURE, Trait.DATA_MOVEMENT)
class ResizeNearest(Op):
    """Nearest-neighbour resize of the axes H and W (TFLite `reference/resize_nearest_neighbor.h`)."""

    x: Value = operand("an image with the axes N, H, W, C in any order")
    size: tuple[int, int] = attr("new height and width")
    align_corners: bool = attr(default=False)
    half_pixel_centers: bool = attr(default=False)
    y: Value = result()

    def infer(self) -> TensorType:
        x = self.x.type
        self.require(sorted(x.layout) == sorted("NHWC"), f"needs a layout with the axes N, H, W, C, not {x}")
        extents = {"H": self.size[0], "W": self.size[1]}
        return x.with_shape(tuple(extents.get(a, n) for a, n in zip(x.layout, x.shape, strict=True)), x.layout)

    def canonical_layouts(self) -> tuple[str, ...]:
        return "NHWC", "NHWC"

    def reference(self) -> Reference:
        return Reference(semantics.resize_nearest, dict(self.attrs))


@define_op("quant.storage", Trait.PURE, Trait.VIEW)
class Storage(Op):
    """The stored integers of a quantised tensor."""

    x: Value = operand("quantised")
    y: Value = result("plain integers")

    def infer(self) -> TensorType:
        self.require(isinstance(self.x.type.elem, QType), f"needs a quantised operand, not {self.x.type}")
        return self.x.type.with_elem(self.x.type.storage)

    def reference(self) -> Reference:
        return Reference(semantics.identity)


@define_op("quant.typed", Trait.PURE, Trait.VIEW)
class Typed(Op):
    """Stored integers under a quantised type."""

    x: Value = operand("plain integers")
    y: Value = result("quantised")

    def infer(self) -> TensorType:
        elem = self.declared_elem(self.x.type.elem)
        self.require(
            isinstance(elem, QType) and elem.storage == self.x.type.elem,
            "needs an explicit quantised result type",
        )
        return self.x.type.with_elem(elem)

    def reference(self) -> Reference:
        return Reference(semantics.identity)
