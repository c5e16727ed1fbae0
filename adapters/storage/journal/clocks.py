"""The two clocks of a journal: deadlines are by the store's, and in the files by the one of the
wall, which goes on while nothing runs."""

from __future__ import annotations

from typing import Callable, NamedTuple


class Clocks(NamedTuple):
    """Both return seconds, `wall` those since 1970."""

    store: Callable[[], float]
    wall: Callable[[], float]

    def offset(self) -> float:
        """What makes a time of the store's one since 1970."""
        return self.wall() - self.store()
