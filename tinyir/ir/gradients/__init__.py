"""Reverse-mode rules: what each op hands back to its operands. One file for each file of `tinyir/ir/ops`.

A rule builds ordinary ops. What it reads of the forward graph (an operand, a result) is kept alive by that use alone,
so a rule that can do with the smaller of two values reads that one. A new rule is a function under
`@gradient.register` and a line in the tests' table of gradients.
"""

from tinyir.ir.gradients import activation as _activation  # noqa: F401  # these declare the rules
from tinyir.ir.gradients import contraction as _contraction  # noqa: F401
from tinyir.ir.gradients import elementwise as _elementwise  # noqa: F401
from tinyir.ir.gradients import integer as _integer  # noqa: F401
from tinyir.ir.gradients import movement as _movement  # noqa: F401
from tinyir.ir.gradients import window as _window  # noqa: F401
from tinyir.ir.gradients.rule import Backward, gradient

__all__ = ["Backward", "gradient"]
