"""Values that are the bytes of others under another type."""

from __future__ import annotations

from tinyir.ir.core import Value
from tinyir.ir.opdef import Trait


def view_root(value: Value) -> Value:
    """The value whose bytes `value` is a view of."""
    op = value.defining_op
    while op is not None and op.has(Trait.VIEW):
        value = op.operands[0]
        op = value.defining_op
    return value
