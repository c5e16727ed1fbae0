"""The number of long requests at once.

Rule: a few long requests are executed at once; the others wait in the order of their arrival.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque

MAX_LONG_REQUESTS = 8
"""How many long requests are carried out at once; each holds what it has read so far."""


class LongRequests:
    """Limits how many long requests are executed at once."""

    def __init__(self, at_once: int = MAX_LONG_REQUESTS) -> None:
        self._free = at_once
        self._waiting: Deque[Ticket] = deque()

    def enter(self, wake: Callable[[], None]) -> Ticket:
        """A place in the queue; `wake` is called when it is admitted, unless it is at once."""
        ticket = Ticket(wake)
        if self._free:
            self._free -= 1
            ticket.is_admitted = True
        else:
            self._waiting.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The request is over, or its client is gone."""
        if not ticket.is_admitted:
            self._waiting.remove(ticket)
        elif self._waiting:
            admitted = self._waiting.popleft()
            admitted.is_admitted = True
            admitted.wake()
        else:
            self._free += 1


class Ticket:
    """One long request's place."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.is_admitted = False
