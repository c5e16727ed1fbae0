"""The server's side of a conversation that begins with a password.

Rule: until AUTH was answered with true no other command runs, no more than `MAX_HEARD` bytes are
looked at and `MAX_SAID` said, and attempts take as long as the password's rule says.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Deque, TypeVar

from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.requests import ONE_OBJECT
from adapters.protocols.json_lines.server import ServerSession
from application.commands import Auth, Command
from application.limits import Limits
from application.password import Password
from application.ports import Executor, Steps
from application.stats import ServerStats
from domain.errors import BadJson, KvError, Unauthenticated

R = TypeVar("R")
log = logging.getLogger(__name__)

MAX_HEARD, MAX_SAID = 16 * 1024, 1024
"""Bytes each way before the right password."""

_FAREWELL = 128
"""Bytes kept for the last reply."""

_TOO_MUCH = "that was too much without the password"

_COMING_IN = -1
"""The number of the request that coming in is, as a whole."""


class GuardedSession(ServerSession):
    """A `ServerSession` behind a password."""

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        figures: ServerStats,
        allowance: Allowance,
        password: Password,
        client: str = "a client",
    ) -> None:
        super().__init__(executor, limits, figures, allowance, client)
        self._password = password
        self._address = client.rpartition(":")[0]
        self._run = executor.execute
        self._execute = self._ask_first
        self._execute_in_steps = self._ask_first_in_steps
        self._run_in_steps = executor.execute_in_steps
        self._inside = False
        self._unread: Deque[bytes] = deque([b""])
        self._heard = self._said = 0
        self._rest = 0.0

    @property
    def unfinished(self) -> int:
        """Coming in counts as one request, from connecting to the right password."""
        return super().unfinished if self._inside else _COMING_IN

    @property
    def rest(self) -> float:
        """Seconds until the next attempt has its turn."""
        return self._rest if self.open else 0.0

    def receive(self, data: bytes) -> bytes:
        """Take what was read and give the first portion of replies; not while `waiting`."""
        if self._inside:
            return super().receive(data)
        first, *others = data.split(b"\n")
        self._unread[-1] += first
        self._unread.extend(others)
        return self.replies()

    def replies(self) -> bytes:
        """The next portion of replies; outside, line by line, for after each all may be allowed."""
        said = super().replies()
        return said if self._inside else said + self._knock()

    def _knock(self) -> bytes:
        said = b""
        while len(self._unread) > 1 and self._is_outside():
            if self._must_wait(self._unread[0]):
                return said
            if self._is_outside():
                said += self._look_at(self._unread.popleft() + b"\n")
        if self._inside:
            data = b"\n".join(self._unread)
            self._unread.clear()
            return said + self._answer(data)
        return said + self._look_at_half_a_line() if self._is_outside() else said

    def _look_at(self, line: bytes) -> bytes:
        self._heard += len(line)
        if self._heard > MAX_HEARD:
            return self._show_out(Unauthenticated(_TOO_MUCH))
        answer = self._answer(line) if line.strip() else b""
        self._said += len(answer)
        if self._is_outside() and self._said > MAX_SAID - _FAREWELL:
            return self._show_out(Unauthenticated(_TOO_MUCH))
        return answer

    def _look_at_half_a_line(self) -> bytes:
        begun = self._unread[-1]
        if not self._speaks_json and begun.lstrip()[:1] not in (b"", b"{"):
            return self._show_out(BadJson(ONE_OBJECT))
        if self._heard + len(begun) > MAX_HEARD:
            return self._show_out(Unauthenticated(_TOO_MUCH))
        return b""

    def _is_outside(self) -> bool:
        return self.open and not self._inside

    def _show_out(self, error: KvError) -> bytes:
        self._end(error)
        return super().replies()

    def _answer(self, data: bytes) -> bytes:
        self._unanswered = iter(self._lines.feed(data))
        return super().replies()

    def _must_wait(self, line: bytes) -> bool:
        """Whether a line, if it may be an attempt, has to wait; asked again, its turn has come."""
        if self._rest or not (b"AUTH" in line or b"\\" in line):
            self._rest = 0.0
        else:
            wait = self._password.wait(self._address)
            if wait is None:
                self._end(Unauthenticated("there were too many attempts; try again later"))
            self._rest = wait or 0.0
        self.waiting = self.waiting or self._rest > 0
        return self._rest > 0

    def _ask_first(self, command: Command[R]) -> R:
        if self._inside:
            return self._run(command)
        if not isinstance(command, Auth):
            raise Unauthenticated("AUTH with the password comes first")
        if not self._password.matches(command.password, self._address):
            log.warning("a wrong password", extra={"client": self._client})
            raise Unauthenticated("the password is not right")
        self._let_in()
        return self._run(command)  # type: ignore[return-value]  # mypy holds R to be bool here, too

    def _ask_first_in_steps(self, command: Command[R]) -> Steps[R]:
        if not self._inside:
            return self._ask_first(command)
        return (yield from self._run_in_steps(command))

    def _let_in(self) -> None:
        self._inside = True
        self._execute = self._run
