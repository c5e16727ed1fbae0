"""The server's side of a connection: bytes that came in, bytes to send out, and all between.

Rule: every request has one reply, in order; clients take turns, of about `TURN_BYTES` of replies or
`TURN_SECONDS`; a bug in a command ends nothing but that command. The policies that all protocols
share are here, once, and no protocol's spelling.
"""

from __future__ import annotations

import logging
from math import inf
from typing import AbstractSet, Any, Dict, Generator, List, Optional, Sequence, Union

from msgspec import UNSET

from application.commands import Auth, Command, name_of
from application.commands.columns import kind_of
from application.gate import Gate
from application.ports import (
    Closing,
    Codec,
    Executor,
    Link,
    Received,
    Request,
    Settled,
    Wants,
    attempt_run,
)
from application.service import LONG_BYTES, LONG_KEYS, Service
from application.turn import TURN_BYTES, Turn, bytes_of
from domain.errors import (
    Internal,
    KvError,
    TimedOut,
    TooManyClients,
    Unauthenticated,
    detached,
)
from domain.store import Entry

log = logging.getLogger(__name__)

REFUSED_AFTER = 1.0
"""Seconds for a client over the maximum to send its first bytes, so that it is refused in its own
protocol; after that it is refused in the default one."""

_NONE: AbstractSet[type] = frozenset()
"""The commands that need no closer look, of a long request."""

_LOGIN = -1
"""The number of the request that everything is up to the right password, for its time-out."""

_BEGUN = object()
"""Stands for the outcome of a request that goes on in further turns, or has ended everything."""


class _Reply(bytes):
    """Stands for the outcome of a request that has been replied to."""


Work = Generator[Optional[bytes], None, None]
"""A request that takes several turns: what to send in each of them, None for nothing yet."""


class Conversation:
    """One client's conversation with an executor; see `ports.Conversation`.

    It is early until the protocol is known and the password, if there is one, was right. A client
    over the maximum stays so: its first bytes are the last that are read.
    """

    __slots__ = (
        "_codec",
        "_counts",
        "_execute",
        "_executor",
        "_final",
        "_first",
        "_gate",
        "_is_admitted",
        "_link",
        "_plain",
        "_requests",
        "_service",
        "_turn",
        "_unread",
        "_work",
        "codec",
        "wants",
    )

    def __init__(self, service: Service, link: Link, executor: Optional[Executor] = None) -> None:
        self._service = service
        self._executor = executor or service.executor
        self._execute = self._executor.execute
        self._counts: Dict[type, int] = {}
        """How many commands of each kind were carried out, of all clients of the protocol."""
        self._plain: AbstractSet[type] = service.pause.plain
        self._link = link
        self.codec: Optional[Codec] = None
        """None while it is early."""
        self._first: Optional[bytes] = b""
        """The first bytes, while they do not tell the protocol."""
        self._codec = service.protocols.default()
        self._gate = Gate(service.password, link.name) if service.password else None
        self._unread = b""
        """What arrived and is to be decoded in the next turn, when nothing else is left."""
        self._requests: List[Request] = []
        self._turn = Turn(service.stats)
        self._work: Optional[Work] = None
        self._final: Optional[KvError] = None
        self.wants = Wants.INPUT
        self._is_admitted = service.stats.clients.admit()
        if not self._is_admitted:
            limit = service.limits.max_clients
            why = TooManyClients(f"max number of clients reached ({limit}, max_clients)")
            self._requests = [Settled(UNSET, why, is_fatal=True)]
            link.wake_after(REFUSED_AFTER)

    @property
    def partial_request_id(self) -> int:
        if self.codec is None and (self._gate or self._first or not self._is_admitted):
            return _LOGIN
        return self._codec.partial_request_id if self.wants is Wants.INPUT else 0

    @property
    def is_listening(self) -> bool:
        return self._codec.is_listening

    @property
    def may_take_long(self) -> bool:
        more = self._codec.buffered if self._codec.has_more else 0
        return bool(self._work or self._unread or more) or not all(map(_is_quick, self._requests))

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        if self.codec is None:
            return self._receive_early(data)
        request: Any
        if decoded is UNSET:
            is_short = len(data) <= self._service.quick_bytes
            request = self._codec.decode_one(data) if is_short else None
        elif len(decoded) == 1:
            request = decoded[0]
        else:
            return self._receive_requests(decoded)  # type: ignore[arg-type]  # no bytes
        if type(request) in self._plain and request.is_quick:
            try:
                outcome = self._execute(request)
            except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is answered too
                request = self._reply_to(request, error)
            else:
                request = self._reply_to(request, outcome)
            if isinstance(request, bytes):
                return request
        return self._receive_more(data, request)

    def reply(
        self, commands: Sequence[Command[Any]], outcomes: Sequence[object]
    ) -> Union[bytes, Sequence[Settled]]:
        if len(commands) == 1:
            reply = self._reply_to(commands[0], outcomes[0])
            return reply if isinstance(reply, bytes) else [reply]
        self._counts[type(commands[0])] += sum(not isinstance(each, Exception) for each in outcomes)
        if bytes_of(outcomes) > TURN_BYTES:
            return [Settled(command.id, outcome) for command, outcome in zip(commands, outcomes)]
        return self._replies(commands, [*map(self._told, commands, outcomes)])

    def _reply_to(self, command: Command[Any], outcome: object) -> Union[bytes, Settled]:
        """`reply` to a single command."""
        if isinstance(outcome, Exception):
            outcome = self._refused(command, outcome)
        else:
            self._counts[type(command)] += 1
            if type(outcome) is bytes and len(outcome) > TURN_BYTES and not self._link.has_time():
                return Settled(command.id, outcome)
        try:
            return self._codec.encode_one(command, outcome)
        except Exception as error:  # noqa: BLE001 - here, too
            return self._codec.encode_one(command, self._refused(command, error))

    def _replies(self, requests: Sequence[Request], outcomes: Sequence[object]) -> bytes:
        """The replies to requests; a result that cannot be told is refused by itself."""
        try:
            return self._codec.encode(requests, outcomes)
        except Exception:  # noqa: BLE001 - here, too
            return b"".join(map(self._reply_alone, requests, outcomes))

    def _reply_alone(self, request: Request, outcome: object) -> bytes:
        try:
            return self._codec.encode([request], [outcome])
        except Exception as error:  # noqa: BLE001 - here, too
            return self._codec.encode([request], [self._refused(request, error)])

    def advance(self) -> bytes:
        self._turn.begin()
        return self._take_turn()

    def time_out(self) -> None:
        limit = self._service.limits.request_timeout
        self._end(TimedOut(f"a request may take {limit:g} s to arrive (request_timeout)"))

    def abort(self, reason: str) -> None:
        self._service.stats.clients.killed += 1
        log.warning("killed a client", extra={"client": self._link.name, "why": reason})

    def close(self) -> None:
        if self._work:
            self._work.close()
            self._work = None
        self._unread = b""
        self._requests = []
        self._codec.close()
        self._service.pause.forget(self._link.wake)
        self._service.stats.clients.connected -= self._is_admitted
        self._is_admitted = False

    def _receive_more(self, data: bytes, request: Optional[Request]) -> bytes:
        """Takes what is not one plain command; `request` is what it was decoded to."""
        codec, service = self._codec, self._service
        if request is None and service.quick_bytes < len(data) <= service.long_bytes:
            request = codec.decode_one(data) if self._link.has_time() else None
        if isinstance(request, Command) and request.is_quick:
            return self._answer_one(request)
        if request is not None:
            return self._receive_requests([request])
        if len(data) + codec.buffered <= service.quick_bytes:
            return self._receive_requests(codec.decode(data))
        self._unread = data
        return self._begin()

    def _receive_requests(self, window: Sequence[Request]) -> bytes:
        """Takes requests that were decoded."""
        codec = self._codec
        replies = b"" if codec.has_more else self._answer_run(window)
        if replies:
            self._link.account.buffer(codec.buffered)
            return replies
        self._requests = self._requests or [*window]
        return self._begin()

    def _begin(self) -> bytes:
        """Takes a turn at once, unless it may take long: then what arrived is left for later."""
        if not self.may_take_long or self._link.has_time():
            return self.advance()
        self.wants = Wants.TURN
        self._link.account.buffer(self._codec.buffered + len(self._unread))
        return b""

    def _take_turn(self) -> bytes:
        output = self._continue() if self._work else b""
        if not (self._work or self._final):
            output += self._answer()
        if self._final and not self._work:  # a message that has begun ends before
            output += self._finish(self._final)
        self._link.account.buffer(self._codec.buffered)
        self._turn.end()
        return output

    # From the first bytes to the right password.

    def _receive_early(self, data: bytes) -> bytes:
        """What is beyond the bound is read only if the password comes before it."""
        beyond = b""
        if self._gate:
            data, beyond = self._gate.admit(data)
        if self._first is not None:
            data = self._detect(self._first + data)
        if self._is_admitted and self.codec:
            return self.receive(data)
        if self._is_admitted:
            self._requests = [*self._codec.decode(data)]
        elif self._first is not None and not self._final:
            return b""
        output = self.advance()
        if beyond and self.wants is not Wants.END:
            if self.codec is None:
                self._end(Unauthenticated(f"{Gate.bounds} reached"))
            else:
                self._requests += self._codec.decode(beyond)
                self.wants = Wants.TURN
        return output

    def _detect(self, first: bytes) -> bytes:
        """Chooses the protocol; returns what its codec is to read."""
        first = first.lstrip(b" \t\r\n")
        try:
            codec = self._service.protocols.codec_for(first) if first else None
        except KvError as error:
            self._end(error)
            return b""
        if codec is None:
            self._first = first
            return b""
        codec.open(self._link)
        self._codec, self._first = codec, None
        self._counts = self._service.stats.commands[codec.protocol]
        self.codec = None if self._gate else codec
        return first

    def _pass(self, gate: Gate, request: Request) -> bool:
        """Whether a request may be executed now; it waits otherwise, with all that comes after it.
        Raises when it may not be executed at all."""
        delay = gate.delay(request)
        if delay == inf:
            self._end(Unauthenticated("too many attempts wait; try again later"))
        elif delay:
            self._park(request, delay)
        elif isinstance(request, Auth):
            self.codec = self._codec
        return not delay

    def _park(self, request: Request, delay: float) -> None:
        """Has a request wait, with all that comes after it."""
        self._requests.insert(0, request)
        self._link.wake_after(delay)
        self.wants = Wants.WAKE

    # One turn.

    def _answer(self) -> bytes:
        """Executes requests until the turn is over or none is left; returns their replies, and then
        what was pushed to the client."""
        codec = self._codec
        self.wants = Wants.INPUT
        if self._unread:
            data, self._unread = self._unread, b""
            self._requests = [*codec.decode(data)]
        output = self._answer_some() if self._requests else b""
        while (self._requests or codec.has_more) and self._may_go_on():
            self._requests = self._requests or [*codec.decode(b"")]
            output += self._answer_some()
        return output + self._take_pushed() if codec.has_pushed and not self._work else output

    def _take_pushed(self) -> bytes:
        pushed = self._codec.take_pushed(TURN_BYTES)
        if self._codec.has_pushed:
            self.wants = Wants.TURN
        if isinstance(pushed, bytes):
            return pushed
        self._work = pushed
        return b""

    def _may_go_on(self) -> bool:
        if self.wants is Wants.INPUT and self._turn.is_over():
            self.wants = Wants.TURN
        return self.wants is Wants.INPUT

    def _answer_some(self) -> bytes:
        """Executes what was decoded. It wants no `INPUT` when it stops before the end."""
        if self.codec is None:
            return self._answer_early()
        replies = self._answer_run(self._requests)
        if replies:
            self._turn.size += len(replies)
            return replies
        window, self._requests = self._requests, []
        plain = self._plain if self._codec.longest <= self._service.harmless_bytes else _NONE
        return self._execute_all(window, plain)

    def _answer_one(self, command: Command[Any]) -> bytes:
        """Executes a quick command that came alone: it needs no turn, unless it goes on in some."""
        try:
            outcome = self._execute_special(command)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            return self._codec.encode_one(command, self._refused(command, error))
        return outcome if isinstance(outcome, _Reply) else b""

    def _answer_run(self, window: Sequence[Request]) -> bytes:
        """The shortest way for requests of one kind that need no closer look: they are executed at
        once. Returns their replies, or nothing when they are to be dealt with one by one."""
        kind = kind_of(window) if len(window) > 1 else None
        if kind not in self._plain or self._codec.longest > self._service.harmless_bytes:
            return b""
        run = attempt_run(self._executor, kind, window)  # type: ignore[arg-type]  # commands
        if run is None:
            return b""
        self._requests = []
        if run.size > TURN_BYTES or run.has_errors:
            replies = self.reply(window, run.results)  # type: ignore[arg-type]  # commands
            if isinstance(replies, bytes):
                return replies
            self._requests = [*replies]
            return b""
        self._counts[kind] += len(window)  # type: ignore[index]  # no None
        return self._replies(window, run.results)

    def _answer_early(self) -> bytes:
        """Executes one request only, since the next may be beyond what a client without the
        password may be told."""
        window, self._requests = self._requests[:1], self._requests[1:]
        reply = self._execute_all(window, _NONE)
        if self.codec:
            if self.wants is Wants.INPUT and not self._link.has_time():
                self.wants = Wants.TURN
            return reply
        if self._gate is None or self._gate.may_say(reply):
            return reply
        self._end(Unauthenticated(f"{Gate.bounds} reached"))
        return b""

    def _execute_all(self, window: List[Request], plain: AbstractSet[type]) -> bytes:
        """The replies to requests, up to one that takes turns of its own or ends the turn; those
        after it are kept for later."""
        replies: List[bytes] = []
        replied = 0
        outcomes: List[object] = []
        """Those of the requests from there on."""
        for done, request in enumerate(window, 1):
            kind = type(request)
            try:
                if kind in plain:
                    outcome = self._execute(request)  # type: ignore[arg-type]  # a command
                    self._counts[kind] += 1
                    if _is_large(outcome) and not self._link.has_time():
                        self.wants = Wants.TURN
                        self._keep([Settled(request.id, outcome), *window[done:]])
                        break
                else:
                    outcome = self._execute_special(request)
            except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is answered too
                outcome = self._refused(request, error)
            if outcome is _BEGUN:
                self._keep(window[done:])
                break
            if type(outcome) is _Reply:
                replies += self._replies(window[replied : done - 1], outcomes), outcome
                replied, outcomes = done, []
            else:
                outcomes.append(outcome)
            if self._turn.is_over_after(outcome):
                self._keep(window[done:])
                break
        replies.append(self._replies(window[replied:], outcomes))
        return b"".join(replies)

    def _keep(self, requests: List[Request]) -> None:
        """Has requests executed later, unless the conversation is over."""
        if not self._final:
            self._requests += requests

    def _told(self, request: Request, outcome: object) -> object:
        return self._refused(request, outcome) if isinstance(outcome, Exception) else outcome

    def _execute_special(self, request: Request) -> object:
        """Executes what needs a closer look; `_BEGUN` when it goes on in turns of its own."""
        if isinstance(request, Settled):
            return self._settle(request)
        if self._gate and not self._pass(self._gate, request):
            return _BEGUN
        delay = self._service.pause.delay(request, self._link.wake)
        if delay:
            self._park(request, delay)
            return _BEGUN
        is_short = self._codec.longest <= self._service.short_bytes
        if request.touches_keyspace() or (not is_short and self._is_long(request)):
            return self._start_long_request(self._execute_in_steps(request))
        result = self._execute(request)
        if _texts_size(result) > LONG_BYTES:
            return self._start_long_request(self._stream(request, result))
        return _Reply(self._encode(request, result))

    def _settle(self, request: Settled) -> object:
        outcome = request.outcome
        if request.is_fatal:
            assert isinstance(outcome, KvError)
            return self._end(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _is_long(self, command: Command[Any]) -> bool:
        """Whether a request is so long that it takes turns of its own; raises when it names too
        many keys, or one that is too long."""
        keys = command.named_keys()
        self._service.limits.check_keys(keys)
        return self._codec.longest > LONG_BYTES or len(keys) > LONG_KEYS

    def _encode(self, request: Command[Any], result: object) -> bytes:
        """The reply to a command that was carried out; raises `TooLarge`."""
        reply = self._codec.encode([request], [result])
        self._count(request)
        return reply

    def _count(self, command: Command[Any]) -> None:
        for each in command.carried_out():
            self._counts[type(each)] += 1

    def _refused(self, request: Request, error: Exception) -> KvError:
        """The error to tell; a bug is told as such, and logged."""
        if not isinstance(error, KvError):
            what = {"client": self._link.name, "command": name_of(type(request))}  # type: ignore[arg-type]
            log.error("a command failed", exc_info=error, extra=what)
            error = Internal("a bug in the server; its log has the details")
        self._service.stats.errors[error.code] += 1
        return detached(error)

    # Requests that take several turns.

    def _start_long_request(self, work: Work) -> object:
        self._work = work
        self.wants = Wants.TURN
        return _BEGUN

    def _continue(self) -> bytes:
        """The next of a long request, until it is over."""
        assert self._work
        self.wants = Wants.TURN
        for output in self._work:
            return output or b""
        self._work = None
        return b""

    def _execute_in_steps(self, command: Command[Any]) -> Work:
        service, size = self._service, self._codec.longest
        ticket = service.long_requests.enter(self._link.wake)
        self._link.account.change(size)
        try:
            while not ticket.is_admitted:
                self.wants = Wants.WAKE
                yield None
            result = yield from self._executor.execute_in_steps(command)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            yield self._codec.encode([command], [self._refused(command, error)])
            return
        finally:
            self._link.account.change(-size)
            service.long_requests.leave(ticket)
        yield None
        yield from self._stream(command, result)

    def _stream(self, command: Command[Any], result: object) -> Work:
        """A reply, a long one in pieces."""
        size = _texts_size(result)
        self._link.account.change(size)
        try:
            if size > LONG_BYTES:
                pieces = yield from self._codec.encode_in_steps(command, result)
                self._count(command)
                yield from pieces
            else:
                yield self._encode(command, result)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            yield self._codec.encode([command], [self._refused(command, error)])
        finally:
            self._link.account.change(-size)

    # The end.

    def _end(self, error: KvError) -> object:
        """Ends the conversation with `error` as the final reply; no more input is processed."""
        self._final = detached(error)
        self._requests = []
        self.wants = Wants.TURN
        return _BEGUN

    def _finish(self, error: KvError) -> bytes:
        """What is said last."""
        output = self._codec.encode_final(error)
        if not isinstance(error, Closing):
            self._service.stats.errors[error.code] += 1
            log.warning("refused a client", extra={"client": self._link.name, "why": str(error)})
        self.close()
        self.wants = Wants.END
        return output


def _is_quick(request: Request) -> bool:
    """Whether a request is soon carried out, or was, and its reply soon made."""
    if isinstance(request, Settled):
        return not _is_large(request.outcome)
    return request.is_quick


def _is_large(outcome: object) -> bool:
    """Whether the reply with the text of a value takes a turn's bytes."""
    text = outcome.text if type(outcome) is Entry else outcome
    return isinstance(text, bytes) and len(text) > TURN_BYTES


_TEXTS = frozenset((bytes, str))


def _texts_size(result: object) -> int:
    """How long the texts are in the result of a command that reads many keys, or of a BATCH."""
    if type(result) is dict:
        return sum(map(len, result.values()))
    if type(result) is list:
        return sum(len(each) if type(each) in _TEXTS else _texts_size(each) for each in result)
    return 0
