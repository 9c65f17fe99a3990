"""A .tflite model to a module of `nn` and `tensor` ops.

Values are named after the operator that makes them (`conv2d_3`, its weights `conv2d_3_w`, its bias `conv2d_3_b`, what
precedes its fused activation `conv2d_3_1`); inputs and outputs of the graph keep the names of their tensors. The
Loc of an op has the name and the index of the operator's first result.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tinyir.diagnostics import UNKNOWN, IRError, Loc, ModelError, Source
from tinyir.frontends.tflite_ops import RULES
from tinyir.frontends.tflite_reader import ModelReader, Operator, corrupt
from tinyir.frontends.tflite_types import Conversion, UnsupportedError, sanitized, tensor_type
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.verifier import verify_module

MAX_LISTED = 200
"""How many unsupported operators an error lists."""


def load_tflite(path: Path) -> Module:
    """The module of the model in the file `path`. Raises ModelError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    try:
        return parse_tflite(data, path.stem)
    except ModelError as error:
        error.message = f"{path}: {error.message}"
        raise


def parse_tflite(data: bytes, name: str) -> Module:
    """The module of the model in `data`, with the attributes `name` and `sha256`. Raises ModelError."""
    func = _Importer(ModelReader(data)).run()
    module = Module([func], {"name": name, "sha256": hashlib.sha256(data).hexdigest()})
    try:
        verify_module(module)
    except IRError as error:
        raise _as_model_error(error) from None
    return module


class _Importer:
    """Converts the operators in order; goes on after an unsupported one, so that all are reported together."""

    def __init__(self, reader: ModelReader) -> None:
        self.reader = reader
        self.b = FuncBuilder("main")
        self.values: dict[int, Value] = {}
        self.unknown: set[int] = set()
        self.problems: dict[str, list[str]] = {"operator": [], "input": [], "output": []}
        self.first_error: ModelError | None = None

    def run(self) -> Func:
        self._add_inputs()
        for op in self.reader.operators():
            self._convert(op)
        self.b.loc = UNKNOWN
        for index in self.reader.outputs:
            self._require_output(index)
        if any(self.problems.values()):
            raise _unsupported(self.problems)
        if self.first_error is not None:
            raise self.first_error
        return self.b.ret(*(self.values[index] for index in self.reader.outputs))

    def _add_inputs(self) -> None:
        for index in self.reader.inputs:
            tensor = self.reader.tensor(index)
            if index in self.values or index in self.unknown or tensor.data is not None:
                raise corrupt(f"{tensor} cannot be an input: it is one already, or a constant")
            try:
                self.values[index] = self.b.arg(tensor_type(tensor), sanitized(tensor.name) or f"input_{index}")
            except UnsupportedError as error:
                self.unknown.add(index)
                self.problems["input"].append(f"input: {error}")
        names = [self.reader.tensor(index).name for index in self.reader.inputs]
        self.b.func.attrs["inputs"] = tuple(names)
        self.b.func.attrs["outputs"] = tuple(self.reader.tensor(index).name for index in self.reader.outputs)

    def _require_output(self, index: int) -> None:
        """See to it that the output `index` has a value: an operator's, or a constant."""
        if index in self.values or index in self.unknown:
            return
        tensor = self.reader.tensor(index)
        if tensor.data is None:
            raise corrupt(f"the output {tensor} is never computed")
        try:
            type = tensor_type(tensor)
            self.values[index] = self.b.const(tensor.array(), sanitized(tensor.name), type.elem, type.layout)
        except UnsupportedError as error:
            self.problems["output"].append(f"output: {error}")

    # -- operators --------------------------------------------------------------------------------------------------

    def _convert(self, op: Operator) -> None:
        if not op.outputs:
            raise corrupt(f"op {op.index} ({op.kind}) has no result")
        for index in op.outputs:
            if index in self.values or index in self.unknown or self.reader.tensor(index).data is not None:
                raise corrupt(
                    f"op {op.index} ({op.kind}) writes {self.reader.tensor(index)}, which has a value already"
                )
        for index in op.inputs:
            self._require_defined(op, index)
        first = self.reader.tensor(op.outputs[0])
        self.b.loc = Loc((Source(first.name, op.index, first.index),))
        try:
            self._apply_rule(op)
        except UnsupportedError as error:
            self.problems["operator"].append(f"{op} ({json.dumps(first.name)}): {error}")
        except IRError as error:
            self.first_error = self.first_error or _as_model_error(error)
        self._stand_in_for(op)

    def _require_defined(self, op: Operator, index: int) -> None:
        if index < 0 or index in self.values or index in self.unknown:
            return
        tensor = self.reader.tensor(index)
        if tensor.data is None:
            raise corrupt(f"op {op.index} ({op.kind}) reads {tensor} before anything computes it")

    def _apply_rule(self, op: Operator) -> None:
        rule = RULES.get(op.kind)
        if rule is None:
            raise UnsupportedError("tinyir has no such operator")
        if not 1 <= op.version <= rule.newest:
            raise UnsupportedError(f"tinyir knows the versions 1 to {rule.newest}")
        if not any(index in self.unknown for index in op.inputs):
            rule.convert(Conversion(op, self.reader, self.b, self.values))

    def _stand_in_for(self, op: Operator) -> None:
        """After an operator that was not converted, let the ones that read its results be checked all the same."""
        for index in op.outputs:
            if index not in self.values:
                try:
                    self.values[index] = Value(tensor_type(self.reader.tensor(index)), self.b.block, -1)
                except UnsupportedError:
                    self.unknown.add(index)


def _unsupported(problems: dict[str, list[str]]) -> ModelError:
    counts = [f"{len(found)} {what}{'s' * (len(found) > 1)}" for what, found in problems.items() if found]
    notes = [problem for found in problems.values() for problem in found]
    if len(notes) > MAX_LISTED:
        notes[MAX_LISTED:] = [f"and {len(notes) - MAX_LISTED} more"]
    return ModelError(
        f"the model has {' and '.join(counts)} that tinyir does not support",
        notes=notes,
        help="supported, in float32 and int8: " + ", ".join(sorted(RULES)),
    )


def _as_model_error(error: IRError) -> ModelError:
    return ModelError(error.message, loc=error.loc, notes=error.notes, help=error.help)
