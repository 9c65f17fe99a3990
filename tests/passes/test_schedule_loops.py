"""`schedule-loops`: scheduled kernels, and constants laid out as they want them."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest

from tests.arena_machine import assert_same_bits, run_calls
from tests.passcheck import random_inputs, run_passes
from tests.strategies import graph_case
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.printer import print_module
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import Level, schedule
from tinyir.passes import schedule_loops
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.passes.plan_memory import kernel_of

PASSES = "fuse-ops,lower-to-loops,schedule-loops"
WHOLE = f"canonicalize,fold-pad,legalize-quant,canonicalize,hwc-to-chw,canonicalize,{PASSES}"

DENSE = """
func @main(%x: tensor<1x4xi8>) {
  %w = nn.const() {value = dense<2x4xi8, [1, -2, 3, -4, 5, 6, -7, 8]>} : tensor<2x4xi8>
  %y = int.dense(%x, %w) : tensor<1x2xi32>
  func.return(%y)
}
"""

CONV = """
func @main(%x: tensor<1x2x3x1xi8, NHWC>) {
  %w = nn.const() {value = dense<2x1x3x1xi8, [1, 2, 3, 4, 5, 6]>} : tensor<2x1x3x1xi8, OHWI>
  %y = int.conv2d(%x, %w) {pad = [[0, 0], [1, 1]], pad_value = -9} : tensor<1x2x3x2xi32, NHWC>
  func.return(%y)
}
"""


def scheduled(text: str) -> Module:
    """The module with scheduled kernels; it must compute the same."""
    module = run_passes(text, PASSES)
    main = parse(textwrap.dedent(text)).main
    inputs = random_inputs(main)
    assert_same_bits(run_calls(module, inputs), evaluate(main, inputs))
    return module


def only_kernel(module: Module) -> Kernel:
    (kernel,) = module.kernels.values()
    assert isinstance(kernel, Kernel)
    return kernel


def test_each_kernel_is_scheduled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the constants that are packed become ops of the function on the way."""
    seen: list[str] = []

    def once(kernel: Kernel, level: Level) -> Kernel:
        seen.append(kernel.name)
        return schedule(kernel, level)

    monkeypatch.setattr(schedule_loops, "schedule", once)
    module = run_passes(DENSE, PASSES)
    assert only_kernel(module).schedule and seen == [only_kernel(module).name]


def test_kernels_that_differ_in_name_alone_get_the_same_steps() -> None:
    first = only_kernel(run_passes(DENSE, "fuse-ops,lower-to-loops"))
    assert schedule(replace(first, name="other", doc=("else",))) == replace(
        schedule(first), name="other", doc=("else",)
    )


DENSE_BODY = """\
  var acc_0_0: i32 = 0
  var acc_1_0: i32 = 0
  let x_0_0: i8x4 = x[0, 0] as i8x4
  let weights_1_0: i8x4 = weights[0, 0] as i8x4
  let sxtb16_0_0: i16x2 = sxtb16(x_0_0)
  acc_0_0 = smlad(sxtb16_0_0, sxtb16(weights_1_0), acc_0_0)
  acc_1_0 = smlad(sxtb16_0_0, sxtb16_ror8(weights_1_0), acc_1_0)
  let weights_2_0: i8x4 = weights[0, 4] as i8x4
  let sxtb16_ror8_1_0: i16x2 = sxtb16_ror8(x_0_0)
  acc_0_0 = smlad(sxtb16_ror8_1_0, sxtb16(weights_2_0), acc_0_0)
  acc_1_0 = smlad(sxtb16_ror8_1_0, sxtb16_ror8(weights_2_0), acc_1_0)
  y[0, 0] = acc_0_0
  y[0, 1] = acc_1_0
}"""


def test_a_dense_layer() -> None:
    kernel = only_kernel(scheduled(DENSE))
    assert kernel.text().partition(" {\n")[2] == DENSE_BODY
    assert kernel.schedule[0] == "split(i, 4, io, i4)"


def test_packed_constants_replace_the_old_ones() -> None:
    """Rows of three taps become pairs of taps, those of two channels side by side, the last one 0."""
    module = scheduled(CONV)
    (constant,) = [op for op in module.main.ops if isinstance(op, Const)]
    assert constant.result.name == "w_packed"
    assert constant.value.reshape(-1).tolist() == [1, 4, 2, 5, 3, 6, 0, 0]
    kernel = only_kernel(module)
    assert all(p.packing is None for p in kernel.params)
    assert constant.type.shape != (2, 1, 3, 1)


def test_statistics() -> None:
    module = parse(textwrap.dedent(CONV))
    runs = PassManager(parse_pipeline(PASSES)).run(module)
    assert runs[-1].statistics == {"scheduled kernels": 1, "stored schedules": 0, "packed constants": 1}


def test_a_kernel_that_no_recipe_fits_stays() -> None:
    """Weights of int16, and rows of two."""
    text = """
    func @main(%x: tensor<1x2xi8>) {
      %w = nn.const() {value = dense<3x2xi16, [1, -2, 3, -4, 5, 600]>} : tensor<3x2xi16>
      %y = int.dense(%x, %w) : tensor<1x3xi32>
      func.return(%y)
    }
    """
    plain = run_passes(text, "lower-to-loops")
    assert scheduled(text).kernels == plain.kernels


def test_constants_of_one_tensor_are_packed_for_each_call() -> None:
    module = scheduled(
        """
        func @main(%x: tensor<1x2x3x1xi8, NHWC>, %z: tensor<1x1x3x1xi8, NHWC>) {
          %w = nn.const() {value = dense<2x1x3x1xi8, [1, 2, 3, 4, 5, 6]>} : tensor<2x1x3x1xi8, OHWI>
          %y = int.conv2d(%x, %w) {pad = [[0, 0], [1, 1]]} : tensor<1x2x3x2xi32, NHWC>
          %u = int.conv2d(%z, %w) : tensor<1x1x1x2xi32, NHWC>
          func.return(%y, %u)
        }
        """
    )
    sizes = sorted(op.type.elements for op in module.main.ops if isinstance(op, Const))
    assert sizes == [6, 8]


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("first", range(0, 80, 20))
def test_random_models(first: int, quantized: bool) -> None:
    for seed in range(first, first + 20):
        case = graph_case(seed, quantized)
        module = parse_tflite(case.model, "case")
        wanted = evaluate(module.main, case.inputs)
        PassManager(parse_pipeline(WHOLE)).run(module)
        assert_same_bits(run_calls(module, case.inputs), wanted, f"seed {seed}")
        assert parse(print_module(module)) == module


def test_operands_have_the_shapes_of_the_parameters() -> None:
    for seed in range(40):
        module = parse_tflite(graph_case(seed).model, "case")
        PassManager(parse_pipeline(WHOLE)).run(module)
        for call in module.main.ops:
            if isinstance(call, LoopCall):
                for p, value in zip(kernel_of(module, call).by_role("in", "const"), call.operands, strict=True):
                    assert (p.elements, p.dtype) == (value.type.elements, value.type.storage)
