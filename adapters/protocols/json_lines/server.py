"""The server's side of the conversation: request lines in, reply lines out.

Rule: whatever bytes arrive, one request line gives one reply line, in order, and nothing but a
`KvError` ever explains why a request was refused.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Generator, Iterable, Iterator, List, Optional, Tuple, Type

from msgspec import UNSET

from adapters.protocols.json_lines.elements import check_elements
from adapters.protocols.json_lines.lines import Allowance, Lines
from adapters.protocols.json_lines.replies import (
    AFTER,
    BEFORE,
    TRUE,
    refusal,
    success,
    success_in_pieces,
)
from adapters.protocols.json_lines.requests import ONE_OBJECT, decode, diagnosis
from application.commands import MAY_TOUCH_KEYSPACE, Batch, Command, Id, name_of
from application.limits import Limits
from application.ports import Executor
from application.stats import Report, ServerStats
from domain.errors import (
    BadJson,
    BadRequest,
    Internal,
    KvError,
    TimedOut,
    TooLarge,
    TooManyClients,
)

log = logging.getLogger(__name__)

PORTION = 64 * 1024
"""Replies are handed out in portions of about this many bytes, so that one client's pipeline
neither holds the server for long nor fills its memory."""

STEP = 0.005
"""Seconds after which a portion ends, when commands take long."""

LONG, MANY = 256 * 1024, 4000
"""Bytes of a request, or of its reply, and keys of a request above which it has turns of its own,
as what is over all keys always has."""

Turns = Generator[Optional[bytes], None, None]
"""What a long request has to send in each of its turns; None for nothing yet."""


class ServerSession:
    """One client's conversation with an executor: bytes read go in, bytes to send come out.

    `client` is what logs call it. What all clients hold of requests that are not whole comes out of
    one `allowance`.
    """

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        figures: ServerStats,
        allowance: Allowance,
        client: str = "a client",
    ) -> None:
        self._execute = executor.execute
        self._execute_in_steps = executor.execute_in_steps
        self._limits = limits
        self._figures = figures
        self._clock = figures.clock
        self._client = client
        # A line of up to this many bytes can hold neither too long a key nor too many keys.
        self._harmless_line = min(limits.max_key_bytes, len('"",') * limits.max_keys_per_request)
        self._lines = Lines(limits.max_request_bytes, allowance)
        self._unanswered: Iterator[bytes] = iter(())
        self._long_request: Optional[Turns] = None
        self._farewell = b""
        self._speaks_json = False
        self.waiting = False
        """Whether whole requests are still unanswered: ask for `replies` before reading on."""
        self.open = True
        """Whether the conversation goes on once the replies are sent."""
        self._welcome = figures.admit()
        if not self._welcome:
            self._end(TooManyClients(f"there are {limits.max_clients} clients already"))

    @property
    def unfinished(self) -> int:
        """The number of the request that has arrived in part; 0 when there is none."""
        return self._lines.unfinished

    @property
    def rest(self) -> float:
        """Seconds that a client has to wait before `replies` are asked for; 0 for not at all."""
        return 0.0

    def receive(self, data: bytes) -> bytes:
        """Take what was read and give the first portion of replies; not while `waiting`."""
        self._unanswered = iter(self._lines.feed(data))
        return self.replies()

    def replies(self) -> bytes:
        """The next portion of replies to the requests that have arrived."""
        if self._long_request:
            for piece in self._long_request:
                return piece or b""
            self._long_request = None
        execute, harmless_line = self._execute, self._harmless_line
        replies: List[bytes] = []
        size, end = 0, 0.0
        kind, others, look_closer = None, 0, False
        for line in self._unanswered:
            command = None
            try:
                is_long = len(line) > harmless_line
                if is_long:
                    check_elements(line, self._limits)
                command = decode(line)
                if type(command) is not kind:
                    self._count(kind, len(replies) - others)
                    kind, others = type(command), len(replies)
                    look_closer = kind in MAY_TOUCH_KEYSPACE
                if (look_closer and command.touches_keyspace()) or (
                    is_long and self._is_long(line, command)
                ):
                    self._begin(self._in_turns(line, command))
                    break
                result = execute(command)
                if type(result) is bytes and command.id is UNSET:
                    reply = BEFORE + result + AFTER
                elif result is True and command.id is UNSET:
                    reply = TRUE
                else:
                    if type(result) is Report:  # it tells of the commands before it
                        self._count(kind, len(replies) - others)
                        others = len(replies)
                    if type(result) is dict and sum(map(len, result.values())) > LONG:
                        self._begin(self._tell(line, command, result))
                        break
                    reply = self._success(command, result)
                    size, end = self._charged(size, end)
            except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is answered too
                first = not (self._speaks_json or any(replies))
                reply = self._refusal(line, command, error, first)
                size, end = self._charged(size, end)
                others += 1
            replies.append(reply)
            size += len(reply)
            if size > PORTION:
                self.waiting = True
                break
        else:
            self.waiting = False
        self._count(kind, len(replies) - others)
        self._speaks_json = self._speaks_json or any(replies)
        if (self._lines.overflow or not self._speaks_json) and not self.waiting:
            self._look_at_the_rest()
        said = b"".join(replies)
        return said + self._last_words() if self._farewell else said

    def _begin(self, turns: Turns) -> None:
        self._long_request = turns
        self._speaks_json = self.waiting = True

    def _in_turns(self, line: bytes, command: Command[Any]) -> Turns:
        """Carries a command out and gives its reply, with turns of others in between."""
        try:
            result = yield from self._execute_in_steps(command)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            yield self._refusal(line, command, error, first=False)
            return
        yield None
        yield from self._tell(line, command, result)

    def _tell(self, line: bytes, command: Command[Any], result: object) -> Turns:
        """Gives a reply, a long one in pieces, with turns of others in between."""
        pieces: Iterable[bytes]
        try:
            if type(result) is dict:
                bound = self._limits.max_reply_bytes
                pieces = yield from success_in_pieces(command.id, result, bound)
            else:
                pieces = (self._success(command, result),)
            self._count(type(command), 1)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            pieces = (self._refusal(line, command, error, first=False),)
        yield from pieces

    def _charged(self, size: int, end: float) -> Tuple[int, float]:
        """The size and the end of a portion, after a command that may have taken long."""
        now = self._clock()
        return (PORTION + 1 if end and now > end else size), end or now + STEP

    def time_out(self) -> None:
        """The request that has arrived in part took too long: say so in `replies`, and end."""
        self._end(TimedOut(f"a request takes at most {self._limits.request_timeout:g} s to arrive"))

    def give_up(self, why: str) -> None:
        """The connection will be closed without another word."""
        self._figures.killed += 1
        log.warning("cut a client", extra={"client": self._client, "why": why})

    def close(self) -> None:
        """The connection is gone."""
        self._leave()

    def _leave(self) -> None:
        self._long_request = None
        self._lines.close()
        self._figures.connected -= self._welcome
        self._welcome = False

    def _is_long(self, line: bytes, command: Command[Any]) -> bool:
        """Whether a request is to have turns of its own; raises when it names too many keys, or one
        that is too long."""
        keys, limits = command.named_keys(), self._limits
        if len(keys) > limits.max_keys_per_request:
            raise TooLarge(f"{len(keys)} keys; at most {limits.max_keys_per_request} in a request")
        longest = 4 * max(map(len, keys), default=0)  # bytes, at most
        if longest > limits.max_key_bytes and any(
            len(key.encode()) > limits.max_key_bytes for key in keys
        ):
            raise BadRequest(f"a key is over {limits.max_key_bytes} bytes")
        return len(line) > LONG or len(keys) > MANY

    def _count(self, kind: Optional[Type[Command[Any]]], carried_out: int) -> None:
        if kind is not None:
            self._figures.commands[kind] += carried_out

    def _success(self, command: Command[Any], result: object) -> bytes:
        if type(result) is Report:
            self._figures.complete(result)
        ids = [each.id for each in command.commands] if isinstance(command, Batch) else ()
        return success(command.id, result, self._limits.max_reply_bytes, ids)

    def _refusal(
        self, line: bytes, command: Optional[Command[Any]], error: Exception, first: bool
    ) -> bytes:
        """The reply to a line that is no command or whose command failed; to a blank one, none."""
        if command is None:
            if not line.strip(b" \t\r"):
                return b""
            id, why = diagnosis(line, error)
            if first and isinstance(why, BadJson):
                self._end(BadJson(ONE_OBJECT))
                return b""
            return self._refused(id, why)
        if not isinstance(error, KvError):
            what = {"client": self._client, "command": name_of(type(command))}
            log.error("a command failed", exc_info=error, extra=what)
            error = Internal("a bug in the server; its log has the details")
        return self._refused(command.id, error)

    def _refused(self, id: Id, error: KvError) -> bytes:
        self._figures.errors[error.code] += 1
        return refusal(id, error)

    def _look_at_the_rest(self) -> None:
        """End if the line that has arrived in part is too long, or none of this protocol's."""
        if not self.open:
            return
        if not (self._speaks_json or self._lines.starts_with(b"{")):
            self._end(BadJson(ONE_OBJECT))
        elif self._lines.overflow:
            self._end(TooLarge(self._lines.overflow))

    def _end(self, error: KvError) -> None:
        """Say why in the last of the replies; what else has arrived is not looked at."""
        self.open = False
        self.waiting = True
        deque(self._unanswered, maxlen=0)
        self._leave()
        self._farewell = self._refused(UNSET, error)
        log.warning("refused a client", extra={"client": self._client, "why": str(error)})

    def _last_words(self) -> bytes:
        words, self._farewell = self._farewell, b""
        self.waiting = False
        return words
