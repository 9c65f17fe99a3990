"""`plan-memory`: places in one arena. Programs are run in it, in Python, and compared with the reference."""

from __future__ import annotations

import textwrap

import pytest

from tests.arena_machine import ArenaMachine, assert_same_bits, run_in_arena
from tests.models import RealModel, needs_models
from tests.passcheck import PassChecker, random_inputs, run_passes
from tests.strategies import graph_case
from tinyir.frontends.text import parse
from tinyir.frontends.tflite import parse_tflite
from tinyir.ir.core import Module, Value
from tinyir.ir.interp import evaluate
from tinyir.ir.ops.func import LoopCall
from tinyir.ir.printer import print_module
from tinyir.loops.ir import Kernel
from tinyir.passes.manager import PassManager, parse_pipeline
from tinyir.passes.plan_memory import ARENA_ALIGN, arena_picture, kernel_of
from tinyir.pipeline import Options

PASSES = "fuse-ops,lower-to-loops,schedule-loops,plan-memory"


def test_offsets_are_written_into_the_function(check_pass: PassChecker) -> None:
    """In place: one place for three tensors."""
    kernels = """
      kernel @a(in x: i8[6], out y: i8[6]) {
        for i in 6 { y[i] = x[i] }
      }
      kernel @b(in x: i8[6], scratch s: i32[2], out y: i8[6]) {
        for i in 6 { s[0] = i32(x[i]) y[i] = i8(s[0]) }
      }
    """
    stats = check_pass(
        f"""
        module {{
          func @main(%x: tensor<6xi8>) {{
            %a = loop.call(%x) {{kernel = @a}} : tensor<6xi8>
            %b = loop.call(%a) {{kernel = @b}} : tensor<6xi8>
            func.return(%b)
          }}
          {kernels}
        }}
        """,
        "plan-memory",
        f"""
        module {{
          func @main(%x: tensor<6xi8>) attributes {{
            input_offsets = [0], arena_bytes = 14, arena_align = 8, arena_lower_bound = 14
          }} {{
            %a = loop.call(%x) {{kernel = @a, offsets = [8]}} : tensor<6xi8>
            %b = loop.call(%a) {{kernel = @b, offsets = [8], scratch = [0]}} : tensor<6xi8>
            func.return(%b)
          }}
          {kernels}
        }}
        """,
        same_results=False,
    )
    assert stats == {"arena bytes": 14, "lower bound": 14}


def planned(text: str) -> Module:
    """The planned module; run in its arena it must compute the same."""
    module = run_passes(text, PASSES)
    main = parse(textwrap.dedent(text)).main
    for seed in range(3):
        inputs = random_inputs(main, seed)
        assert_same_bits(run_in_arena(module, inputs), evaluate(main, inputs))
    return module


def arena_bytes(module: Module) -> int:
    size: int = module.main.attrs["arena_bytes"]
    return size


def offset_of(module: Module, name: str) -> int:
    """Where the tensor `name` lies."""
    offsets = ArenaMachine(module).offsets
    found: int = next(offset for value, offset in offsets.items() if value.name == name)
    return found


ELEMENTWISE = """
func @main(%x: tensor<4x4xi8>) {{
  %a = int.clamp(%x) {{lo = 0, hi = 90}} : tensor<4x4xi8>
  {middle}
  func.return({outputs})
}}
"""


def test_elementwise_ops_work_in_place() -> None:
    middle = "%b = tensor.slice(%a) {begin = [0, 0], size = [4, 4], stride = [1, 1]} : tensor<4x4xi8>"
    assert arena_bytes(planned(ELEMENTWISE.format(middle=middle, outputs="%b"))) == 16


def test_a_reversed_copy_does_not() -> None:
    middle = "%b = tensor.slice(%a) {begin = [3, 3], size = [4, 4], stride = [-1, -1]} : tensor<4x4xi8>"
    assert arena_bytes(planned(ELEMENTWISE.format(middle=middle, outputs="%b"))) > 16


def test_a_tensor_that_is_read_later_is_kept() -> None:
    """Both are copied to where they lie already."""
    middle = "%b = tensor.concat(%a, %x) {axis = 0} : tensor<8x4xi8>"
    assert arena_bytes(planned(ELEMENTWISE.format(middle=middle, outputs="%b"))) == 32


def test_an_output_is_kept_to_the_end() -> None:
    middle = "%b = tensor.slice(%a) {begin = [0, 0], size = [4, 4], stride = [1, 1]} : tensor<4x4xi8>"
    assert arena_bytes(planned(ELEMENTWISE.format(middle=middle, outputs="%a, %b"))) == 32


def test_a_view_lives_in_the_place_of_its_tensor() -> None:
    module = planned(
        """
        func @main(%x: tensor<2x3x4xf32>) {
          %r = tensor.reshape(%x) {shape = [6, 4]} : tensor<6x4xf32>
          %s = tensor.reshape(%r) {shape = [24]} : tensor<24xf32>
          %a = nn.tanh(%s) : tensor<24xf32>
          %b = nn.logistic(%r) : tensor<6x4xf32>
          %y = tensor.reshape(%b) {shape = [24]} : tensor<24xf32>
          func.return(%a, %y)
        }
        """
    )
    assert arena_bytes(module) == 2 * 96


def test_an_unused_input_has_a_place() -> None:
    module = planned(
        """
        func @main(%x: tensor<8xi8>, %unused: tensor<4xf32>) {
          %a = int.clamp(%x) {lo = 0, hi = 90} : tensor<8xi8>
          func.return(%a)
        }
        """
    )
    assert arena_bytes(module) == 24
    assert offset_of(module, "unused") % 4 == 0


def test_an_input_read_twice_by_one_kernel() -> None:
    """By one parameter, and through a view by another: the result must suit both."""
    planned(
        """
        func @main(%x: tensor<4x4xi8>) {
          %r = tensor.transpose(%x) {perm = [1, 0]} : tensor<4x4xi8>
          %v = tensor.reshape(%r) {shape = [2, 8]} : tensor<2x8xi8>
          %w = tensor.reshape(%r) {shape = [8, 2]} : tensor<8x2xi8>
          %t = tensor.transpose(%w) {perm = [1, 0]} : tensor<2x8xi8>
          %a = tensor.concat(%v, %v, %t) {axis = 1} : tensor<2x24xi8>
          func.return(%a)
        }
        """
    )


def test_names_do_not_clash() -> None:
    """Tensors may be called like the buffers that the pass makes up."""
    names = ["a.3", "a", "a", "input0", "input0.4", "a.3"]
    text = "func @main(%x: tensor<4xi8>) {\n%0 = int.clamp(%x) {lo = -9, hi = 90} : tensor<4xi8>\n"
    for i in range(1, len(names)):
        text += f"%{i} = int.clamp(%{i - 1}) {{lo = {i}, hi = 90}} : tensor<4xi8>\n"
    module = parse(f"{text} func.return(%{len(names) - 1}, %0) }}")
    for op, name in zip(module.main.ops, names, strict=False):
        op.result.name = name
    PassManager(parse_pipeline("lower-to-loops,plan-memory"), verify_each=False).run(module)
    (inputs,) = [random_inputs(module.main)]
    assert len(run_in_arena(module, inputs)) == 2


def test_a_function_that_computes_nothing() -> None:
    module = planned("func @main(%x: tensor<5xi8>) { func.return(%x) }")
    assert len(module.kernels) == 1


# -- whole models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("first", range(0, 120, 20))
def test_random_models_run_in_their_arena(first: int, quantized: bool) -> None:
    for seed in range(first, first + 20):
        case = graph_case(seed, quantized)
        module = parse_tflite(case.model, "case")
        wanted = evaluate(module.main, case.inputs)
        PassManager(Options().pipeline()).run(module)
        assert_same_bits(run_in_arena(module, case.inputs), wanted, f"seed {seed}")
        assert_sound(module)
        assert parse(print_module(module)) == module


def assert_sound(module: Module) -> None:
    """Fail unless every place is aligned and inside the arena, and the bound is one."""
    attrs = module.main.attrs
    size = arena_bytes(module)
    assert attrs["arena_align"] == ARENA_ALIGN
    assert 0 <= attrs["arena_lower_bound"] <= size
    for value, offset in ArenaMachine(module).offsets.items():
        assert offset >= 0 and offset + value.type.bytes <= size
        assert offset % value.type.storage.bytes == 0
    assert size >= max(live_bytes(module), default=0)
    for call in module.main.ops:
        if isinstance(call, LoopCall):
            for p, offset in zip(kernel_of(module, call).by_role("scratch"), call.scratch, strict=True):
                assert offset % 4 == 0 and offset + p.bytes <= size


def live_bytes(module: Module) -> list[int]:
    """For each call the bytes that none can do without: the larger of what it reads and what it writes."""
    totals = []
    for call in module.main.ops:
        if isinstance(call, LoopCall):
            reads: set[Value] = set(call.operands) & set(ArenaMachine(module).offsets)
            scratch = sum(p.bytes for p in kernel_of(module, call).by_role("scratch"))
            totals += [sum(v.type.bytes for v in reads) + scratch, sum(v.type.bytes for v in call.results) + scratch]
    return totals


def test_the_same_module_gives_the_same_plan() -> None:
    for seed in range(10):
        texts = []
        for _ in range(2):
            module = parse_tflite(graph_case(seed).model, "case")
            PassManager(Options().pipeline()).run(module)
            texts.append(print_module(module))
        assert texts[0] == texts[1]


def test_the_picture_of_a_planned_module() -> None:
    module = planned(ELEMENTWISE.format(middle="", outputs="%a"))
    assert arena_picture(module).splitlines()[-1] == "peak 16 B = lower bound, proven"


@needs_models
@pytest.mark.parametrize(
    "name", ["ad01_int8", "hello_world_int8", "kws_ref_model", "str_ww_ref_model", "hello_world_float"]
)
def test_real_models_run_in_their_arena(name: str) -> None:
    """Kernels that are small enough for Python."""
    model = RealModel(name)
    module = model.module()
    PassManager(Options().pipeline()).run(module)
    assert_sound(module)
    if name in ("ad01_int8", "hello_world_int8", "hello_world_float"):
        wanted = evaluate(model.module().main, model.inputs(0))
        assert_same_bits(run_in_arena(module, model.inputs(0)), wanted)


def test_kernels_are_not_changed() -> None:
    text = ELEMENTWISE.format(middle="", outputs="%a")
    before, after = run_passes(text, "lower-to-loops"), run_passes(text, "lower-to-loops,plan-memory")
    assert before.kernels == after.kernels
    assert all(isinstance(kernel, Kernel) for kernel in after.kernels.values())
