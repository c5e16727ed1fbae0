"""Admission: authentication of connections, the number of long requests at once, and pauses.

Rule: before the correct password a conversation executes AUTH alone, within small bounds of input
and output, and attempts are delayed as the password's rule demands. A few long requests are
executed at once; the others wait in the order of their arrival. While the server is paused no
command but AUTH is executed, or none that may write; what has begun goes on.
"""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from typing import Any, Callable, Deque, Set, Tuple

from application.commands import PLAIN, Auth, Command
from application.password import Password
from domain.errors import InvalidPassword, LoginRequired

log = logging.getLogger(__name__)

MAX_UNAUTHENTICATED_INPUT, MAX_UNAUTHENTICATED_OUTPUT = 16 * 1024, 1024
"""Bytes each way before the right password."""

MAX_PASSWORD_BYTES = 2048
"""As JSON, where each byte may take six, it is within the bounds."""

MAX_LONG_REQUESTS = 8
"""How many long requests are carried out at once; each holds what it has read so far."""


class Gate:
    """The gate between an unauthenticated client and the commands. `client` is its address and
    port."""

    bounds = (
        f"unauthenticated limit ({MAX_UNAUTHENTICATED_INPUT // 1024} KiB of input, "
        f"{MAX_UNAUTHENTICATED_OUTPUT // 1024} KiB of output)"
    )

    def __init__(self, password: Password, client: str) -> None:
        self._password = password
        self._client = client
        self._input_room = MAX_UNAUTHENTICATED_INPUT
        self._output_room = MAX_UNAUTHENTICATED_OUTPUT - _FINAL_REPLY
        self._is_due = self._is_open = False

    def admit(self, data: bytes) -> Tuple[bytes, bytes]:
        """Splits input into the part that may be read and the part beyond the bound."""
        if self._is_open:
            return data, b""
        within, beyond = data[: self._input_room], data[self._input_room :]
        self._input_room -= len(within)
        return within, beyond

    def may_say(self, reply: bytes) -> bool:
        """Whether a reply is within the bound, with room for a last one."""
        self._output_room -= len(reply)
        return self._output_room >= 0

    def delay(self, request: object) -> float:
        """Seconds until a request may be made, and then once more the same question; 0 for now,
        infinity when too many attempts wait. Raises the `KvError` that refuses the request."""
        if not isinstance(request, Auth):
            if self._is_open:
                return 0.0
            raise LoginRequired("AUTH with the password comes first")
        address = self._client.rpartition(":")[0]
        delay = 0.0 if self._is_due else self._password.wait(address)
        self._is_due = bool(delay)
        if delay is None:
            return inf
        if not delay:
            if not self._password.matches(request.password, address):
                log.warning("a wrong password", extra={"client": self._client})
                raise InvalidPassword("invalid password")
            self._is_open = True
        return delay


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


class Pause:
    """The time in which no command is executed, or none that may write. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = 0.0
        self._writes_only = False
        self._wakes: Set[Callable[[], None]] = set()
        self.plain: Set[type] = set(PLAIN)
        """The commands that are executed without a closer look, which would be one at the pause:
        empty as long as there is one."""

    def begin(self, seconds: float, writes_only: bool) -> None:
        """Pauses for some time. What a pause that is not over holds, and for how long, is not made
        less by another."""
        now = self._clock()
        is_paused = self._end > now
        self._writes_only = writes_only and (self._writes_only or not is_paused)
        self._end = max(self._end, now + seconds)
        self.plain.clear()

    def end(self) -> None:
        """Ends the pause, and wakes those that wait for it."""
        self._end = 0.0
        self.plain.update(PLAIN)
        wakes, self._wakes = self._wakes, set()
        for wake in wakes:
            wake()

    def delay(self, command: Command[Any], wake: Callable[[], None]) -> float:
        """Seconds until a command may be executed, at the most: `wake` is called when that is
        sooner; 0 for now."""
        if self.plain:
            return 0.0
        left = self._end - self._clock()
        if left <= 0:
            self.end()
        elif (command.may_write() or not self._writes_only) and not isinstance(command, Auth):
            self._wakes.add(wake)
            return left
        return 0.0

    def forget(self, wake: Callable[[], None]) -> None:
        """What `wake` would have woken is gone."""
        self._wakes.discard(wake)
