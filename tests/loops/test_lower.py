"""Ops and groups to plain kernels: what the kernel computes is what the graph says, to the bit."""

from __future__ import annotations

import textwrap

import numpy as np
import numpy.typing as npt
import pytest

from tests.loops.cases import KINDS, Case, cases, cases_of
from tests.loops.kernels import run
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func
from tinyir.ir.ops import nn_activation, nn_elementwise, nn_window
from tinyir.ir.types import DType, TensorType
from tinyir.loops.check import check_kernel
from tinyir.loops.lower import lower
from tinyir.loops.schedule.core import names_of

SEEDS = 25


def assert_lowered(case: Case) -> None:
    """Fail unless the kernel is sound and gives what the graph gives; any NaN is as good as another."""
    assert check_kernel(case.kernel) == "", case.kernel.text()
    found = run(case.kernel, case.arrays)
    for one, two in zip(found.values(), case.wanted, strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert np.array_equal(bits(one), bits(two)), case.kernel.text()


def bits(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if array.dtype != np.float32:
        return array
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.int32)


@pytest.mark.parametrize("kind", KINDS)
def test_lowered_kernels_compute_what_the_graph_says(kind: str) -> None:
    for seed in range(SEEDS):
        for case in cases(kind, seed):
            assert_lowered(case)


def func(text: str) -> Func:
    return parse(textwrap.dedent(text)).main


def text_of(text: str) -> str:
    """The kernel of a function of one op, without its attributes."""
    (case,) = cases_of(func(text))
    assert_lowered(case)
    head, _, body = case.kernel.text().partition(" {\n")
    return f"{head.partition(' attributes')[0]} {{\n{body}"


def test_a_dense_layer_and_its_requantisation() -> None:
    found = text_of(
        """
        func @main(%x: tensor<2x3xi8>) {
          %w = nn.const() {value = dense<4x3xi8, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]>} : tensor<4x3xi8>
          %b = nn.const() {value = dense<4xi32, [10, 20, 30, 40]>} : tensor<4xi32>
          %m = nn.const() {value = dense<1xi32, [1073741824]>} : tensor<1xi32>
          %s = nn.const() {value = dense<1xi32, [-3]>} : tensor<1xi32>
          %a = int.dense(%x, %w, %b) : tensor<2x4xi32>
          %y = int.requantize(%a, %m, %s) {zero_point = -128} : tensor<2x4xi8>
          func.return(%y)
        }
        """
    )
    assert found == textwrap.dedent(
        """\
        kernel @k(in x: i8[2, 3], const weights: i8[4, 3], const bias: i32[4], out y: i8[2, 4]) {
          for n in 2 {
            for o in 4 {
              var acc: i32 = bias[o]
              for i in 3 {
                acc = (acc + (i32(x[n, i]) * i32(weights[o, i])))
              }
              let requantize: i8 = i8(ssat_asr(smmla((acc << 14), 1073741824, -8351744), 16))
              y[n, o] = requantize
            }
          }
        }"""
    )


def test_margins_that_one_side_has() -> None:
    found = text_of(
        """
        func @main(%x: tensor<1x3x2x1xi8, NHWC>) {
          %y = int.max_pool2d(%x) {kernel = [2, 1], pad = [[1, 0], [0, 0]], lo = 0} : tensor<1x3x2x1xi8, NHWC>
          func.return(%y)
        }
        """
    )
    assert found == textwrap.dedent(
        """\
        kernel @k(in x: i8[1, 3, 2, 1], out y: i8[1, 3, 2, 1]) {
          for h in 3 {
            for w in 2 {
              var best: i32 = -128
              for kh in 2 {
                best = max(best, where [0 <= h + kh + -1 < 3] i32(x[0, h + kh + -1, w, 0]) else -128)
              }
              y[0, h, w, 0] = i8(max(best, 0))
            }
          }
        }"""
    )


def test_channels_of_a_depthwise_multiplier() -> None:
    found = text_of(
        """
        func @main(%x: tensor<1x1x1x2xf32, NHWC>, %w: tensor<1x1x6xf32, HWO>) {
          %y = nn.depthwise_conv2d(%x, %w) : tensor<1x1x1x6xf32, NHWC>
          func.return(%y)
        }
        """
    )
    assert "y[0, 0, 0, 3*ic + m] = acc" in found
    assert "x[0, 0, 0, ic] * weights[0, 0, 3*ic + m]" in found


def test_results_of_two_orders_of_axes() -> None:
    found = text_of(
        """
        func @main(%a: tensor<1x2x3x4xf32, NHWC>, %b: tensor<1x4x2x3xf32, NCHW>, %c: tensor<4xf32, C>) {
          %0 = nn.add(%a, %b) : tensor<1x2x3x4xf32, NHWC>
          %1 = nn.mul(%0, %c) : tensor<1x4x2x3xf32, NCHW>
          func.return(%1)
        }
        """
    )
    assert "for c in 4 {\n    for h in 2 {\n      for w in 3 {" in found
    assert "(a[0, h, w, c] + b[0, c, h, w])" in found
    assert "y[0, c, h, w] = mul" in found


def test_ops_of_a_group_that_stand_before_its_anchor() -> None:
    """The skip is widened before the convolution begins, and in its kernel all the same."""
    found = text_of(
        """
        func @main(%x: tensor<1x1x2x1xi8, NHWC>, %skip: tensor<1x1x2x1xi8, NHWC>) {
          %s = int.widen(%skip) {offset = 3} : tensor<1x1x2x1xi32, NHWC>
          %w = nn.const() {value = dense<1x1x1x1xi8, [5]>} : tensor<1x1x1x1xi8, OHWI>
          %c = int.conv2d(%x, %w) : tensor<1x1x2x1xi32, NHWC>
          %y = int.add(%c, %s) : tensor<1x1x2x1xi32, NHWC>
          func.return(%y)
        }
        """
    )
    assert found == textwrap.dedent(
        """\
        kernel @k(in x: i8[1, 1, 2, 1], in x1: i8[1, 1, 2, 1], out y: i32[1, 1, 2, 1]) {
          for w in 2 {
            var acc: i32 = 0
            acc = (acc + (i32(x[0, 0, w, 0]) * i32(i8(5))))
            let widen: i32 = (i32(x1[0, 0, w, 0]) + 3)
            let add: i32 = (acc + widen)
            y[0, 0, w, 0] = add
          }
        }"""
    )


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_used_once(kind: str) -> None:
    for seed in range(SEEDS):
        for case in cases(kind, seed):
            words = [word for stmt in case.kernel.text().split("\n") for word in stmt.split()]
            declared = [words[i + 1].rstrip(":") for i, word in enumerate(words) if word in ("for", "let", "var")]
            declared += [p.name for p in case.kernel.params]
            assert len(declared) == len(set(declared)) == len(names_of(case.kernel))


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_come_by_role(kind: str) -> None:
    for case in cases(kind, 3):
        roles = [p.role for p in case.kernel.params]
        assert roles == sorted(roles, key=["in", "const", "out", "scratch"].index)


def test_the_kernel_says_what_it_is() -> None:
    (case,) = cases("conv", 14)
    assert case.kernel.kind == "int.conv2d"
    assert case.kernel.doc[0].startswith("int.conv2d(")


def test_quantised_ops_are_legalised_first() -> None:
    main = func(
        """
        func @main(%x: tensor<2x4x!q8<0.5, 3>>, %w: tensor<3x4x!q8<0.5, 3>>) {
          %y = nn.mul(%x, %x) : tensor<2x4x!q8<0.5, 3>> loc("times")
          func.return(%y)
        }
        """
    )
    with pytest.raises(IRError, match=r"`nn.mul` computes with quantised types") as caught:
        lower(main.ops[0], "k")
    assert caught.value.help == "run `legalize-quant` first"


def test_quantised_elements_can_be_moved() -> None:
    text = """
    func @main(%x: tensor<3x2x!q8<0.5, 3>>) {
      %y = tensor.slice(%x) {begin = [2, 0], size = [2, 2], stride = [-2, 1]} : tensor<2x2x!q8<0.5, 3>>
      func.return(%y)
    }
    """
    assert "y[i0, i1] = x[-2*i0 + 2, i1]" in text_of(text)


def test_a_view_has_no_lowering() -> None:
    main = func(
        """
        func @main(%x: tensor<2x4xi8>) {
          %y = tensor.reshape(%x) {shape = [8]} : tensor<8xi8> loc("flat")
          func.return(%y)
        }
        """
    )
    with pytest.raises(IRError, match=r"`tensor.reshape` has no lowering to loops"):
        lower(main.ops[0], "k")


EDGES = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 6.0, -3.0, 3.0, 0.5, -0.5, 2.5, -2.5], np.float32
)


@pytest.mark.parametrize(
    "op",
    [
        lambda x, z: nn_elementwise.Add(x, z),
        lambda x, z: nn_elementwise.Sub(x, z),
        lambda x, z: nn_elementwise.Mul(x, z),
        lambda x, z: nn_elementwise.Clamp(x, lo=-1.0, hi=2.5),
        lambda x, z: nn_elementwise.Clamp(x, lo=0.0),
        lambda x, z: nn_activation.Relu(x, hi=6.0),
        lambda x, z: nn_activation.LeakyRelu(x, alpha=-0.5),
        lambda x, z: nn_activation.HardSwish(x),
        lambda x, z: nn_activation.Logistic(x),
        lambda x, z: nn_activation.Tanh(x),
        lambda x, z: nn_window.Softmax(x),
        lambda x, z: nn_window.Mean(x, axes=(0,)),
        lambda x, z: nn_elementwise.Clamp(nn_elementwise.Sub(x, z).result, lo=0.0),
    ],
    ids=range(13),
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_floats_at_the_edges(op: object) -> None:
    """Zeros with a sign, infinities, NaN, subnormal numbers: every one against every other."""
    b = FuncBuilder()
    shape = (len(EDGES), len(EDGES))
    x, z = (b.arg(TensorType(shape, DType.F32), name) for name in ("x", "z"))
    assert callable(op)
    last = op(x, z)
    for value in last.operands:
        if value.defining_op is not None:
            b.insert(value.defining_op)
    (case,) = cases_of(
        b.ret(b.add(last)), inputs=[np.repeat(EDGES[:, None], len(EDGES), 1), np.tile(EDGES, (len(EDGES), 1))]
    )
    assert_lowered(case)
