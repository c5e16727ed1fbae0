"""A client's turn: how much it may spend, and what it has spent.

Rule: the clock is read where a command may have taken long, and nowhere else.
"""

from __future__ import annotations

from typing import Sequence

from application.stats import ServerStats

TURN_BYTES = 64 * 1024
"""Replies after which a turn ends, so that one client's pipeline neither holds the others up nor
fills the memory."""

TURN_SECONDS = 0.001
"""Time after which a turn ends."""


def bytes_of(outcomes: Sequence[object]) -> int:
    """About how many bytes the replies with these outcomes have."""
    return sum([len(outcome) for outcome in outcomes if type(outcome) is bytes])


class Turn:
    """What a turn has spent: `size` is about how many bytes its replies have. The next one begins
    anew."""

    __slots__ = ("_began", "_clock", "_note", "size")

    def __init__(self, stats: ServerStats) -> None:
        self._clock = stats.clock
        self._note = stats.turns.note

    def begin(self) -> None:
        """Begins now."""
        self._began = self._clock()
        self.size = 0

    def end(self) -> None:
        """Counts how long it took."""
        self._note(self._clock() - self._began)

    def is_over(self) -> bool:
        """Whether it has spent enough."""
        return self.size > TURN_BYTES or self._clock() - self._began > TURN_SECONDS

    def is_over_after(self, outcome: object) -> bool:
        """The same, once a request has an outcome; what cannot have taken long costs no look at
        the clock."""
        if isinstance(outcome, bytes):
            self.size += len(outcome)
            if type(outcome) is bytes:
                return self.size > TURN_BYTES
        return outcome is not True and self.is_over()
