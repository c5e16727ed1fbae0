"""One request and its response, in the kinds that routes have.

Rule: an exchange is fed the body as it arrives, returns requests one at a time, and is told the
outcome of each before it is asked for the next.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Protocol, Union

from msgspec import UNSET

from adapters.protocols.http.messages import Chunk, Head, Response, refusal
from application.ports import Codec, Link, Request, Settled, Steps
from application.steps import at_once
from domain.errors import KvError, TooLarge

END = Settled(UNSET, UNSET)
"""Stands for the end of an exchange that had any number of requests."""


Reply = Union[Response, Chunk, None]
"""What can be sent: a whole response, a part of one, or nothing yet."""


class Exchange(Protocol):
    """See the module."""

    def open(self, link: Link) -> None:
        """Tells the link, before anything else."""
        return

    @property
    def has_more(self) -> bool:
        """Whether `take` may find a request without being fed."""
        return False

    @property
    @abstractmethod
    def buffered(self) -> int:
        """How many bytes of the body it holds."""
        ...

    @property
    @abstractmethod
    def longest(self) -> int:
        """The bytes of the request that it returned last, at the most."""
        ...

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Takes some of the body, when it has no request to return."""
        ...

    @abstractmethod
    def finish(self) -> None:
        """The body is whole."""
        ...

    @abstractmethod
    def take(self) -> Optional[Request]:
        """The next request, if there is one in what it was fed."""
        ...

    @abstractmethod
    def respond(self, request: Request, outcome: object) -> Reply:
        """The response to a request, or what there is of it now."""
        ...

    def respond_in_steps(self, request: Request, result: object) -> Steps[Iterator[Reply]]:
        """The response to a request with one long result, in parts."""
        return at_once(iter((self.respond(request, result),)))

    def final(self, error: KvError) -> Reply:
        """What ends a response that is begun, or was asked for by the client, when the conversation
        ends."""
        return Chunk(b"", True)

    def close(self) -> None:
        """Frees what it holds."""


class Operation(NamedTuple):
    """How a request with a body, or none, becomes a command, and its result a response."""

    command: Callable[[Head, bytes], Request]
    response: Callable[[Head, Any], Response]


class Body:
    """A body that is collected, up to a bound."""

    def __init__(self, head: Head, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.data = bytearray()
        length = head.header(b"content-length")
        self._check(int(length) if length.isdigit() else 0)

    def feed(self, data: bytes) -> None:
        """Adds to it; raises `TooLarge`."""
        self._check(len(self.data) + len(data))
        self.data += data

    def take(self) -> bytes:
        """All of it, which is freed here."""
        data, self.data = bytes(self.data), bytearray()
        return data

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"a body has at most {self._max_bytes} bytes (max_request_bytes)")


class Single(Exchange):
    """A request that is one command."""

    def __init__(self, head: Head, operation: Operation, max_bytes: int) -> None:
        self._head = head
        self._operation = operation
        self._body = Body(head, max_bytes)
        self._is_whole = False
        self._longest = len(head.path) + len(head.query)

    @property
    def buffered(self) -> int:
        return len(self._body.data)

    @property
    def longest(self) -> int:
        return self._longest

    def feed(self, data: bytes) -> None:
        self._body.feed(data)

    def finish(self) -> None:
        self._is_whole = True
        self._longest += len(self._body.data)

    def take(self) -> Optional[Request]:
        if not self._is_whole:
            return None
        return self._operation.command(self._head, self._body.take())

    def respond(self, request: Request, outcome: object) -> Response:
        if isinstance(outcome, KvError):
            return refusal(outcome)
        return self._operation.response(self._head, outcome)

    def close(self) -> None:
        self._body.take()


class Embedded(Exchange):
    """A request whose body is in another protocol, with any number of commands in it."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._waiting: List[Request] = []
        self._is_whole = self._is_over = False

    @property
    def has_more(self) -> bool:
        return self._codec.has_more

    @property
    def buffered(self) -> int:
        return self._codec.buffered

    @property
    def longest(self) -> int:
        return self._codec.longest

    def open(self, link: Link) -> None:
        self._codec.open(link)

    def feed(self, data: bytes) -> None:
        self._waiting = [*self._codec.decode(data)]

    def finish(self) -> None:
        self._is_whole = True

    def take(self) -> Optional[Request]:
        if not self._waiting and self.has_more:
            self._waiting = [*self._codec.decode(b"")]
        if self._waiting:
            return self._waiting.pop(0)
        if not self._is_whole or self.has_more or self._is_over:
            return None
        self._is_over = True
        return END

    def respond(self, request: Request, outcome: object) -> Reply:
        if request is END:
            return self.end()
        return self.relay(self._codec.encode([request], [outcome]))

    def respond_in_steps(self, request: Request, result: object) -> Steps[Iterator[Reply]]:
        pieces = yield from self._codec.encode_in_steps(request, result)
        return map(self.relay, pieces)

    def close(self) -> None:
        self._waiting = []
        self._codec.close()

    @abstractmethod
    def relay(self, reply: bytes) -> Reply:
        """Converts a reply of the other protocol, or a piece of one."""
        ...

    @abstractmethod
    def end(self) -> Reply:
        """What is sent once everything was answered."""
        ...


class Lines(Embedded):
    """A body of JSON lines, each of which is answered with a line as soon as it was executed."""

    def finish(self) -> None:
        super().finish()
        self.feed(b"\n")

    def relay(self, reply: bytes) -> Chunk:
        return Chunk(reply)

    def end(self) -> Chunk:
        return Chunk(b"", True)

    def final(self, error: KvError) -> Chunk:
        return Chunk(self._codec.encode_final(error), True)
