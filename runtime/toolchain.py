"""Compilers: one for the Cortex-M7, one for this machine. GNU's where installed, else zig's from PyPI."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tinyir.diagnostics import ToolError, UsageError
from tinyir.target import CompilerKind, Target

HERE = Path(__file__).parent
"""The C files, headers and linker scripts of the runtime."""

INSTALL_HELP = "pip install 'tinyir[m7]' brings a cross compiler and an emulator; arm-none-eabi-gcc on PATH works too"
OPT_LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
TIMEOUT_S = 600.0

# No contraction: a fused multiply-add rounds once where the reference rounds twice.
_COMMON = ("-std=c11", "-g0", "-ffp-contract=off", "-fno-math-errno", "-ffunction-sections", "-fdata-sections")
# GCC would fold kernels of equal code into one symbol, by whose address ops are told apart.
_GCC = ("-fno-ipa-icf",)
_ZIG = (
    "-ffreestanding",
    "-fno-sanitize=all",
    "-fomit-frame-pointer",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)


@dataclass(frozen=True)
class CompileOptions:
    """How to compile C. `opt` is one of OPT_LEVELS; `defines` are `NAME` or `NAME=VALUE`."""

    opt: str = "-O3"
    include_dirs: tuple[Path, ...] = ()
    defines: tuple[str, ...] = ()
    warnings: bool = False

    def flags(self) -> list[str]:
        """The command-line flags. Raises UsageError for an unknown optimisation level."""
        if self.opt not in OPT_LEVELS:
            raise UsageError(f"unknown optimisation level `{self.opt}`", help=f"one of {' '.join(OPT_LEVELS)}")
        return [
            self.opt,
            *(f"-I{folder}" for folder in self.include_dirs),
            *(f"-D{define}" for define in self.defines),
            *(WARNINGS if self.warnings else ()),
        ]


@dataclass(frozen=True)
class CrossCompiler:
    """A C compiler for bare-metal Arm: GCC or zig."""

    kind: CompilerKind
    command: tuple[str, ...]

    @staticmethod
    def detect(prefer: CompilerKind | None = None) -> CrossCompiler:
        """The compiler `prefer`, or the first one present. Raises ToolError, with what to install, without one."""
        if prefer not in (None, "gcc", "zig"):
            raise UsageError(f"unknown compiler `{prefer}`", help="gcc or zig")
        gcc = shutil.which("arm-none-eabi-gcc")
        if gcc and prefer != "zig":
            return CrossCompiler("gcc", (gcc,))
        if has_zig() and prefer != "gcc":
            return CrossCompiler("zig", ZIG_CC)
        wanted = {"gcc": "arm-none-eabi-gcc", "zig": "the Python package ziglang"}.get(prefer or "", "a cross compiler")
        raise ToolError(f"{wanted} was not found", help=INSTALL_HELP)

    @functools.cached_property
    def version(self) -> str:
        """One line that names compiler and version."""
        return _version(self.command)

    def compile(self, source: Path, out: Path, target: Target, options: CompileOptions | None = None) -> Path:
        """Compile one C file to the object file `out`. Raises ToolError with the compiler's message."""
        options = options or CompileOptions()
        flags = [*_COMMON, *(_GCC if self.kind == "gcc" else _ZIG), *target.flags(self.kind), *options.flags()]
        run_tool([*self.command, *flags, "-c", str(source), "-o", str(out)], f"compiling {source.name}")
        return out

    def compile_all(
        self, sources: Sequence[Path], folder: Path, target: Target, options: CompileOptions | None = None
    ) -> list[Path]:
        """Compile C files side by side into `folder`; the object files, in order."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(self.compile, s, folder / f"{s.stem}.o", target, options) for s in sources]
            return [job.result() for job in jobs]

    def link(self, objects: Sequence[Path], script: Path, out: Path, target: Target, keep: Sequence[str] = ()) -> Path:
        """Link to `out`; the linker script may INCLUDE files that lie beside `out`. Raises ToolError on failure."""
        flags = [*target.flags(self.kind), "-nostartfiles", "-Wl,--gc-sections", "-Wl,-e,Reset_Handler"]
        flags += [f"-Wl,-u,{symbol}" for symbol in keep]
        names = [str(item.resolve()) for item in objects]
        libraries = ["-lm", "-lc", "-lgcc"] if self.kind == "gcc" else []
        command = [*self.command, *flags, f"-Wl,-T,{script}", *names, *libraries, "-o", str(out.resolve())]
        run_tool(command, f"linking {out.name}", cwd=out.parent)  # zig drops -L, so INCLUDE searches only here
        return out


@dataclass(frozen=True)
class HostCompiler:
    """A C compiler for this machine."""

    command: tuple[str, ...]

    @staticmethod
    def detect() -> HostCompiler:
        """$CC, cc, gcc, clang or zig, the first one present. Raises ToolError without one."""
        for command in (shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]):
            path = shutil.which(command[0]) if command else None
            if path:
                return HostCompiler((path, *command[1:]))
        if has_zig():
            return HostCompiler(ZIG_CC)
        raise ToolError(
            "no C compiler was found on this machine",
            help="install gcc or clang, or: pip install 'tinyir[m7]', which brings one",
        )

    @functools.cached_property
    def version(self) -> str:
        """One line that names compiler and version."""
        return _version(self.command)

    def shared_library(
        self, sources: Sequence[Path], out: Path, options: CompileOptions | None = None, prelude: Path | None = None
    ) -> Path:
        """Build a shared library; `prelude` is a header included before each source."""
        options = options or CompileOptions(opt="-O2")
        flags = [*_COMMON, *options.flags(), "-shared", "-fPIC"]
        if self.command == ZIG_CC:
            flags += ["-fno-sanitize=all"]
        if prelude:
            flags += ["-include", str(prelude)]
        run_tool([*self.command, *flags, *map(str, sources), "-lm", "-o", str(out)], f"building {out.name}")
        return out


ZIG_CC = (sys.executable, "-m", "ziglang", "cc")


def has_zig() -> bool:
    """True when the Python package ziglang is installed."""
    return importlib.util.find_spec("ziglang") is not None


def cache_dir() -> Path:
    """A folder for files worth keeping between runs; one that goes at exit where the user's cache cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "tinyir"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return Path(_temporary_cache().name)


@functools.cache
def _temporary_cache() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tinyir-cache-")


def run_tool(command: Sequence[str], what: str, cwd: Path | None = None) -> str:
    """Run a program and give its output. Raises ToolError, with what it said, when it fails or hangs."""
    env = dict(os.environ)
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        env.setdefault(name, str(cache_dir() / "zig"))
    tool = Path(command[0]).name if "ziglang" not in command else "zig"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=env,
            cwd=cwd,
            timeout=TIMEOUT_S,
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"{tool} could not be started: {error.strerror}", notes=[f"while {what}"]) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{tool} gave no result in {TIMEOUT_S:g} s", notes=[f"while {what}"]) from error
    if done.returncode != 0:
        raise ToolError(f"{tool} failed while {what}", notes=_told(done.stderr or done.stdout))
    return done.stdout


def _told(text: str, keep: int = 12) -> list[str]:
    """What a tool printed, without the lines that only echo source text, at most `keep` of them."""
    lines = [line for line in text.splitlines() if line.strip() and "|" not in line[:8]]
    return lines[:keep] + ([f"... and {len(lines) - keep} more lines"] if len(lines) > keep else [])


def _version(command: Sequence[str]) -> str:
    return run_tool([*command, "--version"], "asking for its version").splitlines()[0].strip()
