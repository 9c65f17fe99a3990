"""A classifier for other classes, over the features of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyir.diagnostics import IRError
from tinyir.ir.builder import Builder
from tinyir.ir.core import Func, Module, Op, Value
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.ops.nn_quantize import Dequantize, Quantize
from tinyir.ir.ops.nn_window import Mean, Softmax
from tinyir.ir.ops.tensor import Reshape
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.types import DType
from tinyir.passes.registry import Pass

BEHIND = (Dequantize, Logistic, Quantize, Reshape, Softmax)
"""What may stand between the last contraction and the output."""


@dataclass(frozen=True)
class ReplaceClassifier(Pass):
    """Put a float dense layer and a softmax for `classes` classes in place of the last contraction.

        nn.softmax(nn.dense(%features, %w, %b))  ->  %real = nn.dequantize(%features)
                                                     nn.softmax(nn.dense(%real, %w', %b'))

    Features on a grid are averaged over it. The weights are drawn from a normal distribution of variance 1/features by
    `seed`, the biases are 0. Quantised features are dequantised, so that the layer can be trained behind an int8 model
    that stays as it is.

    Needs: one output that comes from a contraction, with only a softmax, a sigmoid, conversions and reshapes between.
    Leaves: an f32 output of [1, classes].
    """

    name: ClassVar[str] = "replace-classifier"
    classes: int
    seed: int = 0

    def run(self, module: Module) -> dict[str, int]:
        if self.classes < 2:
            raise IRError(f"a classifier needs at least 2 classes, not {self.classes}")
        if self.seed < 0:
            raise IRError(f"a seed counts from 0, it is not {self.seed}")
        func = module.main
        old = _classifier(func)
        b = Builder(func.block, func.block.terminator, old.loc)
        features = _features(b, old.operands[0])
        count = features.type.shape[1]
        rng = np.random.default_rng(self.seed)
        weights = (rng.standard_normal((self.classes, count)) / math.sqrt(count)).astype(np.float32)
        w = b.const(weights, "classifier_weights")
        bias = b.const(np.zeros(self.classes, np.float32), "classifier_bias")
        logits = b.add(Dense(features, w, bias, name="logits"))
        func.block.terminator.set_operand(0, b.add(Softmax(logits, name="probabilities")))
        drop_dead_ops(func)
        return {"features": count, "classes": self.classes}


def _classifier(func: Func) -> Op:
    """The last contraction."""
    outputs = func.outputs
    op = outputs[0].defining_op if len(outputs) == 1 else None
    while isinstance(op, BEHIND):
        op = op.operands[0].defining_op
    if op is None or not op.has(Trait.CONTRACTION):
        found = f"`{op.opname}`" if op is not None else f"{len(outputs)} outputs" if len(outputs) != 1 else "an input"
        raise IRError(
            f"@{func.name} ends in {found}, not in a classifier that could be replaced",
            help="the last op must be a dense layer or a convolution, perhaps with a softmax behind it",
        )
    return op


def _features(b: Builder, value: Value) -> Value:
    """`value` as f32 of [1, features]."""
    if value.type.quant is not None:
        value = b.add(Dequantize(value, name="features"))
    shape, layout = value.type.shape, value.type.layout
    grid = tuple(i for i, letter in enumerate(layout) if letter in "HW")
    if grid and any(shape[i] > 1 for i in grid):
        value = b.add(Mean(value, axes=grid))
    count = value.type.elements
    if value.type.elem != DType.F32 or shape[0] != 1:
        raise IRError(f"the classifier reads {value.type}, which is not one example of real or int8 features")
    return value if value.type.shape == (1, count) else b.add(Reshape(value, shape=(1, count)))
