"""Every op, one file per family. Importing this package declares them all."""

from tinyir.ir.ops import (
    func,
    grad,
    grad_conv,
    image,
    int_contraction,
    int_elementwise,
    int_window,
    nn_activation,
    nn_contraction,
    nn_elementwise,
    nn_quantize,
    nn_window,
    random,
    tensor,
    train,
    train_int,
)

__all__ = [
    "func",
    "grad",
    "grad_conv",
    "image",
    "int_contraction",
    "int_elementwise",
    "int_window",
    "nn_activation",
    "nn_contraction",
    "nn_elementwise",
    "nn_quantize",
    "nn_window",
    "random",
    "tensor",
    "train",
    "train_int",
]
