"""TLS as a conversation round another one, in bytes.

Rule: no IO. What a client sends is decrypted for the session inside, and what that says encrypted,
so a transport carries TLS as it carries anything else, and no handshake holds another up.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from typing import Callable, Optional, Protocol

log = logging.getLogger(__name__)

PORTION = 64 * 1024
"""Bytes decrypted at once, and encrypted before what has been is handed out."""

_HANDSHAKE = -1
"""The number of the request that the handshake is."""


class Session(Protocol):
    """The conversation inside."""

    @property
    def waiting(self) -> bool: ...

    @property
    def open(self) -> bool: ...

    @property
    def unfinished(self) -> int: ...

    @property
    def rest(self) -> float: ...

    def receive(self, data: bytes) -> bytes: ...

    def replies(self) -> bytes: ...

    def time_out(self) -> None: ...

    def give_up(self, why: str) -> None: ...

    def close(self) -> None: ...


class Certificates:
    """What a server shows to its clients, and asks of them; read from PEM files.

    With `client_ca`, clients have to show a certificate that one of those authorities signed.
    """

    def __init__(self, certificate: str, key: Optional[str], client_ca: Optional[str]) -> None:
        self._files = certificate, key, client_ca

    def load(self) -> None:
        """Read the files, for clients that connect from now on. Raises `OSError`, of which
        `ssl.SSLError` is one, and leaves all as it was, when they cannot be used."""
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key, password=_no_password)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self.context = context


class TlsSession:
    """The server's side of a TLS connection."""

    def __init__(
        self, certificates: Certificates, new_session: Callable[[str], Session], client: str = ""
    ) -> None:
        self._inner = new_session(client)
        self._client = client
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = certificates.context.wrap_bio(self._received, self._to_send, server_side=True)
        self._has_shaken_hands = False
        self._ended = False
        self._has_more = False

    @property
    def waiting(self) -> bool:
        """Whether there are more `replies` to ask for, before anything more is received."""
        return self._has_shaken_hands and (self._has_more or self._inner.waiting)

    @property
    def open(self) -> bool:
        """Whether the conversation goes on once what it gave is sent."""
        return not self._ended and (self._inner.open or not self._has_shaken_hands)

    @property
    def unfinished(self) -> int:
        """The number of the request that has arrived in part; the handshake counts as one."""
        return self._inner.unfinished if self._has_shaken_hands else _HANDSHAKE

    @property
    def rest(self) -> float:
        """Seconds to let go by before `replies` are asked for."""
        return self._inner.rest

    def receive(self, data: bytes) -> bytes:
        """Take what was read; gives what to send."""
        self._received.write(data)
        return self.replies()

    def replies(self) -> bytes:
        """What to send next."""
        try:
            self._converse()
        except ssl.SSLWantReadError:
            self._has_more = False
        except ssl.SSLError as error:
            why = error.reason or str(error)
            log.warning("broke off TLS", extra={"client": self._client, "why": why})
            self._ended = True
            self._has_more = False
        return self._to_send.read()

    def time_out(self) -> None:
        """The request that has arrived in part took too long; end the conversation."""
        if self._has_shaken_hands:
            self._inner.time_out()
        else:
            self._inner.give_up("its TLS handshake took too long")
            self._ended = True

    def give_up(self, why: str) -> None:
        """The connection will be closed without another word."""
        self._inner.give_up(why)

    def close(self) -> None:
        """The connection is gone."""
        self._inner.close()

    def _converse(self) -> None:
        """Decrypt, hand in and encrypt, until there is enough to send, or too little to read."""
        if not self._has_shaken_hands:
            self._tls.do_handshake()
            self._has_shaken_hands = True
        self._has_more = True
        if self._inner.waiting:
            self._say(self._inner.replies())
        while self._inner.open and not self._inner.waiting and self._to_send.pending < PORTION:
            data = self._tls.read(PORTION)
            if not data:
                self._say_goodbye()
                return
            self._say(self._inner.receive(data))
        if not self._inner.open and not self._inner.waiting:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """End the way that TLS tells from an end that somebody in between has made."""
        self._ended = True
        self._has_more = False
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def _say(self, data: bytes) -> None:
        if data:
            self._tls.write(data)


def _no_password() -> str:
    raise ssl.SSLError("the key is protected by a password")
