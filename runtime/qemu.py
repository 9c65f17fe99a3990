"""The cross-check of the emulator: a program on QEMU's mps2-an500 board, where qemu-system-arm is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyir.diagnostics import ToolError
from tinyir.runtime.image import build_image
from tinyir.runtime.program import Array, Inputs, ProgramInfo, RunResult
from tinyir.runtime.toolchain import CrossCompiler
from tinyir.target import get_target

BOARD = "mps2-an500"
_QEMU = "qemu-system-arm"
_INPUTS, _OUTPUTS = "tinyir_inputs.bin", "tinyir_outputs.bin"  # as in semihost.c


def has_qemu() -> bool:
    """True when qemu-system-arm is on PATH."""
    return shutil.which(_QEMU) is not None


def build_referee_elf(
    folder: Path | str, out: Path | str, compiler: CrossCompiler | None = None, opt: str = "-O3", *, step: bool = False
) -> Path:
    """Link the program for mps2-an500 with semihosting and markers around one run, for QEMU and for `m7prof`.

    Without a file of inputs in the current directory it runs once, on a fixed pattern of bytes. The run is called
    from `tinyir_bench`, whose own instructions lie between `bench_begin` and `bench_end` too. With `step` the run is a
    step of training.
    """
    info, out = ProgramInfo.load(folder), Path(out)
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        compiler = compiler or CrossCompiler.detect()
        built = build_image(info, get_target(BOARD), compiler, Path(scratch), opt=opt, semihosting=True, step=step)
        out.write_bytes(built.read_bytes())
    return out


class QemuProgram:
    """A program on QEMU's board. Each batch of inputs is one process of QEMU."""

    def __init__(self, info: ProgramInfo, image: bytes) -> None:
        self.info = info
        self._image = image

    @staticmethod
    def build(folder: Path | str, compiler: CrossCompiler | None = None, opt: str = "-O3") -> QemuProgram:
        """Compile and link the program in `folder`. Raises what `ProgramInfo.load` and `build_image` raise."""
        with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
            elf = build_referee_elf(folder, Path(scratch) / "program.elf", compiler, opt)
            return QemuProgram(ProgramInfo.load(folder), elf.read_bytes())

    def run(self, batch: Sequence[Inputs], *, timeout_s: float = 600.0) -> list[RunResult]:
        """Run the program once for each element of `batch`; outputs and statuses, no counts.

        Raises ToolError when QEMU is missing, the program takes a fault or the batch takes longer than `timeout_s`.
        """
        data = b"".join(value.tobytes() for inputs in batch for value in self.info.bind(inputs))
        found = run_on_files(self._image, data, timeout_s)
        stride = 4 + sum(tensor.bytes for tensor in self.info.outputs)
        if len(found) != stride * len(batch):
            raise ToolError(f"{_QEMU} gave {len(found)} bytes of results, not {stride * len(batch)}")
        return [self._result(found[at : at + stride]) for at in range(0, len(found), stride)]

    def _result(self, record: bytes) -> RunResult:
        outputs, at = [], 4
        for tensor in self.info.outputs:
            outputs.append(np.frombuffer(record[at : at + tensor.bytes], tensor.dtype).reshape(tensor.shape))
            at += tensor.bytes
        return RunResult(outputs, int.from_bytes(record[:4], "little", signed=True))


def step_on_qemu(
    folder: Path | str, example: Sequence[Array], compiler: CrossCompiler | None = None, opt: str = "-O3"
) -> tuple[int, bytes]:
    """A step of training from the first parameters on, with STEP_LABEL and STEP_RATE; its status, and the parameters
    after it as NAME_params holds them. `example` is what the step takes by address. Raises what QemuProgram raises."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        image = build_referee_elf(folder, Path(scratch) / "program.elf", compiler, opt, step=True).read_bytes()
    found = run_on_files(image, b"".join(array.tobytes() for array in example))
    return int.from_bytes(found[:4], "little", signed=True), found[4:]


def run_on_files(image: bytes, data: bytes, timeout_s: float = 600.0) -> bytes:
    """What a program with semihosting writes for a file of inputs. Raises ToolError."""
    with tempfile.TemporaryDirectory(prefix="tinyir-") as scratch:
        folder = Path(scratch)
        (folder / "program.elf").write_bytes(image)
        (folder / _INPUTS).write_bytes(data)
        _run_qemu(folder, timeout_s)
        return (folder / _OUTPUTS).read_bytes()


def _run_qemu(folder: Path, timeout_s: float) -> None:
    path = shutil.which(_QEMU)
    if path is None:
        raise ToolError(
            f"{_QEMU} was not found", help="install it, or run on the emulator, which needs no more than PyPI"
        )
    command = [path, "-M", BOARD, "-cpu", "cortex-m7", "-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", "program.elf"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{_QEMU} was still running after {timeout_s:g} s") from error
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ToolError(f"{_QEMU} ended with status {done.returncode}", notes=said[:12])
