"""`fuse-ops`: what becomes one kernel, and what stays apart."""

from __future__ import annotations

import pytest

from tests.arena_machine import assert_same_bits
from tests.passcheck import PassChecker, run_passes
from tests.strategies import graph_case
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.core import Func
from tinyir.ir.interp import evaluate
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Fused
from tinyir.passes.manager import PassManager, parse_pipeline

FACTORS = """
  %m = nn.const() {value = dense<1xi32, [1073741824]>} : tensor<1xi32>
  %e = nn.const() {value = dense<1xi32, [-4]>} : tensor<1xi32>
"""

CONV = f"""
  %w = nn.const() {{value = dense<2x1x1x2xi8, [1, -2, 3, 4]>}} : tensor<2x1x1x2xi8, OHWI>
{FACTORS}
  %c = int.conv2d(%x, %w) : tensor<1x2x2x2xi32, NHWC> loc("conv")
  %q = int.requantize(%c, %m, %e) : tensor<1x2x2x2xi8, NHWC> loc("conv")
"""


def test_a_convolution_and_what_finishes_it(check_pass: PassChecker) -> None:
    stats = check_pass(
        f"""
        func @main(%x: tensor<1x2x2x2xi8, NHWC>) {{
          {CONV}
          %y = int.clamp(%q) {{lo = 0, hi = 90}} : tensor<1x2x2x2xi8, NHWC> loc("relu")
          func.return(%y)
        }}
        """,
        "fuse-ops",
        f"""
        func @main(%x: tensor<1x2x2x2xi8, NHWC>) {{
          %w = nn.const() {{value = dense<2x1x1x2xi8, [1, -2, 3, 4]>}} : tensor<2x1x1x2xi8, OHWI>
          {FACTORS}
          %y = kernel.fused(%x, %w, %m, %e)
            region(%x: tensor<1x2x2x2xi8, NHWC>, %w: tensor<2x1x1x2xi8, OHWI>, %m: tensor<1xi32>, %e: tensor<1xi32>) {{
              %c = int.conv2d(%x, %w) : tensor<1x2x2x2xi32, NHWC> loc("conv")
              %q = int.requantize(%c, %m, %e) : tensor<1x2x2x2xi8, NHWC> loc("conv")
              %y = int.clamp(%q) {{lo = 0, hi = 90}} : tensor<1x2x2x2xi8, NHWC> loc("relu")
              kernel.yield(%y)
            }} : tensor<1x2x2x2xi8, NHWC> loc("conv", "relu")
          func.return(%y)
        }}
        """,
    )
    assert stats == {"groups": 1}


def groups(body: str, args: str = "%x: tensor<1x2x2x2xi8, NHWC>", passes: str = "fuse-ops") -> list[list[str]]:
    """What the ops of a function are grouped to: the op names of each kernel, constants and views left out."""
    text = f"func @main({args}) {{ {body} }}"
    return kernels(run_passes(text, passes).main)


def kernels(func: Func) -> list[list[str]]:
    found = []
    for op in func.ops:
        if isinstance(op, Fused):
            assert op.region is not None
            found.append([inner.opname for inner in op.region.ops[:-1]])
        elif not (op.opname == "nn.const" or op.has(Trait.TERMINATOR) or op.has(Trait.VIEW)):
            found.append([op.opname])
    return found


SUM = """
  %{a} = int.widen(%{x}) {{offset = 3}} : tensor<1x2x2x2xi32, NHWC>
"""
ADD = """
  %t = int.add(%a, %b) : tensor<1x2x2x2xi32, NHWC>
  %y = int.requantize(%t, %m, %e) : tensor<1x2x2x2xi8, NHWC>
  func.return(%y)
"""
SKIP = "%x: tensor<1x2x2x2xi8, NHWC>, %skip: tensor<1x2x2x2xi8, NHWC>"
WIDE = SUM.format(a="a", x="q")
WIDE_SKIP = SUM.format(a="b", x="skip")
RESIDUAL = ["int.conv2d", "int.requantize", "int.widen", "int.widen", "int.add", "int.requantize"]


def test_a_residual_addition_joins_the_convolution() -> None:
    (found,) = groups(f"{CONV} {WIDE} {WIDE_SKIP} {ADD}", SKIP)
    assert found == RESIDUAL


def test_the_skip_may_be_widened_before_the_convolution() -> None:
    (found,) = groups(f"{WIDE_SKIP} {CONV} {WIDE} {ADD}", SKIP)
    assert sorted(found) == sorted(RESIDUAL)


def test_a_skip_from_another_convolution_is_stored_narrow() -> None:
    """The later convolution takes the addition; the earlier one ends with int8."""
    second = CONV.replace("%w", "%w2").replace("%c", "%c2").replace("%q", "%skip").replace(FACTORS, "")
    found = groups(f"{CONV} {second} {WIDE} {WIDE_SKIP} {ADD}")
    assert sorted(map(len, found)) == [2, 6]
    assert found[0] == ["int.conv2d", "int.requantize"]


# -- what stays apart -------------------------------------------------------------------------------------------------


def test_a_value_with_two_readers_is_stored() -> None:
    found = groups(f"{CONV} %y = int.clamp(%q) {{lo = 0, hi = 9}} : tensor<1x2x2x2xi8, NHWC> func.return(%y, %q)")
    assert found == [["int.conv2d", "int.requantize"], ["int.clamp"]]


def test_a_value_that_one_op_reads_twice_has_one_reader() -> None:
    found = groups(f"{CONV} {WIDE} %t = int.mul(%a, %a) : tensor<1x2x2x2xi32, NHWC> func.return(%t)")
    assert found == [["int.conv2d", "int.requantize", "int.widen", "int.mul"]]


def test_views_and_what_is_behind_them_stay_apart() -> None:
    found = groups(
        f"""
        {CONV}
        %r = tensor.reshape(%q) {{shape = [8]}} : tensor<8xi8>
        %y = int.clamp(%r) {{lo = 0, hi = 9}} : tensor<8xi8>
        func.return(%y)
        """
    )
    assert found == [["int.conv2d", "int.requantize"], ["int.clamp"]]


def test_an_op_with_loops_begins_a_kernel() -> None:
    found = groups(
        f"""
        {CONV}
        %p = int.max_pool2d(%q) {{kernel = [2, 2]}} : tensor<1x1x1x2xi8, NHWC>
        %y = int.clamp(%p) {{lo = 0, hi = 9}} : tensor<1x1x1x2xi8, NHWC>
        func.return(%y)
        """
    )
    assert found == [["int.conv2d", "int.requantize"], ["int.max_pool2d", "int.clamp"]]


def test_a_broadcast_operand_is_made_by_itself() -> None:
    found = groups(
        """
        %a = int.widen(%x) : tensor<1x2x2x2xi32, NHWC>
        %b = int.widen(%s) : tensor<1x1x1x2xi32, NHWC>
        %t = int.add(%a, %b) : tensor<1x2x2x2xi32, NHWC>
        func.return(%t)
        """,
        "%x: tensor<1x2x2x2xi8, NHWC>, %s: tensor<1x1x1x2xi8, NHWC>",
    )
    assert found == [["int.widen"], ["int.widen", "int.add"]]


def test_groups_have_at_most_so_many_ops() -> None:
    body = f"{CONV} {WIDE} {WIDE_SKIP} {ADD}"
    assert groups(body, SKIP, "fuse-ops{max_ops=6}") == [RESIDUAL]
    for most in range(1, 6):
        found = groups(body, SKIP, f"fuse-ops{{max_ops={most}}}")
        assert max(map(len, found)) <= most
        assert sum(map(len, found)) == len(RESIDUAL)


def test_other_orders_of_axes_join() -> None:
    body = CONV.replace("%q, ", "").replace("tensor<1x2x2x2xi8, NHWC> loc", "tensor<1x2x2x2xi8, NCHW> loc")
    found = groups(f"{body} func.return(%q)")
    assert found == [["int.conv2d", "int.requantize"]]


def test_single_ops_stay_as_they_are(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """
        func @main(%x: tensor<4xf32>, %z: tensor<4xf32>) {
          %y = nn.add(%x, %z) : tensor<4xf32>
          %t = tensor.concat(%y, %x, %y) {axis = 0} : tensor<12xf32>
          func.return(%t)
        }
        """,
        "fuse-ops",
    )


# -- updates ----------------------------------------------------------------------------------------------------------

G, W, V, LR = (
    "%g: tensor<1x3xf32>, %x: tensor<1x2xf32>",
    "%w: tensor<3x2xf32>",
    "%v: tensor<3x2xf32>",
    "%lr: tensor<f32>",
)
STATE = f"{G}, {W}, {V}, {LR}"
MOMENTUM = """
  %d = grad.dense_weight(%g, %x) : tensor<3x2xf32>
  %u = nn.add(%v, %d) : tensor<3x2xf32>
  %q = train.sgd(%w, %u, %lr) : tensor<3x2xf32>
  %w.new, %v.new = train.accept(%w, %v, %q, %u, %q) {states = 2} : tensor<3x2xf32>, tensor<3x2xf32>
"""


def test_an_update_with_several_results_is_one_kernel(check_pass: PassChecker) -> None:
    stats = check_pass(
        f"func @main({STATE}) {{ {MOMENTUM} func.return(%w.new, %v.new) }}",
        "fuse-ops",
        f"""
        func @main({STATE}) {{
          %w.new, %v.new = kernel.fused(%g, %x, %v, %w, %lr) region({G}, {V}, {W}, {LR}) {{
            {MOMENTUM}
            kernel.yield(%w.new, %v.new)
          }} : tensor<3x2xf32>, tensor<3x2xf32>
          func.return(%w.new, %v.new)
        }}
        """,
    )
    assert stats == {"groups": 1}


def test_however_many_ops_an_update_has() -> None:
    (found,) = groups(f"{MOMENTUM} func.return(%w.new, %v.new)", STATE, "fuse-ops{max_ops=2}")
    assert found == ["grad.dense_weight", "nn.add", "train.sgd", "train.accept"]


def test_a_gradient_that_something_else_reads_is_stored() -> None:
    found = groups(f"{MOMENTUM} %n = nn.tanh(%d) : tensor<3x2xf32> func.return(%w.new, %v.new, %n)", STATE)
    assert found == [["grad.dense_weight"], ["nn.add", "train.sgd", "train.accept"], ["nn.tanh"]]


def test_an_update_takes_in_one_op_with_loops() -> None:
    body = MOMENTUM.replace(
        "%u = nn.add(%v, %d)",
        "%e = grad.dense_weight(%x2, %x) : tensor<3x2xf32> %f = nn.add(%e, %d) : tensor<3x2xf32> %u = nn.add(%v, %f)",
    )
    found = groups(f"{body} func.return(%w.new, %v.new)", f"{STATE}, %x2: tensor<1x3xf32>")
    assert sorted(map(len, found)) == [1, 5]


# -- widenings --------------------------------------------------------------------------------------------------------


def test_a_widened_value_is_made_again_for_each_reader(check_pass: PassChecker) -> None:
    stats = check_pass(
        """
        func @main(%x: tensor<4xi8>, %p: tensor<4xi32>, %q: tensor<4xi32>) {
          %a = int.widen(%x) {offset = 3} : tensor<4xi32>
          %s = int.add(%a, %p) : tensor<4xi32>
          %t = int.sub(%a, %q) : tensor<4xi32>
          func.return(%s, %t)
        }
        """,
        "fuse-ops",
        """
        func @main(%x: tensor<4xi8>, %p: tensor<4xi32>, %q: tensor<4xi32>) {
          %s = kernel.fused(%x, %p) region(%x: tensor<4xi8>, %p: tensor<4xi32>) {
            %a = int.widen(%x) {offset = 3} : tensor<4xi32>
            %s = int.add(%a, %p) : tensor<4xi32>
            kernel.yield(%s)
          } : tensor<4xi32>
          %t = kernel.fused(%x, %q) region(%x: tensor<4xi8>, %q: tensor<4xi32>) {
            %a = int.widen(%x) {offset = 3} : tensor<4xi32>
            %t = int.sub(%a, %q) : tensor<4xi32>
            kernel.yield(%t)
          } : tensor<4xi32>
          func.return(%s, %t)
        }
        """,
    )
    assert stats == {"groups": 2, "repeated ops": 1}


def test_a_narrowing_is_not_repeated() -> None:
    found = groups(f"{CONV} {WIDE} {WIDE.replace('%a', '%b').replace('= 3', '= 4')} {ADD}")
    assert found == [["int.conv2d", "int.requantize"], ["int.widen", "int.widen", "int.add", "int.requantize"]]


# -- whole models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 60, 20))
@pytest.mark.parametrize("quantized", [True, False])
def test_random_models_compute_the_same(first: int, quantized: bool) -> None:
    for seed in range(first, first + 20):
        case = graph_case(seed, quantized)
        module = parse_tflite(case.model, "case")
        wanted = evaluate(module.main, case.inputs)
        PassManager(parse_pipeline("canonicalize,fold-pad,legalize-quant,canonicalize,fuse-ops")).run(module)
        assert_same_bits(evaluate(module.main, case.inputs), wanted, f"seed {seed}")


def test_inner_values_have_one_reader() -> None:
    for seed in range(60):
        module = parse_tflite(graph_case(seed).model, "case")
        PassManager(parse_pipeline("canonicalize,legalize-quant,canonicalize,fuse-ops")).run(module)
        for op in module.main.ops:
            for inner in op.region.ops[:-1] if op.region is not None else ():
                assert all(len(value.users) == 1 for value in inner.results)
