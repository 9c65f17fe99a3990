"""Which weights and biases a program trains: a small TOML file, made by hand or by `tinyir train-plan`.

    version = 1
    classifier = true            # weights and bias of the last layer; this is the default
    biases = 3                   # biases of the last 3 layers, or "all"; by default none but the classifier's

    [[weights]]
    layer = "conv2d_7"           # its name in the IR or in the model file; or: index = 7
    ratio = 0.25                 # share of its input channels, or: channels = 12; by default all
    select = "magnitude"         # the channels with the largest weights; by default the first ones

A layer is a convolution or a dense layer; they are counted from 0 in the order of the model. Everything else is frozen.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from tinyir.diagnostics import UsageError, did_you_mean
from tinyir.ir.core import Func, Op
from tinyir.ir.opdef import Trait
from tinyir.toml_text import quoted

VERSION = 1
Select = Literal["first", "magnitude"]


class PlanError(UsageError):
    """A plan file that cannot be read, or that does not fit the model."""


@dataclass(frozen=True)
class Share:
    """The input channels of a layer whose weights are trained: a `ratio` of them, or that many `channels`."""

    layer: str | int
    ratio: float | None = None
    channels: int | None = None
    select: Select = "first"

    def count(self, of: int) -> int:
        """How many of `of` input channels are trained. A ratio is rounded to the nearest number, but to one at least.

        Raises PlanError for more than there are.
        """
        if self.channels is None:
            return of if self.ratio is None else max(1, round(self.ratio * of))
        if self.channels > of:
            raise PlanError(f"the plan trains {self.channels} input channels of `{self.layer}`, which has {of}")
        return self.channels


@dataclass(frozen=True)
class TrainPlan:
    """What is trained: the biases of the last `biases` layers (None: of all), the input channels of `weights`, and the
    last layer if `classifier` says so."""

    biases: int | None = 0
    classifier: bool = True
    weights: tuple[Share, ...] = field(default=())

    @staticmethod
    def read(path: Path | str) -> TrainPlan:
        """The plan in the file at `path`. Raises PlanError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise PlanError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PlanError(f"{path} is no text in UTF-8, so no plan") from None
        return TrainPlan.parse(text, str(path))

    @staticmethod
    def parse(text: str, where: str) -> TrainPlan:
        """The plan in `text`; `where` names it in errors. Raises PlanError."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"{where} is no TOML: {error}") from None
        if content.get("version") != VERSION:
            found = f"version = {content['version']!r}" if "version" in content else "no `version`"
            raise PlanError(f"{where} has {found}; this tinyir reads version = {VERSION}")
        _refuse_unknown(content, ("version", "classifier", "biases", "weights"), where)
        classifier, biases = content.get("classifier", True), content.get("biases", 0)
        if not isinstance(classifier, bool):
            raise PlanError(f"{where}: `classifier` must be true or false, not {classifier!r}")
        if biases != "all" and not _is_count(biases, 0):
            raise PlanError(f'{where}: `biases` must be a number of layers or "all", not {biases!r}')
        entries = content.get("weights", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise PlanError(f"{where}: `weights` must be tables, each under [[weights]]")
        shares = tuple(_share(entry, f"{where}: [[weights]] {i}") for i, entry in enumerate(entries, 1))
        return TrainPlan(None if biases == "all" else biases, classifier, shares)

    def text(self) -> str:
        """The file that `parse` reads back."""
        biases = '"all"' if self.biases is None else str(self.biases)
        lines = [f"version = {VERSION}", f"classifier = {str(self.classifier).lower()}", f"biases = {biases}"]
        for share in self.weights:
            where = f"index = {share.layer}" if isinstance(share.layer, int) else f"layer = {quoted(share.layer)}"
            lines += ["", "[[weights]]", where]
            lines += [f"ratio = {share.ratio!r}"] if share.ratio is not None else []
            lines += [f"channels = {share.channels}"] if share.channels is not None else []
            lines += [f'select = "{share.select}"'] if share.select != "first" else []
        return "\n".join(lines) + "\n"


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _refuse_unknown(content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise PlanError(
                f"{where} has `{key}`, which says nothing",
                help=did_you_mean(key, known) or f"known: {', '.join(known)}",
            )


def _share(entry: Mapping[str, Any], where: str) -> Share:
    _refuse_unknown(entry, ("layer", "index", "ratio", "channels", "select"), where)
    if ("layer" in entry) == ("index" in entry):
        raise PlanError(f"{where} needs `layer` or `index`, one of them")
    layer = entry["layer"] if "layer" in entry else entry["index"]
    if "layer" in entry and not isinstance(layer, str):
        raise PlanError(f"{where}: `layer` must be a name, not {layer!r}", help="`index` takes a number")
    if "index" in entry and not _is_count(layer, 0):
        raise PlanError(f"{where}: `index` must be a number from 0, not {layer!r}")
    if "ratio" in entry and "channels" in entry:
        raise PlanError(f"{where} needs `ratio` or `channels`, not both")
    ratio, channels, select = entry.get("ratio"), entry.get("channels"), entry.get("select", "first")
    if "ratio" in entry and not (isinstance(ratio, (int, float)) and not isinstance(ratio, bool) and 0 < ratio <= 1):
        raise PlanError(f"{where}: `ratio` must be a number above 0, at most 1, not {ratio!r}")
    if "channels" in entry and not _is_count(channels, 1):
        raise PlanError(f"{where}: `channels` must be a number from 1, not {channels!r}")
    if select not in get_args(Select):
        raise PlanError(f"{where}: `select` must be one of {', '.join(get_args(Select))}, not {select!r}")
    return Share(layer, float(ratio) if ratio is not None else None, channels, select)


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution or a dense layer of the model. `names` are those a plan may call it by, that of the IR first."""

    index: int
    names: tuple[str, ...]
    op: Op

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return self.names[0] if self.names else f"#{self.index}"

    @property
    def channels(self) -> int:
        """How many input channels its weights have; 1 for a depthwise convolution, which mixes none."""
        weight = self.op.operands[1].type
        if not weight.layout:
            return weight.shape[1]
        return weight.size("I") if "I" in weight.layout else 1


def layers(func: Func) -> list[Layer]:
    """The layers of `func`, in its order."""
    ops = [op for op in func.ops if op.has(Trait.CONTRACTION)]
    found = []
    for index, op in enumerate(ops):
        names = [op.results[0].name, *(source.name for source in op.loc.sources)]
        found.append(Layer(index, tuple(dict.fromkeys(name for name in names if name)), op))
    return found


def find_layer(all_layers: Sequence[Layer], called: str | int) -> Layer:
    """The layer with this index or name. Raises PlanError with what is near."""
    if isinstance(called, int):
        if called < len(all_layers):
            return all_layers[called]
        raise PlanError(f"the plan trains the layer with index {called}; the model has {len(all_layers)} layers")
    for layer in all_layers:
        if called in layer.names:
            return layer
    names = [name for layer in all_layers for name in layer.names]
    listing = ", ".join(f"{layer.index} `{layer.name}`" for layer in all_layers)
    raise PlanError(
        f"the plan trains `{called}`, which is no layer of the model",
        notes=[f"the layers are: {listing}"],
        help=did_you_mean(called, names),
    )


@dataclass(frozen=True)
class Chosen:
    """What of a layer is trained: how many input channels of its weights, and whether its bias."""

    channels: int
    bias: bool
    select: Select = "first"


def choose(plan: TrainPlan, all_layers: Sequence[Layer]) -> dict[Layer, Chosen]:
    """What of each layer `plan` trains; layers of which nothing is are left out. Raises PlanError for a plan that does
    not fit: a layer that is not there or named twice, more channels or biases than there are."""
    if plan.biases is not None and plan.biases > len(all_layers):
        raise PlanError(f"the plan trains the biases of the last {plan.biases} layers; the model has {len(all_layers)}")
    depth = len(all_layers) if plan.biases is None else plan.biases
    shares: dict[Layer, Share] = {}
    for share in plan.weights:
        layer = find_layer(all_layers, share.layer)
        if layer in shares:
            raise PlanError(f"the plan names the weights of `{layer.name}` twice")
        shares[layer] = share
    chosen: dict[Layer, Chosen] = {}
    for layer in all_layers:
        last = plan.classifier and layer is all_layers[-1]
        share = shares.get(layer, Share(layer.index))
        channels = share.count(layer.channels) if layer in shares else layer.channels if last else 0
        bias = len(layer.op.operands) > 2 and (last or layer.index >= len(all_layers) - depth)
        if channels or bias:
            chosen[layer] = Chosen(channels, bias, share.select)
    if not chosen:
        raise PlanError("the plan trains nothing", help="`classifier = true` trains the last layer")
    return chosen
