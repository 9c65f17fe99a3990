"""What the front end refuses, and how it says so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tflite_builder import Quant, TFLiteBuilder
from tinyir.diagnostics import ModelError
from tinyir.frontends.tflite import load_tflite, parse_tflite

SHAPE = (1, 4, 4, 2)
Q = Quant(0.1, 3)


def refusal(model: bytes) -> ModelError:
    """The error for a model that must not load."""
    with pytest.raises(ModelError) as caught:
        parse_tflite(model, "case")
    return caught.value


def test_all_unsupported_operators_at_once() -> None:
    b = TFLiteBuilder()
    x = b.input(SHAPE, Q)
    absolute = b.tensor(SHAPE, Q, name="abs")
    narrow = b.tensor(SHAPE, kind="INT16", name="narrow")
    floor, newer, tanh = (b.tensor(SHAPE, Q, name=name) for name in ("floor", "newer", "tanh"))
    b.op("ABS", [x], [absolute])
    b.op("RELU", [absolute], [narrow])
    b.op("FLOOR", [narrow], [floor])
    b.op("RELU", [floor], [newer], version=9)
    b.op("ADD", [newer, x], [tanh], fusedActivationFunction=4)
    error = refusal(b.build([tanh]))
    assert error.message == "the model has 5 operators that tinyir does not support"
    assert error.notes == [
        'op 0 ABS version 1 ("abs"): tinyir has no such operator',
        'op 1 RELU version 1 ("narrow"): tensor 2 ("narrow") is INT16, neither FLOAT32 nor INT8',
        'op 2 FLOOR version 1 ("floor"): tinyir has no such operator',
        'op 3 RELU version 9 ("newer"): tinyir knows the versions 1 to 5',
        'op 4 ADD version 1 ("tanh"): the fused activation TANH',
    ]
    assert "CONV_2D" in error.help and "TRANSPOSE" in error.help


def _custom(b: TFLiteBuilder, x: int) -> int:
    y = b.tensor(SHAPE, Q)
    b.op("CUSTOM", [x], [y])
    b.codes[-1].customCode = "MyOp"
    return y


def _unary(operator: str, quant: Quant | None = Q, **tensor: Any) -> Callable[[TFLiteBuilder, int], int]:
    def build(b: TFLiteBuilder, x: int) -> int:
        y = b.tensor(SHAPE, quant, **tensor)
        b.op(operator, [x], [y])
        return y

    return build


def _grouped(b: TFLiteBuilder, x: int) -> int:
    w, y = b.const(np.ones((4, 1, 1, 1), np.int8), Quant(0.1)), b.tensor((1, 4, 4, 4), Q)
    b.op("CONV_2D", [x, w], [y], strideH=1, strideW=1)
    return y


def _computed_weights(b: TFLiteBuilder, x: int) -> int:
    w, y = b.input((4, 1, 1, 2), Q), b.tensor((1, 4, 4, 4), Q)
    b.op("CONV_2D", [x, w], [y], strideH=1, strideW=1)
    return y


def _other_axis(b: TFLiteBuilder, x: int) -> int:
    w, y = b.const(np.ones((3, 1, 1, 2), np.int8), Quant([0.1, 0.2], 0, axis=3)), b.tensor((1, 4, 4, 3), Q)
    b.op("CONV_2D", [x, w], [y], strideH=1, strideW=1)
    return y


def _fused_concatenation(b: TFLiteBuilder, x: int) -> int:
    y = b.tensor((2, 4, 4, 2), Q)
    b.op("CONCATENATION", [x, x], [y], axis=0, fusedActivationFunction=1)
    return y


def _rescaling_concatenation(b: TFLiteBuilder, x: int) -> int:
    y = b.tensor((2, 4, 4, 2), Quant(0.2, 3))
    b.op("CONCATENATION", [x, x], [y], axis=0)
    return y


def _ellipsis(b: TFLiteBuilder, x: int) -> int:
    y = b.tensor(SHAPE, Q)
    b.op("STRIDED_SLICE", [x, b.ints(0), b.ints(0), b.ints(1)], [y], ellipsisMask=1)
    return y


def _shuffled(b: TFLiteBuilder, x: int) -> int:
    w, y = b.const(np.ones((3, 2), np.int8), Quant(0.1)), b.tensor((16, 3), Q)
    b.op("FULLY_CONNECTED", [x, w], [y], weightsFormat=1)
    return y


def _wide_bias(b: TFLiteBuilder, x: int) -> int:
    w, y = b.const(np.ones((3, 2), np.int8), Quant(0.1)), b.tensor((16, 3), Q)
    bias = b.tensor((3,), Q, "INT64", np.zeros(3, np.int64))
    b.op("FULLY_CONNECTED", [x, w, bias], [y])
    return y


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_custom, 'op 0 CUSTOM "MyOp" version 1'),
        (_unary("RELU", None, kind="UINT8"), "is UINT8, neither FLOAT32 nor INT8"),
        (_unary("RELU", None, kind="INT8"), "is INT8 without a scale and a zero point"),
        (_unary("RELU", Quant([0.1, 0.2], 0, 3)), "is no constant and has 2 scales"),
        (_grouped, "2 groups of channels"),
        (_computed_weights, "are not constant"),
        (_other_axis, "2 scales along axis 3"),
        (_fused_concatenation, "a fused activation"),
        (_rescaling_concatenation, "do not have the element type of its result"),
        (_ellipsis, "an ellipsis, a new axis or offsets"),
        (_shuffled, "weights are shuffled"),
        (_wide_bias, "is INT64, neither FLOAT32 nor INT32"),
        (_unary("RELU", None), "neither"),
    ],
)
def test_reasons(build: Callable[[TFLiteBuilder, int], int], reason: str) -> None:
    b = TFLiteBuilder()
    error = refusal(b.build([build(b, b.input(SHAPE, Q))]))
    if reason == "neither":  # an int8 operand with a float result is no mixture that an op knows
        assert "f32" in error.message
    else:
        assert reason in error.notes[0], error


# -- files that are no models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL2" + bytes(64), b"hello, world" * 10, bytes(1000)])
def test_not_a_model(data: bytes) -> None:
    assert refusal(data).message == "not a TFLite model"


def test_names_are_quoted() -> None:
    """A tensor's name may hold anything; a message stays one line."""
    b = TFLiteBuilder()
    x, y = b.input(SHAPE, Q), b.tensor(SHAPE, Q, name='a"b\n\x1b[2Jc')
    b.op("ABS", [x], [y])
    error = refusal(b.build([y]))
    assert error.notes == [r'op 0 ABS version 1 ("a\"b\n\u001b[2Jc"): tinyir has no such operator']


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        load_tflite(tmp_path / "missing.tflite")


def test_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.tflite: not a TFLite model"):
        load_tflite(path)


def small_model() -> TFLiteBuilder:
    """x -> RELU -> y, tensors 0 and 1."""
    b = TFLiteBuilder()
    x, y = b.input(SHAPE, Q), b.tensor(SHAPE, Q)
    b.op("RELU", [x], [y])
    return b


def test_every_truncation() -> None:
    model = small_model().build([1])
    for length in range(len(model)):
        refusal(model[:length])


def test_other_schema_version() -> None:
    model = bytearray(small_model().build([1]))
    root = struct.unpack_from("<I", model)[0]
    vtable = root - struct.unpack_from("<i", model, root)[0]
    version = root + struct.unpack_from("<H", model, vtable + 4)[0]
    struct.pack_into("<I", model, version, 4)
    assert "schema version 4" in refusal(bytes(model)).message


def _tensor(index: int, **changes: Any) -> Callable[[TFLiteBuilder], None]:
    def change(b: TFLiteBuilder) -> None:
        for name, value in changes.items():
            setattr(b.graph.tensors[index], name, value)

    return change


def _scale(scale: float, zero_point: int = 0) -> Callable[[TFLiteBuilder], None]:
    def change(b: TFLiteBuilder) -> None:
        b.graph.tensors[1].quantization.scale = np.array([scale], np.float32)
        b.graph.tensors[1].quantization.zeroPoint = np.array([zero_point], np.int64)

    return change


def _operator(**changes: Any) -> Callable[[TFLiteBuilder], None]:
    def change(b: TFLiteBuilder) -> None:
        for name, value in changes.items():
            setattr(b.graph.operators[0], name, value)

    return change


def _second_writer(b: TFLiteBuilder) -> None:
    b.op("RELU", [0], [1])


def _cycle(b: TFLiteBuilder) -> None:
    later = b.tensor(SHAPE, Q)
    b.graph.operators[0].inputs = np.array([later], np.int32)
    b.op("RELU", [1], [later])


def _constant_input(b: TFLiteBuilder) -> None:
    b.graph.inputs.append(b.const(np.zeros(SHAPE, np.int8), Q))


def _input_twice(b: TFLiteBuilder) -> None:
    b.graph.inputs.append(0)


def _short_constant(b: TFLiteBuilder) -> None:
    b.op("ADD", [0, b.tensor((4,), Q, data=np.zeros(3, np.int8))], [b.tensor(SHAPE, Q)])


def _no_options(b: TFLiteBuilder) -> None:
    b.op("ADD", [0, 0], [b.tensor(SHAPE, Q)])
    b.graph.operators[-1].builtinOptionsType = 0
    b.graph.operators[-1].builtinOptions = None


def _no_results(b: TFLiteBuilder) -> None:
    b.op("RELU", [0], [])


def _missing_operand(b: TFLiteBuilder) -> None:
    b.op("ADD", [0], [b.tensor(SHAPE, Q)])


def _broken_padding(b: TFLiteBuilder) -> None:
    y = b.tensor(SHAPE, Q)
    b.op("MAX_POOL_2D", [0], [y], padding=7, strideH=1, strideW=1, filterHeight=1, filterWidth=1)


def _no_stride(b: TFLiteBuilder) -> None:
    b.op("MAX_POOL_2D", [0], [b.tensor(SHAPE, Q)], filterHeight=1, filterWidth=1)


def _far_axis(b: TFLiteBuilder) -> None:
    b.op("MEAN", [0, b.ints(4)], [b.tensor((1,), Q)])


def _uneven_split(b: TFLiteBuilder) -> None:
    b.op("SPLIT", [b.ints(1), 0], [b.tensor((1, 1, 4, 2), Q) for _ in range(3)], numSplits=3)


def _ragged_dense(b: TFLiteBuilder) -> None:
    b.op("FULLY_CONNECTED", [0, b.const(np.ones((1, 5), np.int8), Q)], [b.tensor((1, 1), Q)])


def _few_margins(b: TFLiteBuilder) -> None:
    b.op("PAD", [0, b.ints(0, 0, 1)], [b.tensor(SHAPE, Q)])


def _slice_of_less(b: TFLiteBuilder) -> None:
    b.op("STRIDED_SLICE", [0, b.ints(0), b.ints(1), b.ints(1)], [b.tensor((1,), Q)])


def _resize_to_one_number(b: TFLiteBuilder) -> None:
    b.op("RESIZE_NEAREST_NEIGHBOR", [0, b.ints(3)], [b.tensor(SHAPE, Q)])


def _multiplier_mismatch(b: TFLiteBuilder) -> None:
    w, y = b.const(np.ones((1, 1, 1, 4), np.int8), Q), b.tensor((1, 4, 4, 4), Q)
    b.op("DEPTHWISE_CONV_2D", [0, w], [y], strideH=1, strideW=1, depthMultiplier=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_tensor(1, shape=np.array([1, 4, -4, 2], np.int32)), "tensor 1 has the shape [1, 4, -4, 2]"),
        (_tensor(1, shape=np.array([1 << 20, 1 << 20, 1, 1], np.int32)), "tensor 1 has the shape"),
        (_tensor(1, shape=np.ones(9, np.int32)), "9 axes"),
        (_tensor(1, buffer=77), "the buffer 77 of 1"),
        (_scale(float("nan")), "tensor 1 has the scale nan"),
        (_scale(0.0), "the scale 0.0"),
        (_scale(-1.0), "the scale -1.0"),
        (_scale(float("inf")), "the scale inf"),
        (_scale(0.1, 200), "a zero point outside of int8"),
        (_operator(opcodeIndex=5), "op 0 has the operator code 5 of 1"),
        (_operator(inputs=np.array([99], np.int32)), "a tensor index of 99, with 2 tensors"),
        (_operator(inputs=np.array([-2], np.int32)), "a tensor index of -2"),
        (_operator(inputs=np.zeros(300, np.int32)), "300 tensors in one list"),
        (_operator(inputs=np.array([1], np.int32)), 'op 0 (RELU) reads tensor 1 ("t1") before anything computes it'),
        (_operator(outputs=np.array([0], np.int32)), 'op 0 (RELU) writes tensor 0 ("t0"), which has a value already'),
        (_cycle, "before anything computes it"),
        (_second_writer, "which has a value already"),
        (_constant_input, "cannot be an input"),
        (_input_twice, "cannot be an input"),
        (_short_constant, "holds 3 bytes, but its shape [4] takes 4"),
        (_no_options, "op 1 (ADD) has no AddOptions"),
        (_no_results, "op 1 (RELU) has no result"),
        (_missing_operand, "op 1 (ADD) lacks operand 1"),
        (_broken_padding, "the padding 7"),
        (_no_stride, "strides [0, 0]"),
        (_far_axis, "the axis 4"),
        (_uneven_split, "in 3 parts"),
        (_ragged_dense, "rows of 5 elements"),
        (_few_margins, "3 margins"),
        (_slice_of_less, "a slice from [0] to [1] by [1]"),
        (_resize_to_one_number, "a new size of [3]"),
        (_multiplier_mismatch, "3 filters a channel"),
    ],
)
def test_corrupt_models(change: Callable[[TFLiteBuilder], None], message: str) -> None:
    b = small_model()
    change(b)
    error = refusal(b.build([1]))
    assert message in error.message, error


def test_output_that_nothing_computes() -> None:
    b = small_model()
    assert "is never computed" in refusal(b.build([b.tensor(SHAPE, Q)])).message


def test_input_of_a_strange_type() -> None:
    """It is reported with the unsupported operators; what reads it is not checked further."""
    b = TFLiteBuilder()
    x, axes, y, z = b.input(SHAPE, Q), b.input((2,), kind="INT32"), b.tensor((1, 2), Q), b.tensor((1, 2), Q)
    b.op("MEAN", [x, axes], [y])
    b.op("ABS", [y], [z])
    error = refusal(b.build([z]))
    assert error.message == "the model has 1 operator and 1 input that tinyir does not support"
    assert error.notes[1] == 'input: tensor 1 ("t1") is INT32, neither FLOAT32 nor INT8'


def test_output_that_is_a_strange_constant() -> None:
    b = small_model()
    error = refusal(b.build([1, b.const(np.zeros(3, np.int32), name="three")]))
    assert error.notes == ['output: tensor 2 ("three") is INT32, neither FLOAT32 nor INT8']


def test_parameters_that_are_computed() -> None:
    b = TFLiteBuilder()
    x, axes, y = b.input(SHAPE, Q), b.input((2,), Q), b.tensor((1, 2), Q)
    b.op("MEAN", [x, axes], [y])
    assert 'the list of axes, tensor 1 ("t1"), is not a constant' in refusal(b.build([y])).notes[0]


def test_empty_tensor() -> None:
    b = TFLiteBuilder()
    x, y = b.input((1, 0), Q), b.tensor((1, 0), Q)
    b.op("RELU", [x], [y])
    assert "has no elements" in refusal(b.build([y])).notes[0]


def test_shapes_that_do_not_go_together() -> None:
    """The op finds it, and the error names the operator of the model."""
    b = TFLiteBuilder()
    x, y = b.input((1, 4), Q), b.tensor((1, 5), Q, name="five")
    b.op("RELU", [x], [y])
    error = refusal(b.build([y]))
    assert "nn.clamp" in error.message
    assert 'at "five" op 0 tensor 1' in error.render()


def test_data_outside_of_the_flatbuffer() -> None:
    b = small_model()
    b.buffers[0].offset = 4096
    assert "outside of the flatbuffer" in refusal(b.build([1])).message


def test_variables_and_sparse_tensors() -> None:
    b = small_model()
    b.graph.tensors[1].isVariable = True
    assert "is a variable" in refusal(b.build([1])).notes[0]


def test_newest_versions() -> None:
    b = TFLiteBuilder()
    x, y = b.input((1, 4), Q), b.tensor((1, 4), Q)
    b.op("RELU", [x], [y], version=5)
    parse_tflite(b.build([y]), "case")
