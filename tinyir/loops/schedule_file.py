"""Schedules of kernels in a TOML file: which steps each takes. `docs/schedules.md` describes the format."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyir.diagnostics import UsageError
from tinyir.loops.ir import Kernel
from tinyir.loops.schedule import ScheduleError, apply
from tinyir.toml_text import quoted

FORMAT = 1
HEAD = "# Schedules of kernels, for `tinyir compile --schedule`."


@dataclass(frozen=True)
class StoredSchedule:
    """The steps of a kernel, and the fingerprint of the kernel without a schedule that they are for."""

    fingerprint: str
    steps: tuple[str, ...]


Schedules = Mapping[str, StoredSchedule]
"""By the name of the kernel."""


def fingerprint(kernel: Kernel) -> str:
    """What the steps of a kernel without a schedule depend on, its parameters and its loops, as 16 hex digits. Kernels
    that differ in nothing but their names have the same."""
    assert not kernel.schedule, f"{kernel.name} has a schedule"
    text = replace(kernel, name="kernel", doc=()).text()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def schedules_text(schedules: Schedules) -> str:
    """The file that `parse_schedules` reads back."""
    parts = [f"{HEAD}\nformat = {FORMAT}\n"]
    for name, stored in schedules.items():
        steps = "".join(f"  {quoted(step)},\n" for step in stored.steps)
        parts.append(
            f"\n[kernels.{quoted(name)}]\nfingerprint = {quoted(stored.fingerprint)}\n"
            + (f"steps = [\n{steps}]\n" if steps else "steps = []\n")
        )
    return "".join(parts)


def write_schedules(schedules: Schedules, path: Path) -> None:
    """Write the file at `path`. A file that is there is replaced as a whole or not at all. Raises UsageError."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(schedules_text(schedules), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def read_schedules(path: Path) -> dict[str, StoredSchedule]:
    """The schedules in the file at `path`. Raises UsageError if it cannot be read, ScheduleError for its content."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScheduleError(f"{path} is no text in UTF-8, so no file of schedules") from None
    return parse_schedules(text, str(path))


def parse_schedules(text: str, where: str) -> dict[str, StoredSchedule]:
    """The schedules in `text`; `where` names it in errors. Raises ScheduleError."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScheduleError(f"{where} is no TOML: {error}") from None
    if content.get("format") != FORMAT:
        found = f"format = {content['format']!r}" if "format" in content else "no `format`"
        raise ScheduleError(f"{where} has {found}; this tinyir reads format = {FORMAT}")
    kernels = content.get("kernels", {})
    unknown = sorted(set(content) - {"format", "kernels"})
    if unknown or not isinstance(kernels, dict):
        raise ScheduleError(f"{where}: `{(unknown or ['kernels'])[0]}` is not what a file of schedules holds there")
    return {name: _stored(entry, f"{where}: kernel `{name}`") for name, entry in kernels.items()}


def _stored(entry: Any, where: str) -> StoredSchedule:
    if not isinstance(entry, dict) or set(entry) != {"fingerprint", "steps"}:
        raise ScheduleError(f"{where} must have `fingerprint` and `steps`, and nothing else")
    mark, steps = entry["fingerprint"], entry["steps"]
    if not isinstance(mark, str):
        raise ScheduleError(f"{where}: `fingerprint` must be a string")
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise ScheduleError(f"{where}: `steps` must be a list of strings, such as `split(c, 2, co, ci)`")
    return StoredSchedule(mark, tuple(steps))


def replay(kernel: Kernel, stored: StoredSchedule, where: str) -> Kernel:
    """The kernel with the steps of its stored schedule. Raises ScheduleError that names `where`, kernel and step."""
    for number, step in enumerate(stored.steps, 1):
        try:
            kernel = apply(kernel, (step,))
        except ScheduleError as error:
            message = f"{where}: kernel `{kernel.name}`, step {number} `{step}`: {error.message}"
            raise ScheduleError(message, notes=error.notes, help=error.help) from None
    return kernel
