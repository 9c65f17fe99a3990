"""Gradients, targets and optimisers in float32; sums of gradients that are integers in int32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .grad_conv import sum_type

Array = npt.NDArray[Any]


def dense_input_gradient(g: Array, w: Array) -> Array:
    """g @ w for g of [n, o] and w of [o, i], the products added one by one."""
    dtype = sum_type(g)
    acc, g, w = np.zeros((g.shape[0], w.shape[1]), dtype), g.astype(dtype), w.astype(dtype)
    for o in range(w.shape[0]):
        acc += g[:, o, None] * w[o]
    return acc


def dense_weight_gradient(g: Array, x: Array, *, zero_point: int = 0) -> Array:
    """g.T @ (x - zero_point) for g of [n, o] and x of [n, i], the products added one by one."""
    dtype = sum_type(g)
    g, x = g.astype(dtype), x.astype(dtype) - dtype(zero_point)
    acc = np.zeros((g.shape[1], x.shape[1]), dtype)
    for n in range(g.shape[0]):
        acc += g[n, :, None] * x[n]
    return acc


def inside(g: Array, y: Array, *, lo: float, hi: float) -> Array:
    """g where lo < y < hi, else 0."""
    return np.where((y > np.float32(lo)) & (y < np.float32(hi)), g, np.float32(0))


def leaky_relu_gradient(g: Array, x: Array, *, alpha: float) -> Array:
    """g where x > 0, else alpha * g."""
    return np.where(x > 0, g, np.float32(alpha) * g)


def hard_swish_gradient(g: Array, x: Array) -> Array:
    """0 up to x = -3, g from 3 on, between them g * ((x + x + 3) / 6)."""
    slope = (x + x + np.float32(3)) / np.float32(6)
    return np.where(x > -3, np.where(x < 3, g * slope, g), np.float32(0))


def mask(y: Array, *, lo: int, hi: int) -> Array:
    """Whether lo < y < hi, as bits: rows of y along its last axis, each in i32 words of its own, lowest bit first."""
    inner = ((y > lo) & (y < hi)).reshape(-1, y.shape[-1])
    padded = np.zeros((inner.shape[0], -(-inner.shape[1] // 32) * 32), np.bool_)
    padded[:, : inner.shape[1]] = inner
    return np.packbits(padded, axis=1, bitorder="little").view("<i4").astype(np.int32).reshape(-1)


def masked(g: Array, bits: Array, *, order: tuple[int, ...] = ()) -> Array:
    """g where its bit in what `mask` gives is 1, else 0; `order` brings the axes of g into the order of the mask."""
    axes = order or tuple(range(g.ndim))
    shape = [g.shape[axis] for axis in axes]
    rows = bits.astype("<i4").view(np.uint8).reshape(g.size // shape[-1], -1)
    inner = np.unpackbits(rows, axis=1, bitorder="little")[:, : shape[-1]].reshape(shape)
    return np.where(inner.transpose(np.argsort(axes)) == 1, g, np.float32(0))


def one_hot(label: Array, *, classes: int) -> Array:
    """[1, classes]: 1 at the label, else 0."""
    return np.asarray((np.arange(classes) == label).astype(np.float32)[None])


def sgd(param: Array, grad: Array, lr: Array) -> Array:
    """param - lr * grad."""
    return np.asarray(param - lr * grad)


def accept(*values: Array, states: int) -> Array | tuple[Array, ...]:
    """The new values where all probes are finite, else the old ones."""
    old, new, probes = values[:states], values[states : 2 * states], values[2 * states :]
    finite = np.logical_and.reduce([np.isfinite(probe) for probe in probes])
    chosen = tuple(np.where(finite, b, a) for a, b in zip(old, new, strict=True))
    return chosen if states > 1 else chosen[0]


def next_turn(turn: Array, *, count: int) -> Array:
    """turn + 1, or 0 from count on."""
    return np.where(turn < count - 1, turn + 1, 0).astype(np.int32)


def turn(turn: Array, a: Array, b: Array, *, at: int) -> Array:
    """a where the turn is `at`, else b."""
    return np.where(turn == at, a, b)
