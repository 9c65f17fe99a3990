"""Every op, one file per family. Importing this package declares them all."""

from tinyir.ir.ops import func, int_contraction, int_elementwise, int_window, nn_contraction, tensor

__all__ = ["func", "int_contraction", "int_elementwise", "int_window", "nn_contraction", "tensor"]
