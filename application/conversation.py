"""The server's side of a connection: bytes that came in, bytes to send out, and all between.

Rule: every request has one reply, in order; clients take turns, of about `TURN_BYTES` of replies or
`TURN_SECONDS`; a bug in a command ends nothing but that command. The policies that all protocols
share are here, once, and no protocol's spelling.
"""

from __future__ import annotations

import logging
from typing import Any, FrozenSet, Generator, Iterator, List, Optional

from application.admission import Gate, LongRequests
from application.commands import PLAIN, Auth, Command, Results, name_of
from application.limits import Limits
from application.password import Password
from application.ports import (
    Closing,
    Encoded,
    Executor,
    Link,
    Protocols,
    Request,
    Settled,
    Wants,
)
from application.stats import Report, ServerStats
from domain.errors import (
    BadRequest,
    Internal,
    InvalidPassword,
    KvError,
    LoginRequired,
    TimedOut,
    TooLarge,
    TooManyClients,
    Unauthenticated,
)

log = logging.getLogger(__name__)

TURN_BYTES = 64 * 1024
"""Replies after which a turn ends, so that one client's pipeline neither holds the others up nor
fills the memory."""

TURN_SECONDS = 0.001
"""Time after which a turn ends. The clock is read where a command may have taken long."""

LONG_BYTES, LONG_KEYS = 256 * 1024, 4000
"""Bytes of a request or of its reply, and keys of a request, above which it has turns of its own,
as one that touches the whole keyspace always has."""

_LOGIN = -1
"""The number of the request that everything is up to the right password, for its time-out."""

_BEGUN = object()
"""Stands for the outcome of a request that goes on in further turns, or has ended everything."""

Work = Generator[Optional[bytes], None, None]
"""A request that takes several turns: what to send in each of them, None for nothing yet."""


class Service:
    """What all conversations of a server share."""

    def __init__(
        self,
        executor: Executor,
        protocols: Protocols,
        limits: Limits,
        stats: ServerStats,
        long_requests: LongRequests,
        password: Optional[Password] = None,
    ) -> None:
        self.executor = executor
        self.protocols = protocols
        self.limits = limits
        self.stats = stats
        self.long_requests = long_requests
        self.password = password
        # A request of up to this many bytes can name neither too long a key nor too many keys.
        harmless = min(limits.max_key_bytes, len('"",') * limits.max_keys_per_request)
        self.harmless_bytes = min(harmless, limits.max_request_bytes)


class Conversation:
    """One client's conversation with an executor; see `ports.Conversation`."""

    def __init__(self, service: Service, link: Link, executor: Optional[Executor] = None) -> None:
        self._service = service
        self._executor = executor or service.executor
        self._execute = self._executor.execute
        self._counts = service.stats.commands
        self._link = link
        self._small = 0
        """Bytes of a request that needs no closer look, once the client may send one."""
        self._first: Optional[bytes] = b""
        self._codec = service.protocols.default()
        self._gate = Gate(service.password, link.name) if service.password else None
        self._requests: List[Request] = []
        self._work: Optional[Work] = None
        self._final: Optional[KvError] = None
        self._deadline = 0.0
        self._buffered = 0
        self.wants = Wants.INPUT
        self._is_admitted = service.stats.admit()
        if not self._is_admitted:
            limit = service.limits.max_clients
            self._end(TooManyClients(f"max number of clients reached ({limit}, max_clients)"))

    @property
    def partial_request_id(self) -> int:
        if self._gate or self._first:
            return _LOGIN
        return self._codec.partial_request_id if self.wants is Wants.INPUT else 0

    def receive(self, data: bytes) -> bytes:
        if len(data) <= self._small:
            request = self._codec.decode_one(data)
            if request is None:
                self._requests = self._codec.decode(data)
            elif type(request) in PLAIN:
                return self._answer_one(request)
            else:
                self._requests = [request]
        elif self._small:
            self._requests = self._codec.decode(data)
        else:
            return self._receive_early(data)
        return self.advance()

    def advance(self) -> bytes:
        output = b"" if self._final else self._take_turn()
        if self._final:
            output += self._finish(self._final)
        if self._codec.buffered != self._buffered:
            self._link.account.change(self._codec.buffered - self._buffered)
            self._buffered = self._codec.buffered
        return output

    def time_out(self) -> None:
        limit = self._service.limits.request_timeout
        self._end(TimedOut(f"a request may take {limit:g} s to arrive (request_timeout)"))

    def abort(self, reason: str) -> None:
        self._service.stats.killed += 1
        log.warning("killed a client", extra={"client": self._link.name, "why": reason})

    def close(self) -> None:
        if self._work:
            self._work.close()
            self._work = None
        self._requests = []
        self._codec.close()
        self._service.stats.connected -= self._is_admitted
        self._is_admitted = False

    def _answer_one(self, request: Command[Any]) -> bytes:
        """The shortest way for the usual request, which came alone."""
        try:
            outcome = self._execute(request)
            self._counts[type(request)] += 1
        except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is answered too
            outcome = self._refused(request, error)
            self.wants = Wants.TURN
        if outcome is False:  # a condition did not hold, for which a document may have been opened
            self.wants = Wants.TURN
        return self._codec.encode_one(request, outcome)

    # From the first bytes to the right password.

    def _receive_early(self, data: bytes) -> bytes:
        """What is beyond the bound is read only if the password comes before it."""
        gate = self._gate
        beyond = b""
        if gate:
            data, beyond = gate.admit(data)
        if self._first is not None:
            data = self._detect(self._first + data)
        self._requests = self._codec.decode(data)
        output = self.advance()
        if self._gate is None and self._first is None:
            self._small = self._service.harmless_bytes
            if beyond and self.wants is not Wants.END:
                self._requests += self._codec.decode(beyond)
                self.wants = Wants.TURN
        elif beyond and self.wants is not Wants.END:
            self._end(Unauthenticated(f"{Gate.bounds} reached"))
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
        self._codec, self._first = codec, None
        return first

    def _answer_unauthenticated(self, gate: Gate) -> bytes:
        """Reads on until the password is right, or the client has been told enough."""
        output = b""
        self.wants = Wants.INPUT
        for request in self._all_requests():
            outcome = self._execute_unauthenticated(gate, request)
            if outcome is _BEGUN:
                break
            reply = self._codec.encode_one(request, outcome)
            if self._gate is None:
                return output + reply + self._answer()
            if not gate.may_say(reply):
                self._end(Unauthenticated(f"{gate.bounds} reached"))
                break
            output += reply
        return output

    def _all_requests(self) -> Iterator[Request]:
        while self._requests or self._codec.has_more:
            self._requests = self._requests or self._codec.decode(b"")
            if self._requests:
                yield self._requests.pop(0)

    def _execute_unauthenticated(self, gate: Gate, request: Request) -> object:
        try:
            if isinstance(request, Settled):
                return self._settle(request)
            if not isinstance(request, Auth):
                raise LoginRequired("AUTH with the password comes first")
            delay = gate.delay()
            if delay is None:
                return self._end(Unauthenticated("too many attempts wait; try again later"))
            if delay:
                return self._park(request, delay)
            return self._log_in(gate, request)
        except Exception as error:  # noqa: BLE001 - the outermost edge, here too
            return self._refused(request, error)

    def _park(self, request: Request, seconds: float) -> object:
        """Has a request wait, and all that comes after it."""
        self._requests.insert(0, request)
        self._link.wake_after(seconds)
        self.wants = Wants.WAKE
        return _BEGUN

    def _log_in(self, gate: Gate, request: Auth) -> object:
        if not gate.opens(request.password):
            log.warning("a wrong password", extra={"client": self._link.name})
            raise InvalidPassword("invalid password")
        self._gate = None
        outcome = self._execute(request)
        self._counts[Auth] += 1
        return outcome

    # One turn.

    def _take_turn(self) -> bytes:
        output = self._continue() if self._work else None
        if output is not None:
            return output
        return self._answer_unauthenticated(self._gate) if self._gate else self._answer()

    def _answer(self) -> bytes:
        """Executes requests until the turn is over or none is left; returns their replies."""
        codec = self._codec
        requests: List[Request] = []
        outcomes: List[object] = []
        self._deadline = 0.0
        self.wants = Wants.INPUT
        size = self._execute_window(requests, outcomes, 0)
        while codec.has_more and self.wants is Wants.INPUT:
            if self._is_late():
                self.wants = Wants.TURN
                break
            self._requests = codec.decode(b"")
            size = self._execute_window(requests, outcomes, size)
        return codec.encode(requests, outcomes)

    def _execute_window(self, requests: List[Request], outcomes: List[object], size: int) -> int:
        """Executes what was decoded, adding it to `requests` and what came of it to `outcomes`.
        `size` is about how many bytes the replies have, before and after. It wants a `TURN` when
        it stops before the end, or took long."""
        window, self._requests = self._requests, []
        plain = self._plain_kinds()
        run = self._execute_run(window, plain) if len(window) > 1 else None
        if run:
            if size + run.size <= TURN_BYTES:
                requests += window
                outcomes += run.results
                return size + run.size
            window = [Settled(request.id, result) for request, result in zip(window, run.results)]
        for index, request in enumerate(window):
            kind = type(request)
            try:
                if kind in plain:
                    outcome = self._execute(request)  # type: ignore[arg-type]  # a command
                    self._counts[kind] += 1
                else:
                    outcome = self._execute_special(request)
            except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is answered too
                outcome = self._refused(request, error)
            if outcome is not _BEGUN:
                requests.append(request)
                outcomes.append(outcome)
                if isinstance(outcome, bytes):
                    size += len(outcome)
                is_cheap = outcome is True or type(outcome) is bytes
                if size <= TURN_BYTES and (is_cheap or not self._is_late()):
                    continue
            self.wants = Wants.TURN
            if not self._final:
                self._requests = window[index + 1 :]
            break
        return size

    def _execute_run(self, window: List[Request], plain: FrozenSet[type]) -> Optional[Results]:
        """Executes requests of one kind at once; None when they are to be executed one by one."""
        kinds = set(map(type, window))
        if len(kinds) > 1 or not kinds <= plain:
            return None
        try:
            run = self._executor.execute_run(window)  # type: ignore[arg-type]  # commands
        except Exception:  # noqa: BLE001 - each of them is refused by itself
            return None
        if run:
            self._counts[kinds.pop()] += len(window)
        return run

    def _plain_kinds(self) -> FrozenSet[type]:
        """The commands that need no closer look."""
        return PLAIN if self._codec.longest <= self._service.harmless_bytes else frozenset()

    def _is_late(self) -> bool:
        """Whether the turn has taken long enough; asked first, its time begins."""
        now = self._service.stats.clock()
        if self._deadline:
            return now > self._deadline
        self._deadline = now + TURN_SECONDS
        return False

    def _execute_special(self, request: Request) -> object:
        """Executes what needs a closer look; `_BEGUN` when it goes on in turns of its own."""
        if isinstance(request, Settled):
            return self._settle(request)
        self._is_late()
        if self._is_long(request):
            return self._start_long_request(self._execute_in_steps(request))
        result = self._execute(request)
        if _texts_size(result) > LONG_BYTES:
            return self._start_long_request(self._stream(request, result))
        return Encoded(self._encode(request, result))

    def _settle(self, request: Settled) -> object:
        if isinstance(request.outcome, KvError):
            if request.is_fatal:
                return self._end(request.outcome)
            raise request.outcome
        return request.outcome

    def _is_long(self, command: Command[Any]) -> bool:
        """Whether a request is to have turns of its own; raises when it names too many keys, or one
        that is too long."""
        keys, limits = command.named_keys(), self._service.limits
        if len(keys) > limits.max_keys_per_request:
            most = f"at most {limits.max_keys_per_request} (max_keys_per_request)"
            raise TooLarge(f"the request names {len(keys)} keys; {most}")
        longest = 4 * max(map(len, keys), default=0)  # bytes, at most
        if longest > limits.max_key_bytes and any(
            len(key.encode()) > limits.max_key_bytes for key in keys
        ):
            raise BadRequest(f"a key is over {limits.max_key_bytes} bytes (max_key_bytes)")
        return (
            self._codec.longest > LONG_BYTES or len(keys) > LONG_KEYS or command.touches_keyspace()
        )

    def _encode(self, request: Command[Any], result: object) -> bytes:
        """The reply to a command that was carried out; raises `TooLarge`."""
        if type(result) is Report:
            self._service.stats.complete(result)
        reply = self._codec.encode([request], [result])
        self._service.stats.commands[type(request)] += 1
        return reply

    def _refused(self, request: Request, error: Exception) -> KvError:
        """The error to tell; a bug is told as such, and logged."""
        if not isinstance(error, KvError):
            what = {"client": self._link.name, "command": name_of(type(request))}  # type: ignore[arg-type]
            log.error("a command failed", exc_info=error, extra=what)
            error = Internal("a bug in the server; its log has the details")
        self._service.stats.errors[error.code] += 1
        return _detached(error)

    # Requests that take several turns.

    def _start_long_request(self, work: Work) -> object:
        self._work = work
        return _BEGUN

    def _continue(self) -> Optional[bytes]:
        """The next of a long request; None when it is over."""
        assert self._work
        self.wants = Wants.TURN
        for output in self._work:
            return output or b""
        self._work = None
        return None

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
                self._service.stats.commands[type(command)] += 1
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
        self._final = _detached(error)
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


def _texts_size(result: object) -> int:
    """The bytes of the texts in the result of a command that reads many keys."""
    return sum(map(len, result.values())) if type(result) is dict else 0


def _detached(error: KvError) -> KvError:
    """The error without what led to it: the frames there lead back to the one that keeps it, which
    is a cycle, with all that is held from there."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
