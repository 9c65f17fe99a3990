"""The graph passes on real models: what is left computes what TFLite Micro and LiteRT computed."""

from __future__ import annotations

import pytest

from tests.models import NAMES, RealModel, assert_equal_outputs, needs_models
from tinyir.frontends.text import parse
from tinyir.ir.core import Func
from tinyir.ir.interp import evaluate
from tinyir.ir.printer import print_module
from tinyir.ir.semantics import dequantize, quantize
from tinyir.passes.manager import PassManager, parse_pipeline

pytestmark = needs_models

TO_PRIMITIVES = "canonicalize,fold-pad,legalize-quant{{numerics={numerics}}},canonicalize"


def quantised_nn_ops(func: Func) -> list[str]:
    """Ops of the `nn` level that still work on quantised tensors."""
    return [
        op.opname
        for op in func.walk()
        if op.opname.startswith("nn.") and any(v.type.quant is not None for v in (*op.operands, *op.results))
    ]


@pytest.mark.parametrize("numerics", ["tflm", "litert"])
@pytest.mark.parametrize("name", NAMES)
def test_primitives_compute_what_the_runtime_did(name: str, numerics: str) -> None:
    model = RealModel(name)
    module = model.module()
    PassManager(parse_pipeline(TO_PRIMITIVES.format(numerics=numerics))).run(module)
    assert quantised_nn_ops(module.main) == []
    for sample in range(1 if name == "mcunetv2_large" else 8):
        outputs = evaluate(module.main, model.inputs(sample), numerics)
        assert_equal_outputs(outputs, model.outputs(sample, numerics))


@pytest.mark.parametrize("name", NAMES)
def test_casts_are_left_at_the_ends_alone(name: str) -> None:
    module = RealModel(name).module()
    PassManager(parse_pipeline(TO_PRIMITIVES.format(numerics="tflm"))).run(module)
    for op in module.main.ops:
        if op.opname == "quant.storage":
            assert op.operands[0] in module.main.args
        if op.opname == "quant.typed":
            assert [user.opname for user in op.results[0].users] == ["func.return"]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_comes_back_at_both_levels(name: str) -> None:
    module = RealModel(name).module()
    assert parse(print_module(module)) == module
    PassManager(parse_pipeline(TO_PRIMITIVES.format(numerics="tflm"))).run(module)
    assert parse(print_module(module)) == module


@pytest.mark.parametrize("name", ["mcunet_vww", "mcunetv2_large"])
def test_strip_io_leaves_the_integer_core(name: str) -> None:
    """The core computes the integers of the same sample, quantised as the model says."""
    model = RealModel(name)
    whole, core = model.module(), model.module()
    PassManager(parse_pipeline("strip-io")).run(core)
    x, y = core.main.args[0].type.quant, core.main.outputs[0].type.quant
    assert x is not None and y is not None
    (real,) = model.inputs(0)
    stored = quantize(real, scale=x.scale, zero_point=x.zero_point)
    (out,) = evaluate(core.main, [stored])
    assert_equal_outputs([dequantize(out, scale=y.scale, zero_point=y.zero_point)], evaluate(whole.main, [real]))
