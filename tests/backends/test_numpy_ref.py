"""The NumPy backend: what it prints computes what the IR means, bit for bit, and runs alone."""

from __future__ import annotations

import ast
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends.samples import BLOCK, LAYOUTS, LEVELS, prepared
from tests.golden import Golden
from tests.models import NAMES, RealModel, assert_equal_outputs, needs_models
from tests.passcheck import random_inputs
from tests.strategies import GraphCase, graph_cases
from tinyir.backends.numpy_ref import NumpyBackend, kernel_files, npz_bytes, value_names
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir import semantics
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Module, Op, Reference, Value
from tinyir.ir.interp import Array, evaluate
from tinyir.ir.ops.int_elementwise import Widen
from tinyir.ir.ops.tensor import Slice
from tinyir.ir.types import DType, TensorType
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.runtime.numpy_host import NumpyProgram


def program_of(module: Module) -> NumpyProgram:
    return NumpyProgram(NumpyBackend().emit(module))


def source_of(module: Module) -> str:
    """The text of NAME.py."""
    files = NumpyBackend().emit(module)
    (path,) = (path for path in files if path.endswith(".py") and "/" not in path)
    text = files[path]
    assert isinstance(text, str)
    return text


def assert_same_bits(found: list[Array], wanted: list[Array]) -> None:
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert type(one) is np.ndarray
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.tobytes() == two.tobytes()


def assert_program_computes_the_module(module: Module, inputs: list[Array]) -> None:
    assert_same_bits(program_of(module).run(inputs), evaluate(module.main, inputs))


# -- what it computes -----------------------------------------------------------------------------------------------

many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@many
@given(graph_cases(quantized=True), st.sampled_from(LEVELS))
def test_random_int8_graphs(case: GraphCase, passes: str) -> None:
    module = parse_tflite(case.model, "case")
    PassManager(parse_pipeline(passes)).run(module)
    assert_program_computes_the_module(module, case.inputs)


@many
@given(graph_cases(quantized=False), st.sampled_from(["", *LEVELS]))
def test_random_float_graphs(case: GraphCase, passes: str) -> None:
    module = parse_tflite(case.model, "case")
    PassManager(parse_pipeline(passes)).run(module)
    assert_program_computes_the_module(module, case.inputs)


@needs_models
@pytest.mark.parametrize("passes", LEVELS[:2], ids=["primitives", "fused"])
@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("name", NAMES)
def test_real_models(name: str, numerics: str, passes: str) -> None:
    """The stored outputs of TFLite Micro and LiteRT; bit for bit those of the interpreter, floats too."""
    model = RealModel(name)
    module = model.module()
    PassManager(parse_pipeline(passes.replace("tflm", numerics))).run(module)
    program = program_of(module)
    for sample in range(1 if name == "mcunetv2_large" else 8):
        outputs = program.run(model.inputs(sample))
        assert_equal_outputs(outputs, model.outputs(sample, numerics))
    assert_same_bits(outputs, evaluate(module.main, model.inputs(sample), numerics))


@needs_models
@pytest.mark.parametrize("name", ["pretrainedResnet_quant", "vww_96_float"])
def test_a_real_model_in_chw(name: str) -> None:
    model = RealModel(name)
    module = model.module()
    PassManager(parse_pipeline(LEVELS[2])).run(module)
    assert ".transpose(0, 2, 3, 1)" in source_of(module)
    assert_program_computes_the_module(module, model.inputs(0))


def test_layouts_are_explicit_transposes() -> None:
    module = parse(LAYOUTS)
    source = source_of(module)
    assert "x.transpose(0, 2, 3, 1), W" in source
    assert ").transpose(0, 3, 1, 2)  # int32 [1, 4, 4, 2] NCHW" in source
    assert "s = K.add(c.transpose(0, 2, 3, 1), skip)  # int32 [1, 4, 2, 4] NHWC" in source
    assert 's.transpose(0, 3, 1, 2), W["m"].reshape(1, 4, 1, 1), W["e"].reshape(1, 4, 1, 1)' in source
    assert_program_computes_the_module(module, random_inputs(module.main))


def test_a_scalar_stays_an_array() -> None:
    module = parse("func @main(%x: tensor<i8>) { %y = int.widen(%x) {offset = 3} : tensor<i32> func.return(%y) }")
    assert "y = np.asarray(K.widen(x, offset=3))  # int32 []" in source_of(module)
    assert_program_computes_the_module(module, [np.array(5, np.int8)])


def test_outputs_of_every_kind() -> None:
    """An input, a constant, the same value twice."""
    text = """
    func @main(%x: tensor<2xi8>) {
      %c = nn.const() {value = dense<2xi16, [1, 2]>} : tensor<2xi16>
      %y = int.clamp(%x) {lo = 0, hi = 1} : tensor<2xi8>
      func.return(%x, %c, %y, %y)
    }"""
    module = parse(text)
    assert 'return (x, W["c"], y, y)' in source_of(module)
    assert_program_computes_the_module(module, [np.array([-3, 4], np.int8)])
    constant = program_of(module).run([np.zeros(2, np.int8)])[1]
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 7


@pytest.mark.parametrize("outputs", [0, 1, 2])
def test_any_number_of_outputs(outputs: int) -> None:
    b = FuncBuilder()
    x = b.arg(TensorType((2,), DType.I8))
    module = Module([b.ret(*(b.add(Widen(x, offset=i)) for i in range(outputs)))])
    assert_program_computes_the_module(module, [np.array([1, 2], np.int8)])


# -- the text -------------------------------------------------------------------------------------------------------


def test_text_of_a_grouped_block(golden: Golden) -> None:
    golden.check(source_of(prepared(BLOCK, LEVELS[1])))


def test_text_of_layouts(golden: Golden) -> None:
    golden.check(source_of(parse(LAYOUTS)))


def test_text_of_the_kernels_package(golden: Golden) -> None:
    golden.check(kernel_files(["softmax_q8", "conv2d", "transpose", "dense"])["__init__.py"])


def test_the_files_of_a_folder() -> None:
    """The functions that are called, and what these import; nothing else."""
    files = NumpyBackend().emit(prepared(BLOCK, LEVELS[1]))
    assert list(files) == [
        "block.py",
        "block_weights.npz",
        "block_kernels/__init__.py",
        "block_kernels/contraction.py",
        "block_kernels/elementwise.py",
        "block_kernels/fixedpoint.py",
        "block_kernels/movement.py",
        "block_kernels/pooling.py",
        "block_kernels/program.py",
    ]


def test_kernels_come_with_what_they_import() -> None:
    assert set(kernel_files(["softmax_q8"])) == {
        "__init__.py",
        "fixedpoint.py",
        "gemmlowp.py",
        "program.py",
        "softmax.py",
        "transcendental.py",
    }
    assert set(kernel_files([])) == {"__init__.py", "program.py"}


@pytest.mark.parametrize("passes", LEVELS)
def test_code_keeps_its_width(passes: str) -> None:
    source = source_of(prepared(BLOCK, passes))
    code = [line.partition("#")[0].rstrip() for line in source[source.index("def run") :].splitlines()]
    assert max(len(line) for line in code) <= 104


@pytest.mark.parametrize("model", ["vww_96_int8", "ad01_fp32"])
@needs_models
def test_every_op_is_one_statement(model: str) -> None:
    module = RealModel(model).module()
    PassManager(parse_pipeline(LEVELS[1])).run(module)
    ops = [op for op in module.main.walk() if op.opname not in ("nn.const", "kernel.fused", "kernel.yield")]
    (run,) = (node for node in ast.parse(source_of(module)).body if isinstance(node, ast.FunctionDef))
    assert len([node for node in run.body if isinstance(node, ast.Assign)]) == len(ops) - 1  # func.return


HOSTILE = 'a"""b\\c\n# d'


def test_names_that_python_has_no_room_for() -> None:
    """Keywords, names of the module itself, digits, quotes and line ends, twice the same."""
    b = FuncBuilder()
    names = ["W", "lambda", "3d", "K", "x", "x", HOSTILE, "", "np", "v0", "", "run", "_", "é"]
    args = [b.arg(TensorType((1,), DType.I8), name) for name in names]
    outputs = [b.add(Widen(arg, offset=i, name=name)) for i, (arg, name) in enumerate(zip(args, names, strict=True))]
    outputs.append(b.const(np.arange(3), HOSTILE))
    outputs.append(b.const(np.arange(4), HOSTILE))
    func = b.ret(*outputs)
    func.attrs["inputs"] = tuple(names)
    module = Module([func], {"name": HOSTILE, "sha256": HOSTILE})
    assert_program_computes_the_module(module, random_inputs(func))
    assert [tensor.name for tensor in program_of(module).inputs] == names


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("random", "random_model"),
        ("numpy", "numpy_model"),
        ("my-net.v2", "my_net_v2"),
        ("class", "_class"),
        ("", "model"),
    ],
)
def test_the_module_hides_no_other(model: str, name: str) -> None:
    module = parse("func @main(%x: tensor<1xi8>) { func.return(%x) }")
    module.attrs["name"] = model
    assert f"{name}.py" in NumpyBackend().emit(module)


def test_values_have_the_names_of_their_variables() -> None:
    module = prepared(BLOCK, LEVELS[1])
    names = value_names(module)
    seen: dict[str, Array] = {}
    inputs = random_inputs(module.main)
    program_of(module).run(inputs, observe=seen.__setitem__)
    wanted: dict[str, Array] = {}
    evaluate(module.main, inputs, observe=lambda value, array: wanted.update({names.get(value, ""): array}))
    wanted.pop("")  # constants
    assert wanted.keys() <= seen.keys()
    assert all(seen[name].tobytes() == array.tobytes() for name, array in wanted.items())
    inner = [value for op in module.main.walk() if op.region for inner in op.region.ops for value in inner.results]
    assert {names[value] for value in inner} <= seen.keys()


# -- the weights ----------------------------------------------------------------------------------------------------


def test_npz_reads_back() -> None:
    arrays: dict[str, Array] = {
        "scalar": np.array(5, np.int32),
        "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "big_endian": np.arange(3, dtype=">f4"),
        "file": np.array([True, False]),
        "none": np.zeros((0, 3), np.float32),
    }
    with np.load(BytesIO(npz_bytes(arrays))) as file:
        assert file.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
            assert file[name].dtype == array.dtype.newbyteorder("<")
    assert np.load(BytesIO(npz_bytes({}))).files == []


def test_npz_says_nothing_of_when_and_where() -> None:
    with zipfile.ZipFile(BytesIO(npz_bytes({"a": np.arange(3)}))) as archive:
        (info,) = archive.infolist()
        assert (info.date_time, info.create_system) == ((1980, 1, 1, 0, 0, 0), 3)


# -- what it refuses ------------------------------------------------------------------------------------------------


def refusal(module: Module) -> str:
    with pytest.raises(IRError) as caught:
        NumpyBackend().emit(module)
    return caught.value.render()


def test_quantised_ops_are_refused() -> None:
    message = refusal(prepared(BLOCK, "canonicalize"))
    assert "`nn.conv2d` works on a quantised tensor" in message
    assert '"a/conv" op 0' in message
    assert (
        "help: print the module before `lower-to-loops` and, if the model is quantised, after `canonicalize," in message
    )


def test_quantised_tensors_may_be_moved() -> None:
    """What moves elements needs no integer form: the must-not-fire twin."""
    text = """
    func @main(%x: tensor<2x!q8<0.5, 3>>) {
      %p = tensor.pad(%x) {pads = [[1, 0]], value = 3.0} : tensor<3x!q8<0.5, 3>>
      %r = tensor.reshape(%p) {shape = [3, 1]} : tensor<3x1x!q8<0.5, 3>>
      func.return(%r)
    }"""
    assert_program_computes_the_module(parse(text), [np.array([-3, 4], np.int8)])


def test_kernel_calls_are_refused() -> None:
    module = prepared(BLOCK, f"{LEVELS[1]},lower-to-loops")
    message = refusal(module)
    assert "of the loop IR, which has no form in NumPy" in message
    assert "before `lower-to-loops`" in message


class _Odd(Slice):
    """An op of a user's own, with a reference that is no function of the semantics."""

    answer: Reference | None = None

    def reference(self) -> Reference:
        assert self.answer is not None
        return self.answer


def odd_module(answer: Reference | None) -> Module:
    b = FuncBuilder()
    op = _Odd(b.arg(TensorType((2,), DType.I8)), begin=(0,), size=(2,), stride=(1,))
    op.answer = answer
    return Module([b.ret(b.add(op))])


def reshape(x: Array) -> Array:
    """Called as a function of the semantics is, but another one."""
    return x


@pytest.mark.parametrize("function", [lambda x: x, reshape, np.negative, semantics.fixedpoint.wrap32])
def test_other_references_are_refused(function: object) -> None:
    assert callable(function)
    assert "no named function of tinyir.ir.semantics" in refusal(odd_module(Reference(function)))


def test_arguments_without_a_text_are_refused() -> None:
    module = odd_module(Reference(semantics.reshape, {"shape": np.array([2])}))
    assert "keyword argument that cannot be printed: ndarray" in refusal(module)


def test_ops_without_a_reference_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = odd_module(None)
    monkeypatch.setattr(_Odd, "reference", lambda self: None)
    assert "has no reference to print" in refusal(module)


def test_several_results_are_one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """No op has two results today; one that had would be printed so."""
    monkeypatch.setattr(semantics, "halves", halves, raising=False)
    monkeypatch.setattr(Slice, "reference", lambda self: Reference(halves))
    b = FuncBuilder()
    op = Slice(b.arg(TensorType((4,), DType.I8), "x"), begin=(0,), size=(2,), stride=(1,), name="low")
    op.results.append(Value(op.type, op, 1, "high"))
    b.insert(op)
    monkeypatch.setattr("tinyir.backends.numpy_ref.kernel_files", lambda functions: {})
    assert "low, high = K.halves(x)  # int8 [2]; int8 [2]" in source_of(Module([b.ret(*op.results)]))


def halves(x: Array) -> tuple[Array, Array]:
    return x[:2], x[2:]


def test_an_op_of_the_module_is_named_in_errors() -> None:
    module = prepared(BLOCK, "canonicalize")
    with pytest.raises(IRError) as caught:
        NumpyBackend().emit(module)
    assert isinstance(caught.value.op, Op)
