"""`lower-to-loops`: every op and group becomes the call of a kernel."""

from __future__ import annotations

import pytest

from tests.arena_machine import assert_same_bits, run_calls
from tests.passcheck import PassChecker, random_inputs, run_passes
from tests.strategies import graph_case
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.core import Module
from tinyir.ir.interp import evaluate
from tinyir.ir.opdef import Trait
from tinyir.ir.ops.func import Const, LoopCall
from tinyir.ir.printer import print_module
from tinyir.ir.views import view_root
from tinyir.passes.manager import PassManager, parse_pipeline

TO_LOOPS = "canonicalize,fold-pad,legalize-quant,canonicalize,fuse-ops,lower-to-loops"


def test_a_group_becomes_a_call(check_pass: PassChecker) -> None:
    stats = check_pass(
        """
        func @main(%x: tensor<2x2xi8>) {
          %m = nn.const() {value = dense<1xi32, [1073741824]>} : tensor<1xi32>
          %e = nn.const() {value = dense<1xi32, [-3]>} : tensor<1xi32>
          %w = nn.const() {value = dense<3x2xi8, [1, 2, 3, 4, 5, 6]>} : tensor<3x2xi8>
          %y = kernel.fused(%x, %w, %m, %e)
            region(%x: tensor<2x2xi8>, %w: tensor<3x2xi8>, %m: tensor<1xi32>, %e: tensor<1xi32>) {
              %a = int.dense(%x, %w) : tensor<2x3xi32> loc("fc")
              %q = int.requantize(%a, %m, %e) : tensor<2x3xi8> loc("fc")
              kernel.yield(%q)
            } : tensor<2x3xi8> loc("fc")
          func.return(%y)
        }
        """,
        "lower-to-loops",
        """
        module {
          func @main(%x: tensor<2x2xi8>) {
            %w = nn.const() {value = dense<3x2xi8, [1, 2, 3, 4, 5, 6]>} : tensor<3x2xi8>
            %y = loop.call(%x, %w) {kernel = @y, work = 12} : tensor<2x3xi8> loc("fc")
            func.return(%y)
          }
          kernel @y(in x: i8[2, 2], const weights: i8[3, 2], out y: i8[2, 3]) attributes {kind = "int.dense", doc = [
            "int.dense(2x2xi8, 3x2xi8) -> 2x3xi32", "int.requantize(2x3xi32, 1xi32, 1xi32) -> 2x3xi8"]} {
            for n in 2 {
              for o in 3 {
                var acc: i32 = 0
                for i in 2 {
                  acc = (acc + (i32(x[n, i]) * i32(weights[o, i])))
                }
                let requantize: i8 = i8(ssat_asr((smmlar((acc << 1), 1073741824, 4) + (acc >> 31)), 3))
                y[n, o] = requantize
              }
            }
          }
        }
        """,
        same_results=False,
    )
    assert stats == {"kernels": 1}


def test_views_stay(check_pass: PassChecker) -> None:
    text = """
    func @main(%x: tensor<2x3xf32>) {
      %a = nn.relu(%x) : tensor<2x3xf32>
      %r = tensor.reshape(%a) {shape = [6]} : tensor<6xf32>
      %y = nn.tanh(%r) : tensor<6xf32>
      func.return(%y)
    }
    """
    module = run_passes(text, "lower-to-loops")
    assert [op.opname for op in module.main.ops] == ["loop.call", "tensor.reshape", "loop.call", "func.return"]
    main = parse(text).main
    inputs = random_inputs(main)
    assert_same_bits(run_calls(module, inputs), evaluate(main, inputs))


def lowered(body: str, args: str = "%x: tensor<2x3xi8>") -> Module:
    """The module that the pass makes; it must compute the same."""
    text = f"func @main({args}) {{ {body} }}"
    module = run_passes(text, "lower-to-loops")
    main = parse(text).main
    inputs = random_inputs(main)
    assert_same_bits(run_calls(module, inputs), evaluate(main, inputs))
    return module


CLAMP = "%a = int.clamp(%x) {lo = 0, hi = 9} : tensor<2x3xi8>"
RESHAPE = "%r = tensor.reshape(%a) {shape = [6]} : tensor<6xi8>"


@pytest.mark.parametrize(
    ("body", "copies"),
    [
        ("func.return(%x)", 1),
        ("%r = tensor.reshape(%x) {shape = [6]} : tensor<6xi8> func.return(%r)", 1),
        ("%c = nn.const() {value = dense<2xi8, [1, 2]>} : tensor<2xi8> func.return(%c)", 1),
        (f"{CLAMP} func.return(%a, %a)", 1),
        (f"{CLAMP} func.return(%a, %a, %a)", 2),
        (f"{CLAMP} {RESHAPE} func.return(%a, %r)", 1),
        (f"{CLAMP} {RESHAPE} func.return(%r, %x)", 1),
        (f"{CLAMP} func.return(%a)", 0),
        (f"{CLAMP} {RESHAPE} func.return(%r)", 0),
    ],
)
def test_outputs_that_share_their_bytes_are_copied(body: str, copies: int) -> None:
    module = lowered(body)
    assert len(module.kernels) == copies + body.count("int.clamp")
    roots = [view_root(value) for value in module.main.outputs]
    assert len(set(roots)) == len(roots)
    assert all(isinstance(root.defining_op, LoopCall) for root in roots)


def test_kernels_are_called_as_their_results() -> None:
    module = lowered(
        """
        %a = int.clamp(%x) {lo = 0, hi = 9} : tensor<2x3xi8>
        %b = int.clamp(%a) {lo = 0, hi = 8} : tensor<2x3xi8>
        %0 = int.clamp(%b) {lo = 0, hi = 7} : tensor<2x3xi8>
        %1 = int.clamp(%0) {lo = 0, hi = 6} : tensor<2x3xi8>
        func.return(%1)
        """
    )
    assert list(module.kernels) == ["a", "b", "clamp", "clamp_1"]


def test_tables_made_by_the_lowering_become_constants() -> None:
    module = lowered(
        """
        %a = tensor.resize_nearest(%x) {size = [4, 1]} : tensor<1x4x1x3xf32, NHWC>
        func.return(%a)
        """,
        "%x: tensor<1x2x2x3xf32, NHWC>",
    )
    constants = {op.result.name: op.value.tolist() for op in module.main.ops if isinstance(op, Const)}
    assert constants == {"a_h_offset": [0, 0, 6, 6], "a_w_offset": [0]}


def test_constants_that_became_numbers_go() -> None:
    module = lowered(
        """
        %s = nn.const() {value = dense<f32, [2.5]>} : tensor<f32>
        %a = nn.mul(%x, %s) : tensor<2x3xf32>
        func.return(%a)
        """,
        "%x: tensor<2x3xf32>",
    )
    assert [op.opname for op in module.main.ops] == ["loop.call", "func.return"]


def test_an_op_without_a_lowering_is_named() -> None:
    with pytest.raises(IRError, match=r"`nn.mul` computes with quantised types") as caught:
        run_passes(
            """
            func @main(%x: tensor<4x!q8<0.5, 3>>) {
              %y = nn.mul(%x, %x) : tensor<4x!q8<0.5, 3>> loc("times" op 7)
              func.return(%y)
            }
            """,
            "lower-to-loops",
        )
    assert any('"times" op 7' in note for note in caught.value.notes)


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("first", range(0, 60, 15))
def test_random_models(first: int, quantized: bool) -> None:
    """What is left are constants, views and calls; they compute the same; their text reads back."""
    for seed in range(first, first + 15):
        case = graph_case(seed, quantized)
        module = parse_tflite(case.model, "case")
        wanted = evaluate(module.main, case.inputs)
        PassManager(parse_pipeline(TO_LOOPS)).run(module)
        for op in module.main.ops:
            assert isinstance(op, Const | LoopCall) or op.has(Trait.VIEW) or op.has(Trait.TERMINATOR)
        assert_same_bits(run_calls(module, case.inputs), wanted, f"seed {seed}")
        assert parse(print_module(module)) == module
