"""Trains dense networks in NumPy, in C on this machine and in C on an emulated Cortex-M7, and compares: weights,
accuracy, time, memory. `python examples/hdrnn/hdrnn.py -h` lists the options; README.md shows what comes out.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from data import PIXELS, Data, Images, load_digits_28, load_mnist
from network import CLASSES, TINYIR_LOSSES, Loss, PlainNetwork, build_network
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tinyir
from tinyir.diagnostics import TinyIRError
from tinyir.pipeline import Training
from tinyir.runtime.train_program import M7Trainer, Trainer

HIDDEN = ((2,), (8,), (32,), (128,), (2, 16), (8, 16), (32, 16), (128, 16))
COMPARED_OUTPUTS = 20
TIMED_STEPS = 200
STDERR = Console(stderr=True)


@dataclass(frozen=True)
class Settings:
    """How to train: `lr` is the thesis' rate; the emulated core takes the first `m7_steps` of the steps."""

    loss: Loss
    lr: float
    epochs: int
    seed: int
    m7_steps: int

    @property
    def training(self) -> Training:
        return Training(TINYIR_LOSSES[self.loss][0])

    @property
    def rate(self) -> float:
        """The rate that does with tinyir's loss what `lr` does with the thesis'."""
        return self.lr * TINYIR_LOSSES[self.loss][1]


@dataclass(frozen=True)
class Outcome:
    """What one network came to. Accuracies are shares of the held-out images after each epoch, before the first too;
    times are ratios to the C on the host; bytes are RAM while training."""

    sizes: tuple[int, ...]
    plain: list[float]
    compiled: list[float]
    host_is_numpy: bool
    m7_is_host: bool
    plain_time: float
    numpy_time: float
    instructions: int
    arena_bytes: int
    params_bytes: int
    stack_bytes: int
    plain_bytes: int

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def ram_bytes(self) -> int:
        return self.arena_bytes + self.params_bytes + self.stack_bytes


def compare(sizes: tuple[int, ...], data: Data, settings: Settings) -> Outcome:
    """Train one network everywhere on the same images in the same order. Raises TinyIRError without the compilers."""
    module = build_network(sizes, settings.seed)
    c = tinyir.compile(module, train=settings.training, measure=False)
    host, m7 = c.trainer("host"), c.trainer("m7")
    numpy = tinyir.compile(module, train=settings.training, backend="numpy").trainer()
    assert isinstance(m7, M7Trainer)
    plain = PlainNetwork(host.params, settings.loss)
    plain_bytes = peak_bytes(PlainNetwork(host.params, settings.loss), data)

    numpy_time, plain_time = time_ratios(host, numpy, plain, data.train_images[0])
    first = m7.step(data.train_images[0][None], 0, 0.0, count=True)
    assert first.trace is not None and first.stack_bytes is not None

    order = np.random.default_rng(settings.seed)
    done, m7_is_host = 0, True
    curves: tuple[list[float], list[float]] = ([plain_accuracy(plain, data)], [accuracy(host, data)])
    for epoch in range(settings.epochs):
        name = f"{'-'.join(map(str, sizes))}, epoch {epoch + 1}"
        for i in track(order.permutation(len(data.train_images)), name, console=STDERR, transient=True):
            x, label = data.train_images[i], int(data.train_labels[i])
            plain.step(x, label, settings.lr)
            for trainer in (host, numpy, m7) if done < settings.m7_steps else (host, numpy):
                trainer.step(x[None], label, settings.rate)
            done += 1
            if done == settings.m7_steps:
                m7_is_host = equal(m7, host, data.test_images)
        curves[0].append(plain_accuracy(plain, data))
        curves[1].append(accuracy(host, data))
    return Outcome(
        sizes,
        *curves,
        host_is_numpy=equal(numpy, host, data.test_images),
        m7_is_host=m7_is_host,
        plain_time=plain_time,
        numpy_time=numpy_time,
        instructions=first.trace.instructions,
        arena_bytes=c.arena_bytes,
        params_bytes=c.report["training"]["params_bytes"],
        stack_bytes=first.stack_bytes,
        plain_bytes=plain_bytes,
    )


def seconds(step: Callable[[], object]) -> float:
    """How long a step takes: the least of many, which other programs delay least."""
    times = []
    for _ in range(TIMED_STEPS):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return min(times)


def time_ratios(host: Trainer, numpy: Trainer, plain: PlainNetwork, x: Images) -> tuple[float, float]:
    """How many times as long as the C on this machine a step takes in the NumPy that tinyir prints, and in plain NumPy.

    The rate is 0, so nothing is learned. What Python does around a call of C is taken off: the time of a step that is
    refused at once, for its label.
    """
    c = seconds(lambda: host.step(x[None], 0, 0.0)) - seconds(lambda: host.step(x[None], -1, 0.0))
    return seconds(lambda: numpy.step(x[None], 0, 0.0)) / c, seconds(lambda: plain.step(x, 0, 0.0)) / c


def equal(a: Trainer, b: Trainer, images: Images) -> bool:
    """Whether two trainers hold the same parameters and say the same of the first images, bit for bit."""
    have, want = a.params, b.params
    same = have.keys() == want.keys() and all(have[name].tobytes() == want[name].tobytes() for name in want)
    return same and all(a.run(x[None]).tobytes() == b.run(x[None]).tobytes() for x in images[:COMPARED_OUTPUTS])


def accuracy(trainer: Trainer, data: Data) -> float:
    """The share of held-out images whose label has the highest output."""
    found = [int(trainer.run(x[None]).argmax()) for x in data.test_images]
    return float(np.mean(np.array(found) == data.test_labels))


def plain_accuracy(plain: PlainNetwork, data: Data) -> float:
    """The same for the network in plain NumPy."""
    return float(np.mean(plain.forward(data.test_images)[-1].argmax(axis=1) == data.test_labels))


def peak_bytes(plain: PlainNetwork, data: Data) -> int:
    """Bytes at the height of one step in plain NumPy: its parameters, and what Python allocates above them."""
    tracemalloc.start()
    plain.step(data.train_images[0], int(data.train_labels[0]), 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + sum(array.nbytes for array in (*plain.weights, *plain.biases))


def table(outcomes: Sequence[Outcome], settings: Settings) -> Table:
    """Everything that is compared, a line for each network."""
    t = Table(box=MARKDOWN)
    for column in (
        "network",
        "right, plain NumPy",
        "right, C",
        "C = NumPy",
        f"M7 = C, {settings.m7_steps} steps",
        "M7 instr/step",
        "NumPy/C time",
        "plain/C time",
        "RAM in C",
        "arena + params + stack",
        "RAM, plain NumPy",
    ):
        t.add_column(column, justify="left" if column == "network" else "right")
    for o in outcomes:
        t.add_row(
            o.name,
            f"{o.plain[-1]:.1%}",
            f"{o.compiled[-1]:.1%}",
            "yes" if o.host_is_numpy else "NO",
            "yes" if o.m7_is_host else "NO",
            f"{o.instructions:,}",
            f"{o.numpy_time:.0f}x",
            f"{o.plain_time:.1f}x",
            f"{o.ram_bytes:,}",
            f"{o.arena_bytes:,} + {o.params_bytes:,} + {o.stack_bytes:,}",
            f"{o.plain_bytes:,}",
        )
    return t


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Accuracy over epochs, instructions and RAM, as a picture. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (curves, cost, memory) = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for o in outcomes:
        (line,) = curves.plot(o.compiled, label=o.name)
        curves.plot(o.plain, ":", color=line.get_color())
    curves.set(xlabel="epoch", ylabel="right of the held-out images", title="accuracy: C (plain NumPy dotted)")
    curves.legend(fontsize="small")
    names = [o.name for o in outcomes]
    cost.barh(names, [o.instructions for o in outcomes])
    cost.set(xscale="log", xlabel="instructions", title="one step on the Cortex-M7")
    memory.barh(names, [o.plain_bytes for o in outcomes], color="lightgrey", label="plain NumPy")
    memory.barh(names, [o.ram_bytes for o in outcomes], height=0.5, label="C")
    memory.set(xscale="log", xlabel="bytes", title="RAM while training")
    memory.legend()
    for axes in (cost, memory):
        axes.invert_yaxis()
    figure.savefig(path, dpi=120)


def parse_hidden(text: str) -> tuple[int, ...]:
    """`32` or `32-16`: the hidden layers of a network."""
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"`{text}`: hidden layers are written 32 or 32-16")
    return sizes


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number above 0")
    return int(text)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Train dense networks in NumPy, in C here and in C on an emulated M7.")
    p.add_argument("--mnist", type=Path, metavar="DIR", help="the four IDX files; default: scikit-learn's digits")
    p.add_argument("--hidden", type=parse_hidden, nargs="+", default=list(HIDDEN), help="hidden layers: 2 8 32 32-16")
    p.add_argument("--loss", choices=list(TINYIR_LOSSES), default="quadratic")
    p.add_argument("--lr", type=float, help="default: 0.2, or 0.1 with cross-entropy")
    p.add_argument("--epochs", type=positive, default=10)
    p.add_argument("--examples", type=positive, metavar="N", help="train on the first N images only")
    p.add_argument("--m7-steps", type=positive, default=200, metavar="N", help="how many steps are emulated as well")
    p.add_argument("--seed", type=int, default=0, help="of initial weights, order, and held-out images")
    p.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the outcome (needs matplotlib)")
    return p


def main() -> None:
    """Train, print the table, perhaps draw it. Ends with status 1 where weights differ."""
    args = parser().parse_args()
    lr = args.lr if args.lr is not None else {"quadratic": 0.2, "cross-entropy": 0.1}[args.loss]
    settings = Settings(args.loss, lr, args.epochs, args.seed, args.m7_steps)
    try:
        data = (load_mnist(args.mnist) if args.mnist else load_digits_28(args.seed)).first(args.examples)
        steps = len(data.train_images) * settings.epochs
        settings = replace(settings, m7_steps=min(settings.m7_steps, steps))
        print(
            f"{data.name}: {len(data.train_images)} images, {settings.epochs} epochs, {len(data.test_images)} held out"
        )
        print(f"SGD on one image at a time, {settings.loss} loss, rate {settings.lr:g}")
        outcomes = [compare((PIXELS, *hidden, CLASSES), data, settings) for hidden in args.hidden]
    except TinyIRError as error:
        raise SystemExit(error.render()) from None
    Console(width=190).print(table(outcomes, settings))
    if args.plot:
        plot(outcomes, args.plot)
        print(f"drew {args.plot}")
    if not all(o.host_is_numpy and o.m7_is_host for o in outcomes):
        raise SystemExit("weights differ between backends")


if __name__ == "__main__":
    main()
