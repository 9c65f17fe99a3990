"""Options of every command that compiles a model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from tinyir.diagnostics import UsageError
from tinyir.ir.training import Rounding
from tinyir.loops.recipes.policy import LEVELS
from tinyir.passes.pipeline_text import parse_pipeline
from tinyir.passes.registry import Pass
from tinyir.passes.step_options import GradName, Hyper, LossName, OptimizerName, TargetName
from tinyir.pipeline import Options, Training

SUFFIXES = {"": 1, "K": 1024, "M": 1024 * 1024}


def add_compile_options(parser: argparse.ArgumentParser) -> None:
    """Add `--target`, `--numerics` and the like."""
    group = parser.add_argument_group("compilation")
    group.add_argument("--target", default="cortex-m7", help="`tinyir targets` lists them (default: cortex-m7)")
    group.add_argument(
        "--io", choices=["model", "int8"], default="model", help="int8: hand in and get back stored integers"
    )
    group.add_argument(
        "--numerics", choices=["tflm", "litert"], default="tflm", help="whose rounding to reproduce (default: tflm)"
    )
    group.add_argument(
        "-O", "--level", choices=LEVELS, default="balanced", help="what cycles may cost in RAM and flash"
    )
    group.add_argument(
        "--schedule", type=Path, metavar="FILE", help="schedules of kernels, as `tinyir tune` finds them (TOML)"
    )
    group.add_argument(
        "--camera",
        type=pass_with("add-preprocessing"),
        metavar="OPTIONS",
        help="take frames of a camera: format=rgb565,size=[120,160],... (`tinyir passes add-preprocessing`)",
    )
    group.add_argument("--passes", metavar="TEXT", help="a pipeline of your own instead of the default one")
    group.add_argument(
        "--max-ram",
        type=byte_count,
        metavar="BYTES",
        help="fail if arena, parameters that are trained and stack need more (64K)",
    )
    group.add_argument("--max-flash", type=byte_count, metavar="BYTES", help="fail if code and weights need more")
    group.add_argument("--compiler", choices=["gcc", "zig"], help="cross compiler (default: gcc if there is one)")
    group.add_argument("--opt", metavar="LEVEL", help="its optimisation level (default: -O3; -Os with -O size)")


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add `--train` and what goes with it."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--train",
        metavar="PLAN",
        help="let the program train what this file says (`tinyir train-plan` makes one), or `all` weights and biases",
    )
    group.add_argument("--loss", choices=get_args(LossName), default=Training.loss, help="what training makes small")
    group.add_argument(
        "--train-target",
        choices=get_args(TargetName),
        default=Training.target,
        help="what the output is compared with: a class number, or a tensor",
    )
    group.add_argument("--optimizer", choices=get_args(OptimizerName), default=Training.optimizer)
    group.add_argument("--momentum", type=float, default=Hyper.momentum, help="of sgd (default: 0)")
    group.add_argument("--nesterov", action="store_true", help="let the momentum look ahead")
    group.add_argument("--weight-decay", type=float, default=Hyper.weight_decay, help="gradient of half the square")
    group.add_argument("--beta1", type=float, default=Hyper.beta1, help="of adam (default: 0.9)")
    group.add_argument("--beta2", type=float, default=Hyper.beta2, help="of adam (default: 0.999)")
    group.add_argument("--epsilon", type=float, default=Hyper.epsilon, help="of adam (default: 1e-8)")
    group.add_argument("--accumulate", type=int, default=1, metavar="N", help="update with the mean of N gradients")
    group.add_argument(
        "--rounding", choices=get_args(Rounding), default=Training.rounding, help="of updates of int8 weights"
    )
    group.add_argument(
        "--grad",
        choices=get_args(GradName),
        default=Training.grad,
        help="what the gradients of int8 layers are stored as (default: f32)",
    )
    group.add_argument("--no-qas", action="store_true", help="steps of int8 weights without quantisation-aware scaling")
    group.add_argument(
        "--augment",
        type=pass_with("augment"),
        metavar="OPTIONS",
        help="change the images of each step: rotation=10,flip=true,... (`tinyir passes augment`)",
    )
    group.add_argument(
        "--classes", type=int, metavar="N", help="replace the classifier by a new float one for so many classes"
    )
    group.add_argument(
        "--classifier-seed", type=int, default=Training.classifier_seed, metavar="N", help="of its first weights"
    )


def training_from(args: argparse.Namespace) -> Training | None:
    """The Training that the arguments say."""
    if args.train is None:
        return None
    more: dict[str, Any] = {f.name: getattr(args, f.name) for f in fields(Hyper)}
    more |= {"plan": None if args.train == "all" else Path(args.train)}
    more |= {"rounding": args.rounding, "qas": not args.no_qas, "grad": args.grad}
    more |= {"classes": args.classes, "classifier_seed": args.classifier_seed}
    return Training(args.loss, args.train_target, args.optimizer, **more)


def options_from(args: argparse.Namespace, **more: Any) -> Options:
    """The Options that the arguments say."""
    names = ("target", "io", "numerics", "level", "schedule", "passes", "max_ram", "max_flash", "compiler", "opt")
    chosen = {name: getattr(args, name) for name in (*names, "camera")}
    return Options(**chosen, augment=getattr(args, "augment", None), **more)


def pass_with(name: str) -> Callable[[str], Pass]:
    """Reads the options of the pass `name`: `size=[120,160],resize=nearest`."""

    def read(text: str) -> Pass:
        try:
            return parse_pipeline(f"{name}{{{text}}}", "the option")[0]
        except UsageError as error:
            raise argparse.ArgumentTypeError(error.message) from None

    return read


def byte_count(text: str) -> int:
    """`65536`, `64K` or `1M` as a number of bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+)([KM]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of bytes; write 65536, 64K or 1M")
    return int(match[1]) * SUFFIXES[match[2].upper()]
