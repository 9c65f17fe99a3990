"""What the compiler knows of the machines it compiles for: memories, clock, instruction set, compiler flags.

Targets are data. A new board is one more entry in `TARGETS`; the linker script, the emulator's memory map and the
limits on RAM and flash all follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tinyir.diagnostics import UsageError, did_you_mean

MemoryKind = Literal["flash", "ram", "itcm"]
CompilerKind = Literal["gcc", "zig"]

KIB = 1024
MIB = 1024 * KIB

# TINYIR_FPV5: compilers do not tell sources which of two single-precision FPUs they compile for.
_M7_GCC = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-DTINYIR_FPV5")
# Without `+fp_armv8d16sp` clang assumes no FPU; `+fp_armv8d16` would emit double-precision instructions, which the
# single-precision FPUs of most parts do not have.
_M7_ZIG = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp", "-DTINYIR_FPV5")


@dataclass(frozen=True)
class Memory:
    """A range of addresses: `[origin, origin + length)`, in bytes."""

    name: str
    origin: int
    length: int
    kind: MemoryKind

    @property
    def end(self) -> int:
        """The first address past the memory."""
        return self.origin + self.length


@dataclass(frozen=True)
class Target:
    """One machine that tinyir compiles for.

    `simd` says that the core has the DSP instructions on halfwords (SMLAD and its kin), `fpu` that it has
    single-precision floating point. The clock is in Hz; 0 where there is none to speak of.
    """

    name: str
    summary: str
    memories: tuple[Memory, ...] = ()
    clock_hz: int = 0
    simd: bool = False
    fpu: bool = False
    gcc_flags: tuple[str, ...] = ()
    zig_flags: tuple[str, ...] = ()
    qemu_machine: str | None = None

    @property
    def is_host(self) -> bool:
        """True for the machine that the compiler runs on, which has no memory map."""
        return not self.memories

    @property
    def flash(self) -> Memory:
        """Where code and constants go. Raises UsageError on the host."""
        return self._merged("flash")

    @property
    def ram(self) -> Memory:
        """Where arena and stack go: the first unbroken run of RAM. Raises UsageError on the host."""
        return self._merged("ram")

    def flags(self, compiler: CompilerKind) -> tuple[str, ...]:
        """The flags that make `compiler` generate code for this core."""
        return self.gcc_flags if compiler == "gcc" else self.zig_flags

    def _merged(self, kind: MemoryKind) -> Memory:
        parts = sorted((m for m in self.memories if m.kind == kind), key=lambda m: m.origin)
        if not parts:
            raise UsageError(f"target `{self.name}` has no {kind}", help="`tinyir targets` lists those that have")
        end = parts[0].end
        for part in parts[1:]:
            if part.origin == end:
                end = part.end
        return Memory(kind.upper(), parts[0].origin, end - parts[0].origin, kind)


def _cortex_m7(
    name: str, summary: str, memories: tuple[Memory, ...], clock_hz: int, qemu_machine: str | None = None
) -> Target:
    return Target(name, summary, memories, clock_hz, True, True, _M7_GCC, _M7_ZIG, qemu_machine)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        _cortex_m7(
            "cortex-m7",
            "any Cortex-M7 with an FPU; 4 MB of flash, 4 MB of RAM",
            (Memory("flash", 0x0800_0000, 4 * MIB, "flash"), Memory("ram", 0x2000_0000, 4 * MIB, "ram")),
            clock_hz=216_000_000,
        ),
        _cortex_m7(
            "stm32f746g-disco",
            "STM32F746G-DISCO: 1 MB of flash, 320 KB of RAM, 216 MHz",
            (
                Memory("itcm", 0x0000_0000, 16 * KIB, "itcm"),
                Memory("flash", 0x0800_0000, 1 * MIB, "flash"),
                Memory("dtcm", 0x2000_0000, 64 * KIB, "ram"),
                Memory("sram1", 0x2001_0000, 240 * KIB, "ram"),
                Memory("sram2", 0x2004_C000, 16 * KIB, "ram"),
            ),
            clock_hz=216_000_000,
        ),
        _cortex_m7(
            "mps2-an500",
            "QEMU's MPS2 board with a Cortex-M7: 4 MB of code memory at 0, 4 MB of RAM",
            (Memory("code", 0x0000_0000, 4 * MIB, "flash"), Memory("ram", 0x2000_0000, 4 * MIB, "ram")),
            clock_hz=25_000_000,
            qemu_machine="mps2-an500",
        ),
        Target("host", "this machine, through its C compiler"),
    )
}


def get_target(name: str) -> Target:
    """The target called `name`. Raises UsageError, with the closest known name, when there is none."""
    target = TARGETS.get(name)
    if target is None:
        hint = did_you_mean(name, TARGETS) or f"known targets: {', '.join(TARGETS)}"
        raise UsageError(f"unknown target `{name}`", help=hint)
    return target
