"""A clone is equal and independent."""

from __future__ import annotations

from tinyir.frontends.text import parse
from tinyir.ir.clone import clone_module
from tinyir.ir.printer import print_module
from tinyir.ir.rewrite import drop_dead_ops
from tinyir.ir.verifier import verify_module

TEXT = """module attributes {name = "m"} {
  func @main(%x: tensor<4xi8>) {
    %k = nn.const() {value = dense<4xi32, [1, 2, 3, 4]>} : tensor<4xi32>
    %dead = int.widen(%x) : tensor<4xi32> loc("dead" op 1)
    %y = kernel.fused(%x, %k) region(%a: tensor<4xi8>, %b: tensor<4xi32>) {
      %w = int.widen(%a) {offset = 3} : tensor<4xi32>
      %s = int.add(%w, %b) : tensor<4xi32>
      kernel.yield(%s)
    } : tensor<4xi32>
    func.return(%y)
  }
}
"""


def test_a_clone_is_equal() -> None:
    module = parse(TEXT)
    twin = clone_module(module)
    verify_module(twin)
    assert twin == module and print_module(twin) == print_module(module)


def test_changing_the_module_leaves_the_clone() -> None:
    module = parse(TEXT)
    twin = clone_module(module)
    drop_dead_ops(module.main)
    module.attrs["name"] = "other"
    module.main.ops[-2].region.ops[0].attrs["offset"] = 4  # type: ignore[union-attr]
    verify_module(module)
    verify_module(twin)
    assert print_module(twin) == print_module(parse(TEXT))
    assert twin != module
