"""What can be said of a step of training: the loss, what it compares the output with, the optimiser and its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from tinyir.diagnostics import UsageError
from tinyir.ir.training import Rounding

LossName = Literal["softmax-cross-entropy", "mean-squared-error", "binary-cross-entropy"]
TargetName = Literal["label", "tensor"]
OptimizerName = Literal["sgd", "adam"]
GradName = Literal["f32", "i16", "i8"]
"""What gradients of the activations of int8 layers are stored as."""


@dataclass(frozen=True)
class Hyper:
    """The numbers of an optimiser, named as PyTorch names them; `accumulate` gradients are averaged for one update."""

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    accumulate: int = 1

    def check(self, name: OptimizerName) -> None:
        """Raise UsageError for numbers that no optimiser, or not that one, can work with."""
        shares = {"momentum": self.momentum, "beta1": self.beta1, "beta2": self.beta2}
        for option, value in shares.items():
            if not 0 <= value < 1:
                raise UsageError(f"{option} is {value}, not in 0..1", help="0.9 is usual")
        for option, value in {"weight_decay": self.weight_decay, "epsilon": self.epsilon}.items():
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{option} is {value}, not a number from 0 on")
        if not 1 <= self.accumulate < 2**24:
            raise UsageError(f"accumulate is {self.accumulate}: gradients of 1 example or more make an update")
        if name == "adam" and (self.momentum or self.nesterov):
            raise UsageError("adam has no momentum", help="beta1 says how long it remembers gradients")
        if self.nesterov and not self.momentum:
            raise UsageError("nesterov needs a momentum", help="0.9 is usual")


@dataclass(frozen=True)
class StepOptions:
    """How a program trains: the loss, what it compares the output with (a class number or a tensor), the optimiser and
    its numbers (`Hyper`); for parameters that are integers the rounding of their updates, and whether steps are scaled
    as if they were real (quantisation-aware scaling, `int_updates.py`)."""

    loss: LossName = "softmax-cross-entropy"
    target: TargetName = "label"
    optimizer: OptimizerName = "sgd"
    momentum: float = Hyper.momentum
    nesterov: bool = Hyper.nesterov
    weight_decay: float = Hyper.weight_decay
    beta1: float = Hyper.beta1
    beta2: float = Hyper.beta2
    epsilon: float = Hyper.epsilon
    accumulate: int = Hyper.accumulate
    rounding: Rounding = "stochastic"
    qas: bool = True

    @property
    def hyper(self) -> Hyper:
        """The numbers of the optimiser."""
        return Hyper(**{f.name: getattr(self, f.name) for f in fields(Hyper)})
