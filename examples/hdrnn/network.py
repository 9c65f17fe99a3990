"""The network of the thesis: dense layers, a sigmoid behind each, trained by SGD on one image at a time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module
from tinyir.ir.ops.nn_activation import Logistic
from tinyir.ir.ops.nn_contraction import Dense
from tinyir.ir.types import DType, TensorType
from tinyir.passes.step_options import LossName

Floats = npt.NDArray[np.float32]
Loss = Literal["quadratic", "cross-entropy"]

CLASSES = 10

TINYIR_LOSSES: dict[Loss, tuple[LossName, float]] = {
    "quadratic": ("mean-squared-error", CLASSES / 2),
    "cross-entropy": ("binary-cross-entropy", CLASSES),
}
"""tinyir's name, and the factor from its loss to the thesis': half a sum of squares, or a sum of cross-entropies, over
the ten outputs, of which tinyir takes the mean. It goes to the learning rate."""


def build_network(sizes: Sequence[int], seed: int) -> Module:
    """sizes[0]-...-sizes[-1] with parameters w0, b0, w1, ...: weights normal, deviation 1/sqrt(inputs); biases 0."""
    rng = np.random.default_rng(seed)
    b = FuncBuilder()
    value = b.arg(TensorType((1, sizes[0]), DType.F32), "image")
    for k, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        w = rng.normal(scale=inputs**-0.5, size=(outputs, inputs)).astype(np.float32)
        z = Dense(value, b.const(w, f"w{k}"), b.const(np.zeros(outputs, np.float32), f"b{k}"), name=f"z{k}")
        value = b.add(Logistic(b.add(z), name=f"a{k}"))
    return Module([b.ret(value)], {"name": "hdrnn"})


class PlainNetwork:
    """The same network and the same step, written down once more in NumPy without tinyir: what it is compared with.

    Matrix products add in an order of NumPy's choice, so after some steps the weights differ in their last digits.
    """

    def __init__(self, params: Mapping[str, npt.NDArray[Any]], loss: Loss) -> None:
        self.weights = [params[f"w{k}"].copy() for k in range(len(params) // 2)]
        self.biases = [params[f"b{k}"].copy() for k in range(len(params) // 2)]
        self.loss = loss

    def forward(self, image: Floats) -> list[Floats]:
        """The activations of every layer for an image or for several, the image first."""
        activations = [image]
        for w, b in zip(self.weights, self.biases, strict=True):
            activations.append(1 / (1 + np.exp(-(activations[-1] @ w.T + b))))
        return activations

    def step(self, image: Floats, label: int, lr: float) -> None:
        """One step of SGD. `delta` is the gradient at the sum of a layer: for cross-entropy the slope of the last
        sigmoid cancels."""
        rate = np.float32(lr)
        activations = self.forward(image)
        delta = activations[-1].copy()
        delta[label] -= 1
        if self.loss == "quadratic":
            delta *= activations[-1] * (1 - activations[-1])
        for k in reversed(range(len(self.weights))):
            before = activations[k]
            handed_back = self.weights[k].T @ delta
            self.weights[k] -= rate * np.outer(delta, before)
            self.biases[k] -= rate * delta
            delta = handed_back * before * (1 - before)
