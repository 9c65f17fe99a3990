"""What the verifier finds in functions that were built or changed by hand."""

from __future__ import annotations

import pytest

from tinyir.diagnostics import IRError
from tinyir.frontends.text import parse
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module
from tinyir.ir.ops.func import Return
from tinyir.ir.ops.nn_activation import Tanh
from tinyir.ir.types import DType, TensorType, q8
from tinyir.ir.verifier import verify_func, verify_module

VECTOR = TensorType((4,), DType.F32)


def test_use_before_definition() -> None:
    b = FuncBuilder()
    first = b.add(Tanh(b.arg(VECTOR)))
    func = b.ret(b.add(Tanh(first)))
    func.ops[0], func.ops[1] = func.ops[1], func.ops[0]
    with pytest.raises(IRError, match=r"`nn\.tanh` reads operand 0 before it is defined, or from another block"):
        verify_func(func)


def test_value_of_another_function() -> None:
    foreign = FuncBuilder("other").arg(VECTOR)
    b = FuncBuilder()
    with pytest.raises(IRError, match="or from another block"):
        verify_func(b.ret(b.add(Tanh(foreign))))


def test_function_without_return() -> None:
    b = FuncBuilder()
    b.add(Tanh(b.arg(VECTOR)))
    with pytest.raises(IRError, match=r"@main must end in func\.return"):
        verify_func(b.func)
    with pytest.raises(IRError, match=r"@empty must end in func\.return"):
        verify_func(Func("empty"))


def test_type_changed_behind_an_op() -> None:
    b = FuncBuilder()
    y = b.add(Tanh(b.arg(VECTOR)))
    func = b.ret(y)
    y.type = TensorType((5,), DType.F32)
    with pytest.raises(IRError, match="has the type tensor<5xf32>, but its operands and attributes give tensor<4xf32>"):
        verify_func(func)


def test_scales_of_arguments() -> None:
    b = FuncBuilder()
    func = b.ret(b.arg(TensorType((4,), q8(0.0, 0))))
    with pytest.raises(IRError, match="argument 0 of @main has a scale that is not a finite number above 0"):
        verify_func(func)


def test_stale_use_list_is_our_mistake() -> None:
    b = FuncBuilder()
    x = b.arg(VECTOR)
    func = b.ret(b.add(Tanh(x)))
    x.uses.clear()
    with pytest.raises(AssertionError, match="stale use list"):
        verify_func(func)


def test_unknown_kernel() -> None:
    text = "func @main(%x: tensor<4xf32>) { %y = loop.call(%x) {kernel = @k} : tensor<4xf32> func.return(%y) }"
    with pytest.raises(IRError, match="refers to @k, which the module does not define"):
        parse(text)


def test_module_without_main() -> None:
    with pytest.raises(IRError, match="the module has no @main among its 0 functions"):
        _ = Module().main


def test_good_module() -> None:
    b = FuncBuilder()
    x = b.arg(VECTOR)
    b.insert(Return(b.add(Tanh(x))))
    verify_module(Module([b.func]))
