"""Trials in a file of JSON lines, so that a search that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyir.diagnostics import UsageError
from tinyir.tune.measure import Trial


@dataclass(frozen=True)
class Entry:
    """A finished trial of the batch `batch`: for each kernel the digest of its steps and the policy they come from.
    `trial` is None for one that failed, of which `error` says how."""

    batch: int
    chosen: Mapping[str, tuple[str, Mapping[str, Any]]]
    trial: Trial | None
    error: str = ""


class TrialLog:
    """The file at `path`. Entries of other keys (another model, compiler, seed ...) stay in it and are not seen."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def read(self) -> list[Entry]:
        """The entries of this key, oldest first. Lines that are damaged are passed over. Raises UsageError."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from None
        return [entry for line in text.splitlines() if (entry := self._entry(line)) is not None]

    def append(self, entry: Entry) -> None:
        """Add an entry, on a line of its own whatever was left behind. Raises UsageError."""
        content = {"key": self.key, "batch": entry.batch, "chosen": entry.chosen, "error": entry.error}
        line = json.dumps(content | {"trial": entry.trial and asdict(entry.trial)}) + "\n"
        try:
            with self.path.open("a+b") as file:
                file.seek(max(0, file.seek(0, 2) - 1))
                torn = file.read(1) not in (b"", b"\n")
                file.write((b"\n" if torn else b"") + line.encode())
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}") from None

    def _entry(self, line: str) -> Entry | None:
        try:
            content = json.loads(line)
            if content["key"] != self.key:
                return None
            chosen = {name: (str(digest), dict(policy)) for name, (digest, policy) in content["chosen"].items()}
            trial = None if content["trial"] is None else Trial(**content["trial"])
            return Entry(int(content["batch"]), chosen, trial, str(content["error"]))
        except (ValueError, KeyError, TypeError):
            return None
