"""`narrow-gradients`: what flows backward through int8 layers as integers, and what stays float."""

from __future__ import annotations

import pytest

import tinyir
from tests.passcheck import PassChecker
from tests.train.networks import dense_network
from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.core import Func
from tinyir.ir.ops.grad_narrow import Narrow, WidenGradient
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.pipeline import Training

MAIN = """func @main(%x: tensor<1x2xi8>, %w: tensor<64x2xi8>EXPONENT) attributes {state = [1MAIN]} {
  %y = int.dense(%x, %w) : tensor<1x64xi32>
  func.return(%y)
}
func @train_step(%x: tensor<1x2xi8>, %target: tensor<1x64xf32>, %lr: tensor<f32>, %w: tensor<64x2xi8>EXPONENT)
    attributes {state = [3STATE], updates = [1UPDATES], by_value = [2]} {
  %loss = nn.sum(%target) {axes = [0, 1]} : tensor<f32>
  %g = nn.mul(%target, %target) : tensor<1x64xf32>
"""
READ = "  %dw = grad.dense_weight(%g, %x) {zero_point = 3} : tensor<64x2xf32>\n"
END = """  %w.new = train.sgd_int(%w, %dw, %lr) {rounding = "nearest", lo = -127, hi = 127} : tensor<64x2xi8>
  func.return(%loss, %w.newNEW)
}
func @params_init() attributes {updates = [0INIT]} {
  %0 = nn.const() {value = dense<i8, [0]>} : tensor<i8>
  %w = tensor.broadcast(%0) {shape = [64, 2]} : tensor<64x2xi8>
CONST  func.return(%wVALUE)
}
"""
STATE = {
    "EXPONENT": ", %gradient0_exponent: tensor<i32>",
    "MAIN": ", 2",
    "STATE": ", 4",
    "UPDATES": ", 2",
    "NEW": ", %gradient0_exponent.new",
    "INIT": ", 1",
    "CONST": "  %gradient0_exponent = nn.const() {value = dense<i32, [-14]>} : tensor<i32>\n",
    "VALUE": ", %gradient0_exponent",
}


def program(step: str, *, narrowed: bool = False) -> str:
    """A program that trains one int8 layer; its step goes on with `step` behind %g, the gradient of its result."""
    text = MAIN + step + END
    for mark, more in STATE.items():
        text = text.replace(mark, more if narrowed else "")
    return text


def step_of(text: str, grad: str = "i8") -> Func:
    """The step of a program after the pass."""
    module = parse(text, "<step>")
    PassManager(parse_pipeline(f"narrow-gradients{{grad={grad}}}")).run(module)
    return module.funcs["train_step"]


def narrowed_names(func: Func) -> list[str]:
    return [op.g.name for op in func.ops if isinstance(op, Narrow)]


def test_a_gradient_is_stored_as_integers(check_pass: PassChecker) -> None:
    """Its reader sums integers; the exponent is state, and follows the peak."""
    after = """  %gradient_base = grad.exponent(%g) : tensor<i32>
  %gradient0 = grad.narrow(%g, %gradient0_exponent, %gradient_base) {bits = 16} : tensor<1x64xi16>
  %0 = grad.peak(%gradient0) : tensor<i32>
  %gradient0_exponent.new = grad.next_exponent(%gradient0_exponent, %0, %gradient_base) {limit = 32767, low = 511}
      : tensor<i32>
  %1 = grad.dense_weight(%gradient0, %x) {zero_point = 3} : tensor<64x2xi32>
  %dw = grad.widen(%1, %gradient0_exponent, %gradient_base) : tensor<64x2xf32>
"""
    stats = check_pass(program(READ), "narrow-gradients{grad=i16}", program(after, narrowed=True), same_results=False)
    assert stats == {"narrow gradients": 1, "bytes less": 128}


def test_int8_are_rounded_by_random_words() -> None:
    func = step_of(program(READ))
    (op,) = (op for op in func.ops if isinstance(op, Narrow))
    assert op.words is not None and op.words.defining_op is not None and op.bits == 8
    assert op.words.defining_op.opname == "train.random" and "rng" in [arg.name for arg in func.args]


def test_every_reader_gets_what_it_takes() -> None:
    """A sum and a slice read the integers, elementwise work is widened in its own kernel."""
    more = """  %s = nn.sum(%g) {axes = [1]} : tensor<1xf32>
  %half = tensor.slice(%g) {begin = [0, 0], size = [1, 32], stride = [1, 1]} : tensor<1x32xf32>
  %t = nn.sum(%half) {axes = [0, 1]} : tensor<f32>
  %u = nn.mul(%g, %t) : tensor<1x64xf32>
  %v = nn.add(%u, %s) : tensor<1x64xf32>
  %dv = grad.dense_weight(%v, %x) {zero_point = 3} : tensor<64x2xf32>
  %dw = nn.add(%du, %dv) : tensor<64x2xf32>
"""
    func = step_of(program(READ.replace("%dw", "%du") + more), "i16")
    assert narrowed_names(func) == ["g", "v"]
    kinds = [op.x.defining_op.opname for op in func.ops if isinstance(op, WidenGradient) and op.x.defining_op]
    assert sorted(kinds) == ["grad.dense_weight"] * 2 + ["grad.narrow"] + ["int.sum"] * 2
    sliced = next(op for op in func.ops if op.opname == "tensor.slice")
    assert str(sliced.type) == "tensor<1x32xi16>"


def test_what_a_kernel_has_in_registers_stays_float() -> None:
    step = "  %h = nn.mul(%g, %g) : tensor<1x64xf32>\n" + READ.replace("%g", "%h")
    assert narrowed_names(step_of(program(step))) == ["h"]


def test_what_a_float_layer_reads_stays_float(check_pass: PassChecker) -> None:
    more = """  %1 = nn.const() {value = dense<f32, [1.0]>} : tensor<f32>
  %v = tensor.broadcast(%1) {shape = [64, 2]} : tensor<64x2xf32>
  %h = grad.dense_input(%g, %v) : tensor<1x2xf32>
  %dw = nn.mul(%du, %h) : tensor<64x2xf32>
"""
    check_pass.unchanged(program(READ.replace("%dw", "%du") + more), "narrow-gradients{grad=i8}")


def test_small_gradients_stay_float(check_pass: PassChecker) -> None:
    text = program(READ).replace("x64x", "x63x").replace("<64x", "<63x").replace("[64,", "[63,")
    check_pass.unchanged(text, "narrow-gradients{grad=i8}")


def test_a_program_that_does_not_train_stays(check_pass: PassChecker) -> None:
    check_pass.unchanged(
        """func @main(%x: tensor<1x2xi8>, %w: tensor<64x2xi8>) {
          %y = int.dense(%x, %w) : tensor<1x64xi32>
          func.return(%y)
        }""",
        "narrow-gradients{grad=i8}",
    )


def test_float_models_are_refused() -> None:
    with pytest.raises(IRError, match=r"grad=i8 stores the gradients of int8 layers, and @main has none"):
        tinyir.compile(dense_network([4, 70, 3]), train=Training(grad="i8"), measure=False)
