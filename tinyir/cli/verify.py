"""Compare the compiled program with TFLite Micro, op by op: in NumPy, as C on this machine, as C on an emulated
Cortex-M7. Names the first op that differs, or says how much was compared.

With --train it trains on all of them and compares the loss and every parameter after each step, bit for bit; where they
part, it names the first tensor that differs.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyir.api import Array
from tinyir.cli.compile_options import add_compile_options, add_training_options, options_from, training_from
from tinyir.cli.progress import show_step
from tinyir.cli.run import read_inputs
from tinyir.diagnostics import UsageError
from tinyir.fit import Plan
from tinyir.frontends.load import load
from tinyir.ir.training import STEP
from tinyir.runtime.program import TensorInfo
from tinyir.training_data import read_data
from tinyir.verify import verify
from tinyir.verify_train import compile_named, verify_training

EXAMPLE = """  tinyir verify person.tflite
  tinyir verify person.tflite --inputs photos.npz --against litert --numerics litert
  tinyir verify mlp.tir --train all --steps 50"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a .tflite file")
    parser.add_argument("--inputs", type=Path, help=".npy or .npz; the first axis may count samples")
    parser.add_argument("--against", choices=["tflm", "litert"], help="the reference (default: that of --numerics)")
    parser.add_argument("--on", type=_executors, default=("numpy", "host", "m7"), help="default: numpy,host,m7")
    parser.add_argument("--steps", type=int, default=20, help="of --train (default: 20)")
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate of --train (default: 0.05)")
    parser.add_argument("--data", type=Path, metavar="FILE", help="examples for --train, as of `tinyir train`")
    add_training_options(parser)
    add_compile_options(parser)


def _executors(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not names or any(name not in ("numpy", "host", "m7") for name in names):
        raise argparse.ArgumentTypeError(f"`{text}` is no list of numpy, host, m7")
    return names


def run(args: argparse.Namespace) -> int:
    if args.train is not None:
        return _verify_training(args)
    options = options_from(args, measure=False)
    samples = _samples(args.inputs, args.model) if args.inputs else None
    against = args.against or options.numerics
    report = verify(args.model, options, against, samples, args.on, show_step)
    show_step("")
    if report.ok:
        print(
            f"OK: {report.elements:,} elements of {report.tensors:,} tensors equal {against}'s, "
            f"on {', '.join(report.executors)}, for {report.samples} inputs"
        )
        return 0
    for divergence in report.divergences:
        print(divergence)
    return 1


def _verify_training(args: argparse.Namespace) -> int:
    options = options_from(args, train=training_from(args), measure=False)
    Plan(args.steps, args.lr)
    module = load(args.model)
    examples = None
    if args.data is not None:
        step = compile_named(module, replace(options, backend="numpy")).funcs[STEP]
        x, target = (TensorInfo.of(value) for value in step.args[:2])
        examples = read_data(args.data, x, step.attrs.get("classes"), target).train
    report = verify_training(module, options, args.steps, args.lr, examples, args.on, show_step)
    show_step("")
    for divergence in report.divergences:
        print(divergence)
    if report.ok:
        print(
            f"OK: the loss and {report.parameters:,} parameters are equal bit for bit after each of {report.steps} "
            f"steps, on {', '.join(report.executors)}"
        )
        if report.refused:
            print(f"warning: {report.refused} of the steps were refused and changed nothing", file=sys.stderr)
    return 0 if report.ok else 1


def _samples(path: Path, model: Path) -> list[list[Array]]:
    """The samples in a file: arrays of the shape of each input, or with one axis more in front."""
    content = read_inputs(path)
    args = load(model).main.args
    if isinstance(content, np.ndarray):
        content = {args[0].name: content}
    if not isinstance(content, dict) or (len(args) > 1 and set(content) != {arg.name for arg in args}):
        raise UsageError(f"{path} must hold {', '.join(arg.name for arg in args)}")
    arrays = [content.get(arg.name, next(iter(content.values()))) for arg in args]
    stacked = [a if a.ndim == len(arg.type.shape) + 1 else a[None] for a, arg in zip(arrays, args, strict=True)]
    for array, arg in zip(stacked, args, strict=True):
        if array.shape[1:] != arg.type.shape or array.dtype != arg.type.storage.numpy:
            wanted = f"{arg.type.storage.numpy}{list(arg.type.shape)}"
            raise UsageError(f"`{arg.name}` is {wanted}, not {array.dtype}{list(array.shape[1:])}")
    return [list(sample) for sample in zip(*stacked, strict=True)]
