"""TLS as a conversation around another one, in bytes.

Rule: no IO. Input is decrypted for the inner conversation and its output is encrypted, so a
transport carries TLS as it carries anything else. OpenSSL's buffers, which never shrink, are given
a little at a time.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections import deque
from functools import partial
from typing import Callable, Deque, List, Optional, TypeVar

from msgspec import UNSET

from adapters.gevent_tcp.os_errors import about
from application.ports import Conversation, Link, Received, Wants

R = TypeVar("R")

log = logging.getLogger(__name__)

STEP_BYTES = 64 * 1024
"""Bytes decrypted at once, and encrypted before what has been is handed out."""

RECORD = 16 * 1024
"""Bytes given to OpenSSL at once, which are those of the longest record."""

READS = 256
"""Records decrypted in one turn, at the most: each costs some microseconds, however short it is."""

_HANDSHAKE_ID = -1
"""The number of the request that the handshake is, for its time-out."""


class Certificates:
    """The server's certificate, and what it requires of its clients'; read from PEM files.

    With `client_ca`, clients must present a certificate signed by one of those authorities.
    """

    def __init__(self, certificate: str, key: Optional[str], client_ca: Optional[str]) -> None:
        self._files = certificate, key, client_ca

    def load(self) -> None:
        """Read the files, for clients that connect from now on. Raises `OSError`, of which
        `ssl.SSLError` is one, and leaves all as it was, when they cannot be used; its `filename`
        says which."""
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for path in filter(None, self._files):
            with about(path), open(path, "rb"):
                pass
        with about(certificate if key is None else f"{certificate} and {key}"):
            context.load_cert_chain(certificate, key, password=_no_password)
        if client_ca is not None:
            with about(client_ca):
                context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self.context = context


def _nothing(output: bytes) -> bytes:
    return b""


class TlsLink:
    """The link of the inner conversation: the outer one's, but that what is delivered is encrypted.
    It refers to its conversation, which refers to it, only while that is open."""

    def __init__(self, link: Link) -> None:
        self.name = link.name
        self.account = link.account
        self.wake = link.wake
        self.wake_after = link.wake_after
        self.has_time = link.has_time
        self.encrypt: Callable[[bytes], bytes] = _nothing
        self._deliver = link.deliver

    def deliver(self, reply: bytes) -> None:
        self._deliver(self.encrypt(reply))


class TlsConversation(Conversation):
    """The server's side of a TLS connection around the inner conversation; see
    `ports.Conversation`."""

    def __init__(
        self,
        certificates: Certificates,
        new_conversation: Callable[[Link], Conversation],
        link: Link,
    ) -> None:
        self._link = TlsLink(link)
        self._inner = new_conversation(self._link)
        self._input, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certificates.context.wrap_bio(self._input, self._output, server_side=True)
        self._received: Deque[bytes] = deque()
        """What has arrived and waits for its turn, in pieces."""
        self._encrypted: List[bytes] = []
        self._encrypted_size = 0
        self._has_shaken_hands = False
        self._has_ended = False
        self._has_more = False
        self._buffered = 0
        self._link.encrypt = partial(self._take_turn, self._write)

    @property
    def wants(self) -> Wants:
        if self._has_ended:
            return Wants.END
        if not self._has_shaken_hands:
            return Wants.INPUT
        if self._has_more and self._inner.wants is Wants.INPUT:
            return Wants.TURN
        return self._inner.wants

    @property
    def partial_request_id(self) -> int:
        """The handshake counts as a request."""
        return self._inner.partial_request_id if self._has_shaken_hands else _HANDSHAKE_ID

    @property
    def is_listening(self) -> bool:
        return self._inner.is_listening

    @property
    def may_take_long(self) -> bool:
        return self._inner.may_take_long

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        self._received += _pieces(data)
        return self._take_turn(self._converse, b"")

    def advance(self) -> bytes:
        output = self._inner.advance() if self._has_shaken_hands else b""
        return self._take_turn(self._converse, output)

    def _take_turn(self, step: Callable[[bytes], None], output: bytes) -> bytes:
        """Takes a step with output of the inner conversation; returns what is to be sent."""
        try:
            step(output)
        except ssl.SSLWantReadError:
            self._has_more = False
        except ssl.SSLError as error:
            why = error.reason or str(error)
            log.warning("closed a TLS connection", extra={"client": self._link.name, "why": why})
            self._has_ended = True
        buffered = self._input.pending + sum(map(len, self._received))
        self._link.account.change(buffered - self._buffered)
        self._buffered = buffered
        encrypted = b"".join(self._encrypted) + self._output.read()
        self._encrypted, self._encrypted_size = [], 0
        return encrypted

    def time_out(self) -> None:
        if self._has_shaken_hands:
            self._inner.time_out()
        else:
            self.abort("its TLS handshake took too long (request_timeout)")
            self._has_ended = True

    def abort(self, reason: str) -> None:
        self._inner.abort(reason)

    def close(self) -> None:
        self._received.clear()
        self._inner.close()
        self._link.encrypt = _nothing

    def _converse(self, output: bytes) -> None:
        """Encrypts `output`, then decrypts, hands in and encrypts until the turn is over, or there
        is too little to read. Raises `ssl.SSLWantReadError` then."""
        if not self._has_shaken_hands:
            self._with_input(self._tls.do_handshake)
            self._has_shaken_hands = True
        self._has_more = True
        inner = self._inner
        self._write(output)
        for _ in range(READS):
            if inner.wants is not Wants.INPUT or self._encrypted_size >= STEP_BYTES:
                break
            data = self._with_input(partial(self._tls.read, STEP_BYTES))
            if not data:
                self._end()
                return
            self._write(inner.receive(data))
        if inner.wants is Wants.END:
            self._end()

    def _end(self) -> None:
        """Sends a close_notify, which TLS tells apart from a truncated connection."""
        self._has_ended = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def _with_input(self, step: Callable[[], R]) -> R:
        """Takes a step with as much of the input as it needs; raises `ssl.SSLWantReadError` when
        there is too little."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if not self._received:
                    raise
            self._input.write(self._received.popleft())

    def _write(self, data: bytes) -> None:
        for piece in _pieces(data):
            self._tls.write(piece)
            self._encrypted.append(self._output.read())
            self._encrypted_size += len(self._encrypted[-1])


def _pieces(data: bytes) -> List[bytes]:
    if len(data) <= RECORD:
        return [data] if data else []
    return [data[at : at + RECORD] for at in range(0, len(data), RECORD)]


def _no_password() -> str:
    raise ssl.SSLError("the key is protected by a password")
