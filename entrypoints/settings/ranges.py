"""The ranges of numbers that settings are.

Rule: each is named here alone; the command line and the library, which knows no command line, take
it from here. nan is in none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """From `lowest` to `highest`, and 0 if `zero`."""

    lowest: float
    highest: float
    zero: bool = False

    def holds(self, number: float) -> bool:
        """Whether a number is in it."""
        return self.lowest <= number <= self.highest or (self.zero and number == 0)

    def __str__(self) -> str:
        return f"{'0, or ' if self.zero else ''}from {self.lowest} to {self.highest}"


MAX_SECONDS = 2_000_000
"""23 days; the system's own time-outs end a little later."""

SECONDS = Range(0, MAX_SECONDS)
COUNT = Range(1, 2**31)
SIZE = Range(1, 2**50)
PORT = Range(1, 65535)
