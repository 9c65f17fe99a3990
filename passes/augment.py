"""Random changes of the image in every step of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.ops.expand import storage, typed
from tinyir.ir.ops.image import Affine, AffineMatrix, ResizeBilinear, Rgb565
from tinyir.ir.ops.random import Random
from tinyir.ir.ops.tensor import ResizeNearest, Slice
from tinyir.ir.training import STEP
from tinyir.passes.registry import Pass
from tinyir.passes.step_state import next_salt, random_state


@dataclass(frozen=True)
class Augment(Pass):
    """Turn, shift, shear, scale and flip the image that @train_step learns from, each time differently.

        %x  ->  image.affine(%x, image.affine_matrix(train.random(%rng)))

    `rotation` in degrees, `shift` as a share of height and width, `shear` in columns per row and `zoom` as a change of
    scale are the most that is drawn, to either side; `flip` swaps left and right half the time. Pixels from beyond the
    edge are those of the edge. It is done behind cropping and resizing of a frame, at the model's size. A step that is
    refused draws the same the next time.

    Needs: build-backward; an image with named axes as first argument.  Leaves: @main as it was, but for the state `rng`
    where it had none. With nothing to draw nothing changes.
    """

    name: ClassVar[str] = "augment"
    rotation: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    flip: bool = False

    def run(self, module: Module) -> dict[str, int]:
        limits: dict[str, Any] = {
            "rotation": self.rotation,
            "shift": self.shift,
            "shear": self.shear,
            "zoom": self.zoom,
            "flip": self.flip,
        }
        if not any(limits.values()):
            return {}
        if STEP not in module.funcs:
            raise IRError(f"there is no @{STEP} to augment", help="run `build-backward` first")
        step = module.funcs[STEP]
        image = _last_image(step.args[0])
        type = image.type
        if sorted(type.layout) != sorted("NHWC"):
            raise IRError(f"`{image.name}` is {type}, not an image with the axes N, H, W, C that could be augmented")
        rng = random_state(module, step)
        uses = list(image.uses)
        b = Builder(step.block, before=_first_behind(step, image))
        words = b.add(Random(rng, salt=next_salt(step), shape=(6,)))
        size = (type.size("H"), type.size("W"))
        m = b.add(AffineMatrix(words, size=size, **limits))
        changed = b.add(Affine(image if type.quant is None else storage(b, image), m))
        changed = changed if type.quant is None else typed(b, changed, type)
        changed.name = f"{image.name}_changed"
        for use in uses:
            use.op.set_operand(use.index, changed)
        return {"images": 1}


def _last_image(value: Value) -> Value:
    """What preprocessing makes of a frame, before its bytes become other numbers."""
    while len(value.uses) == 1 and isinstance(value.uses[0].op, Rgb565 | Slice | ResizeBilinear | ResizeNearest):
        value = value.uses[0].op.result
    return value


def _first_behind(step: Func, image: Value) -> Op:
    """The op before which `image` is there."""
    return step.ops[step.ops.index(image.owner) + 1] if isinstance(image.owner, Op) else step.ops[0]
