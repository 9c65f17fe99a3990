"""Loop IR to C11 for the Cortex-M7; the same text runs on the host.

The folder: NAME.h (the interface), NAME.c (kernels and the entry), NAME_weights.c (constants), CMakeLists.txt,
README.md and report.json. Sizes of code and weights are filled into the report by whoever has a compiler.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyir.backends.base import Files
from tinyir.backends.cortex_m7.files import cmake_text, header_text, readme_text, report, report_text, weights_text
from tinyir.backends.cortex_m7.program import Program
from tinyir.backends.cortex_m7.source import source_text
from tinyir.ir.core import Module


@dataclass(frozen=True)
class CortexM7Backend:
    """C for a Cortex-M7, and for the host; `opt` is the level that the build file asks the C compiler for."""

    name: str = "c"
    target: str = "cortex-m7"
    opt: str = "-O3"

    def emit(self, module: Module) -> Files:
        """The program's files. Raises IRError for a module without a memory plan."""
        program = Program(module)
        source = source_text(program)
        return {
            f"{program.name}.h": header_text(program),
            f"{program.name}.c": source,
            f"{program.name}_weights.c": weights_text(program),
            "CMakeLists.txt": cmake_text(program, self.opt),
            "README.md": readme_text(program),
            "report.json": report_text(report(program, self.target)),
        }
