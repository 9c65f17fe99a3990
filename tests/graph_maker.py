"""What the random models of `strategies.py` are made with: where decisions come from, and the model so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from tests.tflite_builder import Quant, TFLiteBuilder

Array = npt.NDArray[Any]
T = TypeVar("T")


class Chooser(Protocol):
    """Where the decisions come from."""

    def integer(self, least: int, most: int) -> int:
        """One of least..most."""


@dataclass
class RandomChooser:
    """Decisions from a seed."""

    rng: np.random.Generator

    def integer(self, least: int, most: int) -> int:
        return int(self.rng.integers(least, most + 1))


@dataclass
class HypothesisChooser:
    """Decisions that hypothesis makes, and shrinks."""

    draw: Callable[[st.SearchStrategy[int]], int]

    def integer(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))


@dataclass(frozen=True)
class GraphCase:
    """A model, inputs for it, and the operators in it."""

    model: bytes
    inputs: list[Array]
    kinds: list[str]
    quantized: bool

    def __repr__(self) -> str:
        from tinyir.frontends.tflite import parse_tflite

        return f"GraphCase {self.kinds}\n{parse_tflite(self.model, 'case')}"


@dataclass(frozen=True)
class Known:
    """A tensor of the model under construction."""

    index: int
    shape: tuple[int, ...]
    quant: Quant | None


@dataclass
class GraphMaker:
    """Builds one random model."""

    choose: Chooser
    quantized: bool
    seed: int
    b: TFLiteBuilder = field(default_factory=TFLiteBuilder)
    known: list[Known] = field(default_factory=list)
    read: set[int] = field(default_factory=set)
    kinds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    # -- decisions --------------------------------------------------------------------------------------------------

    def pick(self, items: Sequence[T]) -> T:
        return items[self.choose.integer(0, len(items) - 1)]

    def flag(self) -> bool:
        return bool(self.choose.integer(0, 1))

    def scale(self, about: float) -> float:
        """A scale between an eighth of `about` and four times it."""
        return float(np.float32(about * 2.0 ** (self.choose.integer(-24, 16) / 8)))

    def quant(self, about: float) -> Quant | None:
        if not self.quantized:
            return None
        return Quant(self.scale(about), self.pick((0, -128, 127, 3, -77)))

    def data(self, shape: tuple[int, ...]) -> Array:
        """Random elements of the kind of the model."""
        if self.quantized:
            return self.rng.integers(-128, 128, shape, dtype=np.int8)
        return self.rng.normal(size=shape).astype(np.float32)

    def tensor(self) -> Known:
        """A tensor of the model, more likely one of the last."""
        return self.known[-1] if self.flag() else self.pick(self.known)

    def image(self) -> Known | None:
        images = [known for known in self.known if len(known.shape) == 4]
        return self.pick(images) if images else None

    # -- tensors and operators --------------------------------------------------------------------------------------

    def result(self, shape: Sequence[int], quant: Quant | None) -> Known:
        known = Known(self.b.tensor(tuple(shape), quant), tuple(shape), quant)
        self.known.append(known)
        return known

    def op(self, kind: str, inputs: Sequence[int | Known], y: Known | Sequence[Known], **options: Any) -> None:
        indices = [x.index if isinstance(x, Known) else x for x in inputs]
        self.read.update(indices)
        results = [y] if isinstance(y, Known) else y
        self.b.op(kind, indices, [r.index for r in results], **options)
        self.kinds.append(kind)

    def make(self, operators: int, steps: Sequence[Callable[[GraphMaker], None]]) -> GraphCase:
        """A model of so many of the `steps`, or fewer where some do not fit."""
        inputs = []
        for _ in range(self.choose.integer(1, 2)):
            shape = tuple(self.choose.integer(1, most) for most in (2, 7, 7, 5))
            quant = self.quant(0.1)
            self.known.append(Known(self.b.input(shape, quant), shape, quant))
            inputs.append(self.data(shape))
        for _ in range(operators):
            self.pick(steps)(self)
        if not self.kinds:
            x = self.known[-1]
            self.op("RELU", [x], self.result(x.shape, x.quant))
        outputs = [known.index for known in self.known[len(inputs) :] if known.index not in self.read]
        return GraphCase(self.b.build(outputs), inputs, self.kinds, self.quantized)
