"""The helper functions that a program uses, cut out of the support headers in `runtime/`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

HEADERS = ("tinyir_simd.h", "tinyir_float.h", "tinyir_random.h", "tinyir_checkpoint.h")
_FUNCTION = re.compile(
    r"(?P<comment>(?:/\*(?:[^*]|\*(?!/))*\*/\n)?)"
    r"(?P<text>(?P<macro>#if defined\(TINYIR_IN_ORDER\)\n#define (?:[^\n]*\\\n)*[^\n]*\n#else\n)?"
    r"static inline [^\n]*?(?P<name>tinyir_\w+)\([^{]*\)\n\{\n.*?\n\}\n(?(macro)#endif\n))",
    re.DOTALL,
)


@cache
def helpers() -> dict[str, str]:
    """The text of every helper by name, in an order in which each stands after those it calls."""
    found = {}
    for header in HEADERS:
        text = files("tinyir.runtime").joinpath(header).read_text(encoding="utf-8")
        for match in _FUNCTION.finditer(text):
            found[match["name"]] = match["comment"] + match["text"]
    return found


def helper_text(names: Iterable[str]) -> str:
    """The definitions of the helpers `names` and of all that they call, each once."""
    known = helpers()
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            called = set(re.findall(r"\btinyir_\w+", known[name])) - {name}
            pending.extend(called & known.keys())
    return "\n".join(text for name, text in known.items() if name in wanted)


def uses_intrinsics(text: str) -> bool:
    """Whether helper text needs <arm_acle.h>."""
    return "__ARM_FEATURE_DSP" in text
