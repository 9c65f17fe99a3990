"""What each op means, as NumPy functions on plain arrays.

These files import NumPy and each other, nothing else: the NumPy backend ships them beside the module it prints. Integer
functions are exact. Float functions add in the order that the C backend uses, so both give the same bits.
"""

from .contraction import (
    conv2d,
    conv2d_float,
    dense,
    dense_float,
    depthwise_conv2d,
    depthwise_conv2d_float,
    fold_zero_point,
)
from .elementwise import (
    add,
    add_float,
    clamp,
    dequantize,
    div_float,
    hard_swish_float,
    leaky_relu_float,
    lookup,
    mul,
    mul_float,
    quantize,
    sqrt_float,
    sub,
    sub_float,
)
from .fixedpoint import requantize, rescale, widen
from .grad_conv import (
    conv2d_input_gradient,
    conv2d_weight_gradient,
    depthwise_input_gradient,
    depthwise_weight_gradient,
)
from .grad_window import max_pool_gradient, resize_nearest_gradient, window_sum
from .movement import broadcast, concat, identity, pad, reshape, resize_nearest, slice, transpose
from .pooling import average_pool2d, average_pool2d_float, max_pool2d, max_pool2d_float, mean_float, sum_axes, sum_float
from .random_words import next_step, random
from .softmax import log_softmax_float, softmax_float, softmax_q8
from .training import (
    dense_input_gradient,
    dense_weight_gradient,
    hard_swish_gradient,
    inside,
    leaky_relu_gradient,
    mask,
    masked,
    next_turn,
    one_hot,
    sgd,
    turn,
)
from .training_int import sgd_int
from .transcendental import exp, log, logistic, softplus, tanh

__all__ = [
    "add",
    "add_float",
    "average_pool2d",
    "average_pool2d_float",
    "broadcast",
    "clamp",
    "concat",
    "conv2d",
    "conv2d_float",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "dense",
    "dense_float",
    "dense_input_gradient",
    "dense_weight_gradient",
    "depthwise_conv2d",
    "depthwise_conv2d_float",
    "depthwise_input_gradient",
    "depthwise_weight_gradient",
    "dequantize",
    "div_float",
    "exp",
    "fold_zero_point",
    "hard_swish_float",
    "hard_swish_gradient",
    "identity",
    "inside",
    "leaky_relu_float",
    "leaky_relu_gradient",
    "log",
    "log_softmax_float",
    "logistic",
    "lookup",
    "mask",
    "masked",
    "max_pool2d",
    "max_pool2d_float",
    "max_pool_gradient",
    "mean_float",
    "mul",
    "mul_float",
    "next_step",
    "next_turn",
    "one_hot",
    "pad",
    "quantize",
    "random",
    "requantize",
    "rescale",
    "reshape",
    "resize_nearest",
    "resize_nearest_gradient",
    "sgd",
    "sgd_int",
    "slice",
    "softmax_float",
    "softmax_q8",
    "softplus",
    "sqrt_float",
    "sub",
    "sub_float",
    "sum_axes",
    "sum_float",
    "tanh",
    "transpose",
    "turn",
    "widen",
    "window_sum",
]
