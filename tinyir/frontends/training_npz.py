"""An int8 backbone for training, as MIT's tiny-training publishes them, to a module of `nn` ops.

The file is a .npz archive: `__structure__` is JSON as UTF-8 bytes, a string in it that starts with `@` names an array.
`first_conv`, then each of `blocks` (pointwise1, depthwise, pointwise2, a skip connection), then `classifier`, behind
the average over the image. Weights are O,I,H,W; padding is (k - 1) // 2 on every side. Layers are named
`first_conv`, `block0_depthwise` and so on, their weights `..._w`, their biases `..._b`; the Loc of a convolution has
its index, which counts convolutions from the input, as MIT's plans do.

The classifier is a float dense layer over the dequantised average (MIT's "fp head").
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyir.diagnostics import IRError, Loc, ModelError, Source
from tinyir.ir.builder import FuncBuilder
from tinyir.ir.core import Func, Module, Value
from tinyir.ir.ops.expand import bias_room
from tinyir.ir.ops.nn_contraction import Conv2D, Dense, DepthwiseConv2D
from tinyir.ir.ops.nn_elementwise import Add
from tinyir.ir.ops.nn_quantize import Dequantize
from tinyir.ir.ops.nn_window import AveragePool2D
from tinyir.ir.ops.tensor import Reshape
from tinyir.ir.types import DType, QType, TensorType, q8
from tinyir.ir.verifier import verify_module

Array = npt.NDArray[Any]
Node = dict[str, Any]

STRUCTURE = "__structure__"
SEED = 0
"""Of the weights of a new classifier."""


def is_backbone(path: Path) -> bool:
    """Whether `path` is a .npz file with a structure in it. False for a file that cannot be read."""
    if path.suffix != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{STRUCTURE}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def load(path: Path, classes: int | None = None) -> Module:
    """The module of the backbone at `path`, with the classifier of the file, or with a new one for so many `classes`.

    One int8 input [1, H, W, C], one f32 output [1, classes]. The weights of a new classifier are drawn from a normal
    distribution with the deviation 1/sqrt(features), always the same ones; its biases are 0. Raises ModelError.
    """
    try:
        data = path.read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        structure = json.loads(arrays[STRUCTURE].astype(np.uint8).tobytes())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: no backbone for training: {error}") from None
    try:
        func = _Importer(arrays).run(structure, classes)
        module = Module([func], {"name": path.stem, "sha256": hashlib.sha256(data).hexdigest()})
        verify_module(module)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}") from None
    except IRError as error:
        raise ModelError(f"{path}: {error.message}", loc=error.loc, notes=error.notes, help=error.help) from None
    except KeyError as error:
        raise ModelError(f"{path}: the structure lacks {error}") from None
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        raise ModelError(f"{path}: the structure is damaged: {error}") from None
    return module


class _Importer:
    """Converts layers from the input to the classifier; `convs` counts the convolutions so far."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self.b = FuncBuilder("main")
        self.convs = 0

    def run(self, structure: Node, classes: int | None) -> Func:
        first = structure["first_conv"]
        side = first["in_shape"]
        elem = _tensor_elem(first["params"], "x")
        x = self.b.arg(TensorType((1, side, side, first["in_channel"]), elem, "NHWC"), "x")
        value = self._conv("first_conv", first, x)
        for number, block in enumerate(structure["blocks"]):
            value = self._block(f"block{number}", block, value)
        if structure.get("feature_mix") is not None:
            value = self._conv("feature_mix", structure["feature_mix"], value)
        return self.b.ret(self._classifier(structure["classifier"], value, classes))

    def _block(self, name: str, block: Node, x: Value) -> Value:
        if block.get("se") is not None:
            raise ModelError(f"{name} has a squeeze-and-excitation part, which is not supported")
        value = x
        for part in ("pointwise1", "depthwise", "pointwise2"):
            if block[part] is not None:
                value = self._conv(f"{name}_{part}", block[part], value)
        if block["residual"] is None:
            return value
        params = block["residual"]["params"]
        _require_elem(f"{name}_residual", params, x)
        type = value.type.with_elem(_tensor_elem(params, "y"))
        self.b.loc = Loc((Source(f"{name}_residual"),))
        return self.b.add(Add(x, value, types=type, name=f"{name}_sum"))

    def _conv(self, name: str, node: Node, x: Value) -> Value:
        """A convolution. Raises ModelError where it does not follow on `x`."""
        params = node["params"]
        _require_elem(name, params, x)
        if node.get("act") is not None:
            raise ModelError(f"{name} has the activation {node['act']}, which is not supported")
        weight, bias = self._array(params["weight"], np.int8, 4), self._array(params["bias"], np.int32, 1)
        scales = tuple(float(s) for s in self._array(params["w_scales"], np.float32, 1))
        depthwise = bool(node["depthwise"])
        if node["groups"] != (node["in_channel"] if depthwise else 1):
            raise ModelError(f"{name} has {node['groups']} groups of channels, which is not supported")
        if depthwise:
            array, axis, layout = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0)), 2, "HWO"
        else:
            array, axis, layout = np.ascontiguousarray(weight.transpose(0, 2, 3, 1)), 0, "OHWI"
        if not all(0 < scale < np.inf for scale in scales):
            raise ModelError(f"{name} has scales that are not positive numbers")
        if array.shape[axis] != len(scales):
            raise ModelError(f"{name} has {len(scales)} scales for {array.shape[axis]} output channels")
        bias = _bias_within_reach(name, bias, weight, np.array(scales) * params["x_scale"] / params["y_scale"])
        self.b.loc = Loc((Source(name, self.convs),))
        self.convs += 1
        elem = QType(DType.I8, scales, (0,) * len(scales), axis)
        high, wide = ((k - 1) // 2 for k in node["kernel_size"])
        return self.b.add(
            (DepthwiseConv2D if depthwise else Conv2D)(
                x,
                self.b.const(array, f"{name}_w", elem, layout),
                self.b.const(bias, f"{name}_b", layout="C"),
                stride=(node["stride"],) * 2,
                pad=((high, high), (wide, wide)),
                types=TensorType(
                    (1, node["out_shape"], node["out_shape"], node["out_channel"]), _tensor_elem(params, "y"), "NHWC"
                ),
                name=name,
            )
        )

    def _classifier(self, node: Node, x: Value, classes: int | None) -> Value:
        params, features = node["params"], x.type.size("C")
        _require_elem("classifier", params, x)
        self.b.loc = Loc((Source("classifier"),))
        kernel = (x.type.size("H"), x.type.size("W"))
        mean = self.b.add(AveragePool2D(x, kernel=kernel, types=x.type.with_shape((1, 1, 1, features), "NHWC")))
        flat = self.b.add(Reshape(mean, shape=(1, features), types=x.type.with_shape((1, features))))
        real = self.b.add(Dequantize(flat, name="features"))
        if classes is None:
            scales = self._array(params["w_scales"], np.float32, 1)
            w: Array = self._array(params["weight"], np.int8, None).reshape(len(scales), -1) * scales[:, None]
            bias: Array = self._array(params["bias"], np.int32, 1) * (scales * np.float32(params["x_scale"]))
        else:
            w = np.random.default_rng(SEED).normal(scale=features**-0.5, size=(classes, features))
            bias = np.zeros(classes)
        return self.b.add(
            Dense(
                real,
                self.b.const(w.astype(np.float32), "classifier_w"),
                self.b.const(bias.astype(np.float32), "classifier_b"),
                name="logits",
            )
        )

    def _array(self, reference: str, dtype: npt.DTypeLike, rank: int | None) -> Array:
        """The array behind `@name`. Raises ModelError where it is not of `dtype` and `rank`."""
        name = reference.removeprefix("@")
        array = self.arrays[name]
        if array.dtype != dtype or rank not in (None, array.ndim):
            raise ModelError(f"`{name}` is {array.dtype}{list(array.shape)}, not {np.dtype(dtype)} with {rank} axes")
        return array


def _bias_within_reach(name: str, bias: Array, weight: Array, factors: Array) -> Array:
    """`bias` with what is too near to the limits of int32 moved so far away that no input and no weights overflow the
    accumulator.

    Channels that are dead have scales so small that their biases saturated; the products add nothing that would be
    seen then. Raises ModelError where a result could change by that.
    """
    products = 256 * np.abs(weight.reshape(len(bias), -1).astype(np.int64)).sum(axis=1)
    most = bias_room(weight[0].size)
    moved = np.clip(bias, -most, most)
    for channel in np.flatnonzero(moved != bias):
        ends = [
            b + d for b in (int(bias[channel]), int(moved[channel])) for d in (-products[channel], products[channel])
        ]
        if len({int(np.clip(np.round(end * factors[channel]), -256, 256)) for end in ends}) > 1:
            raise ModelError(f"{name} could overflow its int32 accumulator in channel {channel}")
    return moved.astype(np.int32)


def _tensor_elem(params: Node, name: str) -> QType:
    """The element type of the tensor `x` or `y` of a layer."""
    scale, zero = float(params[f"{name}_scale"]), int(params[f"{name}_zero"])
    if not 0 < scale < np.inf or not -128 <= zero <= 127:
        raise ModelError(f"a tensor has the scale {scale} and the zero point {zero}")
    return q8(scale, zero)


def _require_elem(name: str, params: Node, x: Value) -> None:
    """Raise ModelError unless `x` has the scale that the layer `name` takes."""
    wanted = _tensor_elem(params, "x")
    if x.type.elem != wanted:
        raise ModelError(
            f"{name} takes {TensorType((), wanted)}, what comes before it gives {TensorType((), x.type.elem)}"
        )
