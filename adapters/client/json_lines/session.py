"""The client's side of the conversation.

Rule: replies are matched to commands by their order, and the last request of what is sent at once
has an id, which its reply has to have as well. A surplus reply, whenever it comes, or one that is
not of this protocol, raises `Unavailable`: after it no reply on that connection can be trusted, and
the caller drops the results that came before it.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from msgspec import UNSET

from adapters.client.json_lines.lines import Lines, is_one_line, refuse_foreign
from adapters.client.json_lines.marks import END, MARKS, joined
from adapters.client.json_lines.replies import ReplyReader, id_of
from adapters.client.json_lines.requests import request_lines
from application.commands import Command
from application.json_text import UNREADABLE
from domain.errors import BadJson, TimedOut, TooLarge, TooManyClients, Unauthenticated, Unavailable

WINDOW = 32 * 1024
"""How many bytes of requests may be unanswered at once. Sockets hold this much however slowly the
other side reads, so a client that sends never waits for a server that waits for it to read."""

_ROOM = WINDOW - len(MARKS[-1].end)
"""Bytes of a window for the requests, beside the id of the last."""

_CLOSING_ERRORS = (BadJson, TimedOut, TooLarge, TooManyClients, Unauthenticated)
"""Refusals after some of which a server closes the connection."""


class ClientSession:
    """One connection's conversation with a server. Results hold values as JSON texts, or, where
    there is a `from_text`, as what that returns; `is_plain` tells of a reply that it would return
    what msgspec does."""

    def __init__(
        self,
        max_reply_bytes: int,
        from_text: Optional[Callable[[bytes], Any]] = None,
        is_plain: Callable[[bytes], bool] = lambda reply: False,
    ) -> None:
        self._lines = Lines(max_reply_bytes)
        self._replies = ReplyReader(from_text or bytes, is_plain)
        self._asked: Sequence[Command[Any]] = ()
        self._marks = cycle(MARKS)
        self._mark = MARKS[0]
        """That of the last request of those in flight."""
        self.may_close = False
        """Whether the server may close the connection after what it has replied."""
        self._refused_last = False

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        return len(self._asked)

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """The request lines, in pieces of up to `WINDOW` bytes or one line; before the next piece,
        receive all replies in flight. Raises `BadRequest` when a command cannot be put in JSON."""
        requests = request_lines(commands)
        if not commands:
            return
        if len(requests) <= _ROOM:
            yield self._marked(requests, commands)
            return
        lines = [line + b"\n" for line in requests.split(b"\n")[:-1]]
        for start, end in _windows(lines):
            yield self._marked(b"".join(lines[start:end]), commands[start:end])

    def _marked(self, requests: bytes, commands: Sequence[Command[Any]]) -> bytes:
        """The requests, which are in flight now, the last of them with an id."""
        self._asked = commands
        self._mark = mark = next(self._marks)
        return requests[: -len(END)] + mark.end

    def receive_data(self, data: bytes) -> List[object]:
        """What `data` completes, in the order sent: for each command its result or a `KvError`."""
        lines = self._lines.feed(data)
        if not lines:
            refuse_foreign(self._lines.beginning)
            return []
        number = 1 if is_one_line(lines) else lines.count(b"\n")
        answered, self._asked = self._asked, ()
        if number > len(answered):
            refuse_foreign(lines)
            raise Unavailable("the server sent an unrequested reply")
        if number < len(answered):
            answered, self._asked = answered[:number], answered[number:]
        try:
            if not self._asked:
                results = self._replies.results(joined(lines, self._mark), answered)
                if results is not None:
                    return results
            outcomes = self._replies.outcomes(lines, answered)
            if not self._asked:
                self._check_id(lines, outcomes[-1])
        except UNREADABLE as error:
            refuse_foreign(lines)
            raise Unavailable(f"the reply is not of this protocol: {error}") from error
        if b'"ok":false' in lines:
            self.may_close |= any(isinstance(outcome, _CLOSING_ERRORS) for outcome in outcomes)
        if self.may_close:
            self._refused_last = isinstance(outcomes[-1], _CLOSING_ERRORS)
        return outcomes

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection: an `Unavailable`
        each where the last reply was a refusal that a server closes connections for. Otherwise it
        raises `Unavailable` for all of them."""
        if not self._refused_last:
            raise Unavailable("the server closed the connection")
        unanswered, self._asked = len(self._asked), ()
        why = "no reply: the server closed the connection when it refused a command before this one"
        return [Unavailable(why) for _ in range(unanswered)]

    def _check_id(self, lines: bytes, outcome: object) -> None:
        """Raises `Unavailable` unless the last of the lines is the reply to the last request. A
        refusal that closes the connection may lack the id: the server could not read it."""
        mark = self._mark
        start = lines.rfind(b"\n", 0, -1) + 1
        if lines.startswith(mark.begin, start):
            return
        id = id_of(lines[start:])
        if id != mark.id and (id is not UNSET or not isinstance(outcome, _CLOSING_ERRORS)):
            raise Unavailable("the server sent an unrequested reply")


def _windows(lines: Sequence[bytes]) -> Iterator[Tuple[int, int]]:
    """Where to cut `lines` so that each part has up to `WINDOW` bytes with its id, or one line."""
    start, size = 0, 0
    for end, line in enumerate(lines):
        size += len(line)
        if size > _ROOM and end > start:
            yield start, end
            start, size = end, len(line)
    yield start, len(lines)
