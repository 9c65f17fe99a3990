"""Programs for the tests of the C backend: three that are small enough to read, random ones, and the digits example."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.graph_maker import Array
from tests.passcheck import random_inputs
from tests.strategies import graph_case
from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.api import Compiled, compile
from tinyir.frontends.load import load
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.core import Module

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.tflite"

READABLE = {
    "conv": """
module attributes {name = "conv", sha256 = "00ff"} {
  func @main(%image: tensor<1x4x4x2x!q8<0.5, -5>, NHWC>) {
    %w = nn.const() {value = dense<2x3x1x2xi8, [1, -2, 3, 4, 5, -6, 7, 8, -9, 10, 11, -12]>}
      : tensor<2x3x1x2x!q8<0.25, 0>, OHWI>
    %c = nn.conv2d(%image, %w) : tensor<1x2x4x2x!q8<2.0, -128>, NHWC>
    %relu = nn.clamp(%c) {lo = 0.0} : tensor<1x2x4x2x!q8<2.0, -128>, NHWC>
    func.return(%relu)
  }
}
""",
    "dense": """
module attributes {name = "dense", sha256 = "00ff"} {
  func @main(%x: tensor<1x4x!q8<0.5, 3>>) {
    %w = nn.const() {value = dense<3x4xi8, [1, -2, 3, 4, 5, -6, 7, 8, -9, 10, 11, -12]>} : tensor<3x4x!q8<0.25, 0>>
    %y = nn.dense(%x, %w) : tensor<1x3x!q8<0.75, 7>>
    func.return(%y)
  }
}
""",
    "add": """
module attributes {name = "add", sha256 = "00ff"} {
  func @main(%a: tensor<1x6x!q8<0.5, 3>>, %b: tensor<1x6x!q8<0.25, -1>>) {
    %sum = nn.add(%a, %b) : tensor<1x6x!q8<0.625, 7>>
    func.return(%sum)
  }
}
""",
}

INT8_SEEDS = (0, 2, 7, 8, 10, 18, 26)
FLOAT_SEEDS = (0, 13, 18, 32)
"""Seeds of `graph_case` that draw most kinds of operators between them."""

RANDOM = (*(f"int8-{seed}" for seed in INT8_SEEDS), *(f"float-{seed}" for seed in FLOAT_SEEDS))
ALL = (*READABLE, *RANDOM, "digits")


@dataclass(frozen=True)
class Case:
    """A program in C, inputs for it, and the outputs of the printed NumPy module for each of them."""

    program: Compiled
    inputs: list[list[Array]]
    outputs: list[list[Array]]


@cache
def program(name: str) -> Compiled:
    """The program `name`, one of ALL, compiled to C."""
    return compile(module(name), numerics=numerics(name), measure=False)


@cache
def case(name: str) -> Case:
    """The program `name` with three sets of inputs: random ones, and the least and the greatest numbers."""
    inputs = [random_inputs(module(name).main)]
    for value in (-128, 127):
        inputs.append([np.full(x.shape, value, x.dtype) for x in inputs[0]])
    reference = compile(module(name), numerics=numerics(name), backend="numpy")
    return Case(program(name), inputs, [reference.run(each) for each in inputs])


def module(name: str) -> Module:
    """The model behind the program `name`."""
    if name in READABLE:
        return parse(READABLE[name])
    if name == "digits":
        return load(DIGITS)
    kind, seed = name.split("-")
    return parse_tflite(graph_case(int(seed), kind == "int8").model, name)


def numerics(name: str) -> str:
    """TFLite Micro's, unless it lacks an operator of the model."""
    kind, _, seed = name.partition("-")
    return "litert" if seed and "RELU_N1_TO_1" in graph_case(int(seed), kind == "int8").kinds else "tflm"


def named(model: str, tensors: tuple[str, str, str] = ("x", "h", "y")) -> Compiled:
    """A program called `model` of two kinds of kernels, whose input, inner tensor and output have these names."""
    b, quant = TFLiteBuilder(), Quant(0.5, 3)
    x = b.input((1, 4), quant, name=tensors[0])
    w = b.const(np.arange(16, dtype=np.int8).reshape(4, 4), Quant(0.1, 0), name=tensors[1])
    h, y = (b.tensor((1, 4), quant, name=tensors[i]) for i in (1, 2))
    b.op("FULLY_CONNECTED", [x, w, -1], [h])
    b.op("ADD", [h, x], [y])
    return compile(parse_tflite(b.build([y, h]), model), measure=False)
