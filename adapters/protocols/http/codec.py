"""The server's side of HTTP/1.1.

Rule: one request is read at a time, and nothing after it before it was answered, so that responses
come in order. Credentials are looked at before the body is read. A response that needs no command
ends the connection, and so does whatever leaves a body unread.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Optional, Sequence

import h11
from msgspec import UNSET

from adapters.protocols.http.exchanges import Exchange, Reply
from adapters.protocols.http.messages import (
    COMMON,
    METHODS,
    FinalResponse,
    Head,
    Response,
    problem,
    refusal,
)
from adapters.protocols.http.routes import Site, opened
from adapters.protocols.http.sender import Sender
from application.commands import Auth
from application.ports import Closing, Codec, Link, Request, Settled, Steps
from domain.errors import BadRequest, KvError, LoginRequired, Unauthenticated

MAX_EVENTS = 64
"""Parts of a body that are read at once."""

MAX_FIELDS = 256
"""Fields of a head."""

_HEAD_BYTES = 16 * 1024
"""Bytes of a head beside those of a key, whose bytes may take three each."""

_CLOSE = Settled(UNSET, Closing(), is_fatal=True)
_NO_PASSWORD = "the request has no password; it goes into `Authorization: Bearer PASSWORD`"


class _Interim(bytes):
    """A response before the final one, as the outcome of a request that asks for it."""


class HttpCodec(Codec):
    """The requests of one connection, and their responses."""

    protocol = "http"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._head_bytes = _HEAD_BYTES + 3 * site.limits.max_key_bytes
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._head_bytes)
        self._sender = Sender(self._http)
        self._unchecked: Optional[Head] = None
        """The request whose credentials are being looked at."""
        self._exchange: Optional[Exchange] = None
        self._password: Optional[str] = None
        """What the connection has authenticated with."""
        self._is_due = False
        """Whether a request was returned that has not been answered."""
        self._unread: Optional[int] = 0
        """Bytes that came and were not looked at; None when that has to be counted anew."""
        self._number = 1
        self.has_more = False
        self.buffered = 0
        self.longest = 0

    def open(self, link: Link) -> None:
        self._link = link

    @property
    def partial_request_id(self) -> int:
        is_partial = self._exchange is not None or self.buffered > 0
        return self._number if is_partial and not self.has_more else 0

    def decode(self, data: bytes) -> List[Request]:
        if data and not self._sender.is_over:
            self._http.receive_data(data)
            self._unread = None
        self.has_more = True
        request = None if self._is_due else self._next()
        self._count()
        if request is None:
            return []
        self.longest = self._exchange.longest if self._exchange else 0
        self._number += 1
        self._is_due = True
        return [request]

    def decode_one(self, data: bytes) -> None:
        return None

    def encode(self, requests: Sequence[Request], outcomes: Sequence[object]) -> bytes:
        return b"".join(map(self.encode_one, requests, outcomes))

    def encode_one(self, request: Request, outcome: object) -> bytes:
        sent = outcome if isinstance(outcome, _Interim) else self._respond(request, outcome)
        self._is_due = False
        self._count()
        is_open = self._exchange is not None or self._unchecked is not None
        self.has_more = self._sender.is_over or is_open or self.buffered > 0
        return sent

    def encode_in_steps(self, request: Request, result: object) -> Steps[Iterator[bytes]]:
        assert self._exchange
        parts = yield from self._exchange.respond_in_steps(request, result)
        self._is_due = False
        return map(self._send, parts)

    def encode_final(self, error: KvError) -> bytes:
        if self._exchange and (self._sender.is_begun or type(error) is Closing):
            return self._send(self._exchange.final(error))
        if isinstance(error, FinalResponse):
            return self._send(error.response)
        if isinstance(error, Closing) or not self._sender.can_respond:
            return b""
        return self._send(refusal(error))

    def close(self) -> None:
        self._drop()
        self._unchecked = None
        self._sender.is_over = True
        self.has_more = False
        self.buffered = 0

    # What arrives.

    def _next(self) -> Optional[Request]:
        try:
            return self._read()
        except h11.RemoteProtocolError as error:
            what, _, _ = str(error).partition(": bytearray(")
            why = f"this is no legal HTTP: {what}"
            if self._sender.is_begun:
                return Settled(UNSET, BadRequest(why), is_fatal=True)
            return _final(problem(error.error_status_hint, why))
        except KvError as error:
            self._drop()
            return Settled(UNSET, error)

    def _read(self) -> Optional[Request]:
        """The next request; None when more has to arrive, or there is more than one look takes."""
        if self._sender.is_over:
            return _CLOSE
        if self._unchecked:
            head, self._unchecked = self._unchecked, None
            return self._open(head)
        for _ in range(MAX_EVENTS):
            exchange = self._exchange
            request = exchange.take() if exchange else None
            if request is None and not (exchange and exchange.has_more):
                if self._http.their_state is h11.IDLE:
                    self._check_head()
                request = self._take(self._http.next_event())
                self._unread = None
            if request is not None or not self.has_more:
                return request
        return None

    def _check_head(self) -> None:
        """Refuses a head of very many fields, which h11 would read for long, and one that is too
        long, which h11 takes where it has arrived whole."""
        head = self._http.trailing_data[0]
        if len(head) < MAX_FIELDS:
            return
        blank_line = _BLANK_LINE.search(head)
        end = blank_line.start() if blank_line else len(head)
        if head.count(b"\n", 0, end) > MAX_FIELDS:
            why = f"a request has at most {MAX_FIELDS} header fields"
        elif end > self._head_bytes:
            why = f"the head of a request has at most {self._head_bytes:,} bytes"
        else:
            return
        raise h11.RemoteProtocolError(why, error_status_hint=431)

    def _take(self, event: Any) -> Optional[Request]:
        """Takes what has arrived of a request; the next one, if it does not need the body."""
        exchange = self._exchange
        kind = type(event)
        if kind is h11.Request:
            return self._begin(Head(event.method, event.target, event.headers))
        if kind is h11.Data and exchange:
            exchange.feed(bytes(event.data))
        elif kind is h11.EndOfMessage and exchange:
            exchange.finish()
        else:
            self.has_more = False
        return None

    def _begin(self, head: Head) -> Optional[Request]:
        access = self._site.access
        self._sender.expect([*COMMON, *access.headers(head)], head.method == "HEAD")
        refused = access.refusal(head) or _two_lengths(head)
        if refused:
            return _final(refused)
        password = head.password
        if password is None and not self._site.is_open_to(head):
            raise LoginRequired(_NO_PASSWORD)
        if password is None or password == self._password:
            return self._open(head)
        self._unchecked = head
        return Auth(password)

    def _open(self, head: Head) -> Optional[Request]:
        found = opened(self._site, head)
        if isinstance(found, Response):
            return _final(found)
        found.open(self._link)
        self._exchange = found
        if self._http.they_are_waiting_for_100_continue:
            return Settled(UNSET, _Interim(self._sender.send_continue()))
        return None

    def _count(self) -> None:
        if self._unread is None:
            self._unread = len(self._http.trailing_data[0])  # a copy
        held = self._exchange.buffered if self._exchange else 0
        self.buffered = 0 if self._sender.is_over else self._unread + held

    # What is sent.

    def _respond(self, request: Request, outcome: object) -> bytes:
        if isinstance(outcome, Unauthenticated) and not self._sender.is_begun:
            return self._send(refusal(outcome), closes=True)
        if isinstance(request, Auth) and not isinstance(outcome, KvError):
            self._password = request.password
            if self._unchecked:
                return b""
        if self._exchange is None:
            assert isinstance(outcome, KvError)
            return self._send(refusal(outcome))
        return self._send(self._exchange.respond(request, outcome))

    def _send(self, reply: Reply, closes: bool = False) -> bytes:
        sent = self._sender.send(reply, closes)
        if not self._sender.owes_response:
            self._drop()
        return sent

    def _drop(self) -> None:
        if self._exchange:
            self._exchange.close()
        self._exchange = None


def _two_lengths(head: Head) -> Optional[Response]:
    """The response to a request that two readers may cut differently, by RFC 9112, section 6.1."""
    if head.header(b"content-length") and head.header(b"transfer-encoding"):
        return problem(400, "a request has a Content-Length or a Transfer-Encoding, not both")
    return None


def _final(response: Response) -> Settled:
    return Settled(UNSET, FinalResponse(response), is_fatal=True)


_BLANK_LINE = re.compile(rb"\n\r?\n")
_METHOD, _TARGET = "|".join(METHODS).encode(), rb"(?:/|(?i:https?://))"
_KNOWN = re.compile(rb"OPTIONS \*|(?:%b) %b" % (_METHOD, _TARGET))
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]{1,32}"
_REQUEST_LINE = re.compile(
    rb"(?:%b (?:\*|%b)|(?:%b|CONNECT) )[!-~]* HTTP/[0-9]" % (_TOKEN, _TARGET, _METHOD)
)
_PARTIAL_LINE = re.compile(_TOKEN + rb"(?: (?:/[!-~]*|[!-~]{0,64})(?: [HTP]*/?)?)?")


def begins_http(first: bytes) -> Optional[bool]:
    """Whether `first` is the beginning of this protocol: a known method and a target, or a request
    line of any method."""
    if _KNOWN.match(first) or _REQUEST_LINE.match(first):
        return True
    return None if _PARTIAL_LINE.fullmatch(first) else False
