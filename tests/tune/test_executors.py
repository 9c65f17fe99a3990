"""Where trials run: processes, or a Dask cluster in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runtime.samples import needs_m7
from tests.tune.fakes import ignore, write_model
from tinyir.diagnostics import TinyIRError, ToolError
from tinyir.pipeline import Options
from tinyir.tune.executors import executor
from tinyir.tune.search import Search


def refuse() -> None:
    raise TinyIRError("no", notes=["a note"], help="what to do")


def test_processes() -> None:
    with executor(2, None) as pool:
        pids = {future.result() for future in [pool.submit(os.getpid) for _ in range(4)]}
    assert os.getpid() not in pids


def test_errors_come_back_whole() -> None:
    with executor(1, None) as pool, pytest.raises(TinyIRError) as caught:
        pool.submit(refuse).result()
    assert (caught.value.message, caught.value.notes, caught.value.help) == ("no", ["a note"], "what to do")


@needs_m7
def test_a_dask_cluster_measures_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    entries = []
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        for address in (None, cluster.scheduler_address):
            search = Search(write_model(tmp_path), Options(level="speed"), 0, tmp_path / f"{address is None}.jsonl")
            with executor(2, address) as pool:
                search.run(3, pool, ignore)
            entries.append(search.entries)
    assert entries[0] == entries[1] and len(entries[0]) == 3


def test_no_scheduler_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("tinyir.tune.executors.CONNECT_SECONDS", 0.2)
    with pytest.raises(ToolError, match="no Dask scheduler at tcp://127"), executor(1, "tcp://127.0.0.1:9"):
        pass


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ToolError) as caught, executor(1, "tcp://somewhere:8786"):
        pass
    assert "tinyir[tune]" in caught.value.help
