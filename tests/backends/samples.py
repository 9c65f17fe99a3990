"""Small modules for the tests of the NumPy backend."""

from __future__ import annotations

import hashlib

from tests.passcheck import run_passes
from tinyir.backends.numpy_ref import NumpyBackend
from tinyir.ir.core import Module

PRIMITIVES = "canonicalize,fold-pad,legalize-quant{numerics=tflm},canonicalize"
LEVELS = (
    PRIMITIVES,
    f"{PRIMITIVES},fuse-ops",
    f"{PRIMITIVES},hwc-to-chw{{ops=all}},canonicalize",
    f"{PRIMITIVES},hwc-to-chw,canonicalize,fuse-ops",
)

BLOCK = """
module attributes {name = "block", sha256 = "00ff"} {
  func @main(%image: tensor<1x4x4x2x!q8<0.5, -5>, NHWC>) attributes {inputs = ["the image"], outputs = ["y"]} {
    %w = nn.const() {value = dense<2x1x1x2xi8, [1, -2, 3, 4]>} : tensor<2x1x1x2x!q8<0.25, 0>, OHWI>
    %c = nn.conv2d(%image, %w) : tensor<1x4x4x2x!q8<2.0, -128>, NHWC> loc("a/conv" op 0 tensor 3)
    %r = nn.clamp(%c) {lo = 0.0, hi = 6.0} : tensor<1x4x4x2x!q8<2.0, -128>, NHWC> loc("a/conv" op 0 tensor 3)
    %s = nn.add(%r, %image) : tensor<1x4x4x2x!q8<2.5, 7>, NHWC> loc("a/sum" op 1 tensor 4)
    %p = nn.max_pool2d(%s) {kernel = [2, 2], stride = [2, 2]} : tensor<1x2x2x2x!q8<2.5, 7>, NHWC> loc("pool" op 2)
    func.return(%p)
  }
}
"""

LAYOUTS = """
func @main(%x: tensor<1x3x6x5xi8, NCHW>, %skip: tensor<1x4x2x4xi32, NHWC>) {
  %w = nn.const() {value = dense<4x1x1x3xi8, [1, 2, 3, -4, 5, 6, 7, -8, 9, 10, 11, -12]>} : tensor<4x1x1x3xi8, OHWI>
  %b = nn.const() {value = dense<4xi32, [5, -6, 7, 100]>} : tensor<4xi32, C>
  %m = nn.const() {value = dense<4xi32, [1073741824, 1500000000, 1900000000, 2000000000]>} : tensor<4xi32, C>
  %e = nn.const() {value = dense<4xi32, [-3, -4, -2, 1]>} : tensor<4xi32, C>
  %c = int.conv2d(%x, %w, %b) {stride = [2, 3], pad = [[0, 2], [1, 0]], pad_value = 3} : tensor<1x4x4x2xi32, NCHW>
  %s = int.add(%c, %skip) : tensor<1x4x2x4xi32, NHWC>
  %q = int.requantize(%s, %m, %e) {zero_point = -3} : tensor<1x4x4x2xi8, NCHW>
  %z = tensor.resize_nearest(%q) {size = [5, 4]} : tensor<1x4x5x4xi8, NCHW>
  func.return(%z, %s)
}
"""


def prepared(text: str, passes: str = "canonicalize") -> Module:
    """The module that `passes` make of `text`."""
    return run_passes(text, passes)


def digest(module: Module) -> str:
    """A hash of every file's name and contents, in order."""
    total = hashlib.sha256()
    for path, content in NumpyBackend().emit(module).items():
        total.update(path.encode() + b"\0" + (content.encode() if isinstance(content, str) else content) + b"\0")
    return total.hexdigest()
