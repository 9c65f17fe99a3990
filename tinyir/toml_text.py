"""Writing TOML; the standard library only reads it."""

from __future__ import annotations

import json


def quoted(text: str) -> str:
    """A basic string of TOML; JSON's differ in that they may hold a DEL and write what is beyond 16 bits as two."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
