"""Where trials run: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from tinyir.diagnostics import ToolError

CONNECT_SECONDS = 10


@contextlib.contextmanager
def executor(jobs: int, dask: str | None) -> Iterator[Executor]:
    """An executor with `jobs` processes, or that of the Dask scheduler at the address `dask`. What has not begun when
    the block is left does not run. Raises ToolError where Dask is not installed or not there."""
    if dask is not None:
        with _dask(dask) as found:
            yield found
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise ToolError("Dask is not installed", help="pip install 'tinyir[tune]'") from None
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ToolError(f"there is no Dask scheduler at {address}: {error}") from None
    with client:
        yield client.get_executor(pure=False)
