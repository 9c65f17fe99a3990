"""The search: trials of whole programs in which every kernel tries a candidate, then the best one for each."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from tinyir import __version__
from tinyir.diagnostics import LimitError, TinyIRError, ToolError, UsageError, warn
from tinyir.frontends.load import load
from tinyir.ir.clone import clone_module
from tinyir.ir.core import Module
from tinyir.loops.ir import Kernel
from tinyir.loops.recipes import POLICIES
from tinyir.loops.schedule_file import Schedules, schedules_text
from tinyir.passes.manager import PassManager
from tinyir.pipeline import Options
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import get_target
from tinyir.tune.choose import Choice, Demand, choose
from tinyir.tune.groups import Groups, logged
from tinyir.tune.log import Entry, TrialLog
from tinyir.tune.measure import UNLIMITED, Job, Trial, compile_with, first_difference, measure_trial
from tinyir.tune.space import KNOBS, Candidate

BATCH = 8
"""Trials whose candidates follow from the same results, so that a search does not depend on how many run at a time."""

ROUNDS = 6
"""How often the limits of the choice are tightened where the compiled program is larger than was estimated."""

Progress = Callable[[int, str], None]
"""Told how many trials are done, and the state in words."""


class Measurer(Protocol):
    """How a trial is measured: `measure_trial`, or something for tests."""

    def __call__(self, job: Job) -> Trial: ...


class Needs(NamedTuple):
    """Bytes of RAM, with the stack, and of flash."""

    ram: int
    flash: int


@dataclass(frozen=True)
class Outcome:
    """The schedules found; what the program with the built-in ones and the one with these cost and need; how many
    trials there were, how many of them failed, and whether the search was interrupted."""

    schedules: Schedules
    builtin: Trial
    tuned: Trial
    builtin_needs: Needs
    tuned_needs: Needs
    trials: int
    failed: int
    interrupted: bool


class Search:
    """The search for a model; `trials` and what they gave are in `log` and survive."""

    def __init__(self, model: Path, options: Options, seed: int, log: Path) -> None:
        """Raises TinyIRError for a model that cannot be compiled, UsageError for options that leave nothing to tune."""
        if options.schedule or options.passes:
            raise UsageError("a search makes its own pipeline and schedules", help="leave --passes and --schedule out")
        if get_target(options.target).is_host:
            raise UsageError(f"target `{options.target}` has no cycle model", help="name a Cortex-M7 target")
        compiler = CrossCompiler.detect(options.compiler)
        self.options = replace(options, compiler=compiler.kind)
        self.compiler = compiler.version
        module = load(model)  # says what is wrong with the path, so before the bytes are read
        self.model, self.name = model.read_bytes(), model.name
        self.graph, kernels = _lowered(module, self.options)
        self.groups = Groups(kernels, POLICIES[options.level], seed)
        self.log = TrialLog(log, self._key(seed))
        self.entries = self.log.read()
        self._needed: dict[tuple[str, ...], Needs] = {}

    def _key(self, seed: int) -> str:
        """What measurements, and which are made, depend on."""
        builtin = {name: one.digest for name, one in self.groups.builtin().items()}
        options = self.options.c_level, self.options.io, self.options.numerics, self.options.level
        model = hashlib.sha256(self.model).hexdigest()
        parts = [__version__, model, self.compiler, *options, seed, builtin, KNOBS]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    # -- trials -----------------------------------------------------------------------------------------------------

    def run(self, trials: int, pool: Executor, progress: Progress, measurer: Measurer = measure_trial) -> bool:
        """Measure until there are `trials` entries, or no candidate is left. Returns whether that was interrupted.

        Raises TinyIRError where the program with the built-in schedules cannot be measured.
        """
        try:
            while len(self.entries) < trials:
                number, batch = self._next_batch()
                if not batch:
                    break
                self._measure(number, batch[: trials - len(self.entries)], pool, progress, measurer)
        except KeyboardInterrupt:
            if not self.entries:
                raise
            return True
        return False

    def _next_batch(self) -> tuple[int, list[dict[str, Candidate]]]:
        """The batch that was begun less what is done of it, or a new one, with its number; the first is the built-in
        schedules alone. It follows from the batches before it."""
        if not self.entries:
            return 0, [self.groups.builtin()]
        number = self.entries[-1].batch
        before = [entry for entry in self.entries if entry.batch < number]
        if before:
            self.groups.learn(before)
            rest = self.groups.next_trials(BATCH, number)[len(self.entries) - len(before) :]
            if rest:
                return number, rest
        self.groups.learn(self.entries)
        return number + 1, self.groups.next_trials(BATCH, number + 1)

    def _measure(
        self,
        number: int,
        batch: list[dict[str, Candidate]],
        pool: Executor,
        progress: Progress,
        measurer: Measurer,
    ) -> None:
        """Measure a batch and log it in its order, so that what is learnt does not depend on who is first."""
        futures = [pool.submit(measurer, self.job(chosen)) for chosen in batch]
        try:
            for chosen, future in zip(batch, futures, strict=True):
                progress(len(self.entries), self._state())
                entry = self._entry(number, chosen, future)
                self.log.append(entry)
                self.entries.append(entry)
        finally:
            for future in futures:
                future.cancel()
        progress(len(self.entries), self._state())

    def _entry(self, number: int, chosen: Mapping[str, Candidate], future: Future[Trial]) -> Entry:
        try:
            trial = future.result()
        except TinyIRError as error:
            if not self.entries:
                raise
            warn(f"trial {len(self.entries)} failed: {error.message}")
            return Entry(number, logged(chosen), None, error.message)
        if trial.compiler != self.compiler:
            raise ToolError(
                f"a worker has another compiler: {trial.compiler}, not {self.compiler}",
                help="cycles of different compilers cannot be compared; install the same one everywhere",
            )
        if self.entries and trial.outputs != self.builtin.outputs:
            warn(f"trial {len(self.entries)} computes something else than the built-in schedules; it does not count")
            return Entry(number, logged(chosen), None, "wrong outputs")
        return Entry(number, logged(chosen), trial)

    def _state(self) -> str:
        if not self.entries:
            return "built-in schedules"
        self.groups.learn(self.entries)
        best = sum(len(group.names) * group.cycles(group.ranking()[0]) for group in self.groups.groups.values())
        return f"{best / 1e6:.3f} M cycles, built-in {self.builtin.total / 1e6:.3f} M"

    @property
    def builtin(self) -> Trial:
        """The program with the built-in schedules."""
        assert self.entries[0].trial is not None
        return self.entries[0].trial

    def job(self, chosen: Mapping[str, Candidate]) -> Job:
        """The trial of these candidates."""
        return Job(self.model, self.name, self.options, schedules_text(self.groups.stored(chosen)))

    # -- the choice -------------------------------------------------------------------------------------------------

    def finish(self, interrupted: bool, progress: Progress, measurer: Measurer = measure_trial) -> Outcome:
        """Choose within the limits, compile, compare with the interpreter. Raises LimitError where no measured
        schedules keep the limits, ToolError for a program that computes something else."""
        count = len(self.entries)
        progress(count, "choosing")
        self.groups.learn(self.entries)
        limits = _limits(self.options)
        chosen = self._within(limits)
        tuned = measurer(self.job(chosen))
        builtin = self.groups.builtin()
        if tuned.total > self.builtin.total and not any(_excess(self._needs(builtin), limits)):
            chosen, tuned = builtin, self.builtin
        progress(count, "comparing with the interpreter")
        if wrong := first_difference(self.job(chosen), self.graph):
            raise ToolError(
                f"the tuned program is wrong: {wrong}",
                help="this is a mistake in tinyir; please report it with the model and the log of trials",
            )
        failed = sum(entry.trial is None for entry in self.entries)
        needs = self._needs(builtin), self._needs(chosen)
        return Outcome(self.groups.stored(chosen), self.builtin, tuned, *needs, count, failed, interrupted)

    def _within(self, limits: Needs) -> dict[str, Candidate]:
        """The fastest candidates whose program keeps the limits when it is really compiled."""
        options = {mark: group.options() for mark, group in self.groups.groups.items()}
        builtin = {
            mark: next(one for one in options[mark] if one.digest == group.space.builtin.digest)
            for mark, group in self.groups.groups.items()
        }
        needed = self._needs(self.groups.builtin())
        around = needed.flash - sum(one.flash_bytes for one in builtin.values())
        arena, flash = limits.ram - self.builtin.stack_bytes, limits.flash - around
        with contextlib.suppress(LimitError):
            for _ in range(ROUNDS):
                chosen = self.groups.by_kernel(choose(options, self._demand, arena, flash))
                excess = _excess(self._needs(chosen), limits)
                if not any(excess):
                    return chosen
                arena, flash = arena - excess.ram, flash - excess.flash
        if not any(_excess(needed, limits)):
            return self.groups.builtin()
        raise LimitError(
            f"no schedules were found with {limits.ram:,} bytes of RAM and {limits.flash:,} of flash",
            notes=[f"the program with those of -O {self.options.level} needs {needed.ram:,} and {needed.flash:,}"],
            help="more trials, -O size as the start, or larger limits",
        )

    def _demand(self, choice: Choice) -> Demand:
        """The arena of a choice, planned, and the flash of its kernels, as measured."""
        report = compile_with(self.job(self.groups.by_kernel(choice)), **UNLIMITED).report
        live: dict[str, int] = {}
        for name, op in zip(self.builtin.cycles, report["ops"], strict=True):
            mark = self.groups.of[name]
            live[mark] = max(live.get(mark, 0), op["live_bytes"])
        return Demand(report["arena_bytes"], live, sum(one.flash_bytes for one in choice.values()))

    def _needs(self, chosen: Mapping[str, Candidate]) -> Needs:
        """What the compiled program really takes."""
        key = tuple(one.digest for one in chosen.values())
        if key not in self._needed:
            report = compile_with(self.job(chosen), **UNLIMITED | {"measure": True}).report
            flash, ram = report["flash_bytes"], report["arena_bytes"] + (report["stack_bytes"] or 0)
            self._needed[key] = Needs(ram, flash["code"] + flash["weights"])
        return self._needed[key]


def _excess(needs: Needs, limits: Needs) -> Needs:
    """By how much limits are exceeded."""
    return Needs(max(0, needs.ram - limits.ram), max(0, needs.flash - limits.flash))


def _limits(options: Options) -> Needs:
    """What the target has, and the user grants."""
    target = get_target(options.target)
    ram, flash = target.ram.length, target.flash.length
    granted = options.max_ram, options.max_flash
    return Needs(*(min(have, have if most is None else most) for have, most in zip((ram, flash), granted, strict=True)))


def _lowered(module: Module, options: Options) -> tuple[Module, dict[str, Kernel]]:
    """The module before it is lowered to loops, for the interpreter, and its kernels before they have schedules."""
    passes = options.pipeline()
    names = [a_pass.name for a_pass in passes]
    lowering, scheduling = names.index("lower-to-loops"), names.index("schedule-loops")
    PassManager(passes[:lowering]).run(module)
    graph = clone_module(module)
    PassManager(passes[lowering:scheduling]).run(module)
    return graph, {name: kernel for name, kernel in module.kernels.items() if isinstance(kernel, Kernel)}
