"""What each op means, as NumPy functions on plain arrays.

These files import NumPy and each other, nothing else: the NumPy backend ships them beside the module it prints. Integer
functions are exact. Float functions add in the order that the C backend uses, so both give the same bits.
"""

from .contraction import conv2d, conv2d_float, dense, dense_float, depthwise_conv2d, depthwise_conv2d_float
from .elementwise import add, clamp, dequantize, lookup, mul, quantize, sub
from .fixedpoint import requantize, rescale, widen
from .movement import concat, identity, pad, reshape, resize_nearest, slice, transpose

__all__ = [
    "add",
    "clamp",
    "concat",
    "conv2d",
    "conv2d_float",
    "dense",
    "dense_float",
    "depthwise_conv2d",
    "depthwise_conv2d_float",
    "dequantize",
    "identity",
    "lookup",
    "mul",
    "pad",
    "quantize",
    "requantize",
    "rescale",
    "reshape",
    "resize_nearest",
    "slice",
    "sub",
    "transpose",
    "widen",
]
