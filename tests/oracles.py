"""The programs whose results are the truth: TFLite Micro's and LiteRT's reference kernels, from their wheels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ARENA_BYTES = 1 << 22


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


def run_tflm(model: bytes, inputs: Sequence[Array], arena_bytes: int = ARENA_BYTES) -> list[Array]:
    """The outputs of TFLite Micro. Raises RuntimeError or ValueError for a model that it refuses."""
    return tflm_session(model, inputs, arena_bytes)[0]


def tflm_session(
    model: bytes, inputs: Sequence[Array], arena_bytes: int = ARENA_BYTES, tensors: Sequence[int] = ()
) -> tuple[list[Array], dict[int, Array]]:
    """The outputs of TFLite Micro, and the tensors with the indices asked for."""
    from tflite_micro.python.tflite_micro import runtime

    with silence():
        interpreter = runtime.Interpreter.from_bytes(
            model, arena_size=arena_bytes, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors
        )
        for i, array in enumerate(inputs):
            interpreter.set_input(array, i)
        interpreter.invoke()
        outputs = [np.array(interpreter.get_output(i)) for i in range(output_count(model))]
        return outputs, {i: np.array(interpreter.GetTensor(i, 0)) for i in tensors}


def run_litert(model: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of LiteRT's reference kernels. Raises RuntimeError or ValueError for a model that it refuses."""
    return litert_session(model, inputs)[0]


def litert_session(
    model: bytes, inputs: Sequence[Array], tensors: Sequence[int] = ()
) -> tuple[list[Array], dict[int, Array]]:
    """The outputs of LiteRT's reference kernels, and the tensors with the indices asked for."""
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
        return outputs, {i: np.array(interpreter.get_tensor(i)) for i in tensors}


def output_count(model: bytes) -> int:
    """How many outputs the first subgraph has."""
    from tflite.Model import Model

    count: int = Model.GetRootAs(model, 0).Subgraphs(0).OutputsLength()
    return count
