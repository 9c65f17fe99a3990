"""The programs whose results are the truth: TFLite Micro's and LiteRT's reference kernels, from their wheels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import ModelError, ToolError

Array = npt.NDArray[Any]
OracleName = Literal["tflm", "litert"]

INSTALL_HELP = "pip install 'tinyir[verify]'"


@dataclass(frozen=True)
class Session:
    """One run of an oracle: the outputs, and the inner tensors asked for, by TFLite tensor index."""

    outputs: list[Array]
    tensors: dict[int, Array]


def run_oracle(name: OracleName, model: bytes, inputs: Sequence[Array], tensors: Sequence[int] = ()) -> Session:
    """Run `model` once. Raises ToolError where the wheel is missing, ModelError for a model that the oracle refuses."""
    run = _run_tflm if name == "tflm" else _run_litert
    try:
        return run(model, inputs, tensors)
    except ImportError as error:
        raise ToolError(f"the reference `{name}` is not installed: {error}", help=INSTALL_HELP) from None
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the reference `{name}` refuses the model: {str(error).strip().splitlines()[-1]}") from None


def _run_tflm(model: bytes, inputs: Sequence[Array], tensors: Sequence[int]) -> Session:
    from tflite_micro.python.tflite_micro import runtime

    with silence():
        interpreter = runtime.Interpreter.from_bytes(
            model,
            arena_size=_arena_bytes(model),
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
        )
        for i, array in enumerate(inputs):
            interpreter.set_input(array, i)
        interpreter.invoke()
        outputs = [np.array(interpreter.get_output(i)) for i in range(_output_count(model))]
        return Session(outputs, {i: np.array(interpreter.GetTensor(i, 0)["tensor_data"]) for i in tensors})


def _run_litert(model: bytes, inputs: Sequence[Array], tensors: Sequence[int]) -> Session:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with silence():
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        outputs = [np.array(interpreter.get_tensor(d["index"])) for d in interpreter.get_output_details()]
        return Session(outputs, {i: np.array(interpreter.get_tensor(i)) for i in tensors})


@contextmanager
def silence() -> Iterator[None]:
    """Nothing is printed inside, not even by C++."""
    null = os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(1), os.dup(2)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        yield
    finally:
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(null)


def _arena_bytes(model: bytes) -> int:
    """Room for every tensor of the model at once, since all are kept."""
    from tflite.Model import Model

    graph = Model.GetRootAs(model, 0).Subgraphs(0)
    total = 0
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        total += 4 * int(np.prod([tensor.Shape(d) for d in range(tensor.ShapeLength())], dtype=np.int64)) + 1024
    return 4 * total + (1 << 20)


def _output_count(model: bytes) -> int:
    from tflite.Model import Model

    count: int = Model.GetRootAs(model, 0).Subgraphs(0).OutputsLength()
    return count
