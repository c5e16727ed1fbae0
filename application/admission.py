"""Who may come in, and how many at once.

Rule: before the right password a conversation carries out AUTH alone, reads and says little, and
waits as long as the password's rule demands. Of long requests a few are carried out at once, the
others wait in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, Optional, Tuple

from application.password import Password

MAX_UNAUTHENTICATED_INPUT, MAX_UNAUTHENTICATED_OUTPUT = 16 * 1024, 1024
"""Bytes each way before the right password."""

MAX_LONG_REQUESTS = 8
"""How many long requests are carried out at once; each holds what it has read so far."""


class Gate:
    """Stands between a client that showed no password yet and the commands. `client` is its address
    and port."""

    bounds = f"unauthenticated input limit ({MAX_UNAUTHENTICATED_INPUT // 1024} KiB)"

    def __init__(self, password: Password, client: str) -> None:
        self._password = password
        self._address = client.rpartition(":")[0]
        self._input_room = MAX_UNAUTHENTICATED_INPUT
        self._output_room = MAX_UNAUTHENTICATED_OUTPUT - _FINAL_REPLY
        self._is_due = False

    def admit(self, data: bytes) -> Tuple[bytes, bytes]:
        """What of it may be read, and what is beyond the bound."""
        within, beyond = data[: self._input_room], data[self._input_room :]
        self._input_room -= len(within)
        return within, beyond

    def may_say(self, reply: bytes) -> bool:
        """Whether a reply is within the bound, with room for a last one."""
        self._output_room -= len(reply)
        return self._output_room >= 0

    def delay(self) -> Optional[float]:
        """Seconds until one more attempt has its turn, then asked again 0; None when too many wait
        already."""
        if self._is_due:
            self._is_due = False
            return 0.0
        delay = self._password.wait(self._address)
        self._is_due = bool(delay)
        return delay

    def opens(self, attempt: str) -> bool:
        """Whether the password is right."""
        return self._password.matches(attempt, self._address)


_FINAL_REPLY = 128
"""Bytes kept for it."""


class LongRequests:
    """Lets a few long requests be carried out at once."""

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
