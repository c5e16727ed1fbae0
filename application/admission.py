"""Admission: authentication of connections, and the number of long requests at once.

Rule: before the correct password a conversation executes AUTH alone, within small bounds of input
and output, and attempts are delayed as the password's rule demands. A few long requests are
executed at once; the others wait in the order of their arrival.
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
    """The gate between an unauthenticated client and the commands. `client` is its address and
    port."""

    bounds = f"unauthenticated input limit ({MAX_UNAUTHENTICATED_INPUT // 1024} KiB)"

    def __init__(self, password: Password, client: str) -> None:
        self._password = password
        self._address = client.rpartition(":")[0]
        self._input_room = MAX_UNAUTHENTICATED_INPUT
        self._output_room = MAX_UNAUTHENTICATED_OUTPUT - _FINAL_REPLY
        self._is_due = False

    def admit(self, data: bytes) -> Tuple[bytes, bytes]:
        """Splits input into the part that may be read and the part beyond the bound."""
        within, beyond = data[: self._input_room], data[self._input_room :]
        self._input_room -= len(within)
        return within, beyond

    def may_say(self, reply: bytes) -> bool:
        """Whether a reply is within the bound, with room for a last one."""
        self._output_room -= len(reply)
        return self._output_room >= 0

    def delay(self) -> Optional[float]:
        """Seconds until one more attempt is due, and 0 when called again then; None when too many
        wait."""
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
