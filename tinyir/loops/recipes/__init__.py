"""Schedules for each kind of kernel: which steps, with which numbers. The steps themselves are in `schedule/`.

A recipe is a function (Kernel, Policy) -> Kernel that refuses with ScheduleError what it is not for; the steps it takes
are recorded in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from tinyir.loops.ir import Kernel
from tinyir.loops.recipes.contraction import convolution, dense, pointwise
from tinyir.loops.recipes.depthwise import depthwise
from tinyir.loops.recipes.elementwise import flat_elementwise, pixels, window
from tinyir.loops.recipes.floats import dense_gradient, float_convolution, float_dense, float_depthwise
from tinyir.loops.recipes.gradient import depthwise_input, depthwise_weight, pointwise_input, weight_sums
from tinyir.loops.recipes.policy import LEVELS, POLICIES, Level, Policy
from tinyir.loops.schedule import ScheduleError

__all__ = ["LEVELS", "POLICIES", "RECIPES", "Level", "Policy", "schedule", "schedule_within"]

Recipe = Callable[[Kernel, Policy], Kernel]

RECIPES: dict[str, tuple[Recipe, ...]] = {
    "int.conv2d": (pointwise, convolution),
    "int.depthwise_conv2d": (depthwise, convolution),
    "int.dense": (dense,),
    "int.average_pool2d": (window, flat_elementwise),
    "int.max_pool2d": (window, flat_elementwise),
    "image.rgb565": (pixels, flat_elementwise),
    "image.resize_bilinear": (pixels, flat_elementwise),
    "image.affine": (pixels, flat_elementwise),
    "tensor.resize_nearest": (pixels, flat_elementwise),
    "nn.conv2d": (float_convolution,),
    "nn.depthwise_conv2d": (float_depthwise, float_convolution),
    "nn.dense": (float_dense,),
    "grad.dense_input": (dense_gradient,),
    "grad.dense_weight": (dense_gradient, flat_elementwise),
    "grad.conv2d_input": (pointwise_input,),
    "grad.conv2d_weight": (weight_sums,),
    "grad.depthwise_input": (depthwise, depthwise_input),
    "grad.depthwise_weight": (depthwise_weight,),
}


def schedule(kernel: Kernel, level: Level = "balanced") -> Kernel:
    """The kernel with the recipe for its kind applied; as it is where none fits."""
    # A network repeats its kernels; only what they are called differs.
    return replace(_scheduled(replace(kernel, name="", doc=()), level), name=kernel.name, doc=kernel.doc)


@lru_cache(maxsize=256)
def _scheduled(kernel: Kernel, level: Level) -> Kernel:
    return schedule_within(kernel, POLICIES[level])


def schedule_within(kernel: Kernel, policy: Policy) -> Kernel:
    """The same within the limits of a policy."""
    for recipe in RECIPES.get(kernel.kind, (flat_elementwise,)):
        try:
            return recipe(kernel, policy)
        except ScheduleError:
            continue
    return kernel
