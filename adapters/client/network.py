"""The network as one kind of program sees it: threads, or greenlets on gevent without patching.

Rule: the modules that do the work are passed in; nothing here imports any. They are looked at
anew for each connection, since gevent may patch the standard library at any time, after which that
of threads serves greenlets too.
"""

from __future__ import annotations

import os
import queue
import time
from typing import Any, Callable, List, Optional, Tuple

from msgspec import Struct

from adapters.client.address import Address


class SocketApi(Struct, frozen=True):
    """`socket` and `ssl` as the standard library has them, a way to make a queue like
    `queue.SimpleQueue`, and one to sleep, all of them for the same kind of program."""

    socket: Any
    ssl: Any
    queue: Callable[[], Any]
    sleep: Callable[[float], object]
    start: Optional[Callable[[Callable[[], None]], object]] = None
    """Starts a function in a thread of its own, where a look-up of a name would let neither a
    time-out nor a signal end it."""
    busy_poll: Optional[Callable[[Any], Any]] = None
    """Makes a socket, one without TLS, wait for replies in a better way, where there is one."""
    after_fork: Callable[[], object] = lambda: None
    """Has to be called in a process that was forked, before anything else of these."""


class TlsConfig(Struct, frozen=True):
    """Which authorities a TLS client trusts (by default those of the system), and the certificate
    that it presents to servers that ask; names of PEM files."""

    authorities: Optional[str] = None
    certificate: Optional[str] = None
    key: Optional[str] = None


class Network:
    """Connects, in TLS when there is a configuration for it, and waits."""

    def __init__(self, api: SocketApi, tls_config: Optional[TlsConfig] = None) -> None:
        self._api = api
        self._tls_config = tls_config
        self._context: Optional[Tuple[object, Any]] = None
        self._pid = os.getpid()
        self.sockets = api.socket
        """The module. Its class `socket` is another one once gevent has patched the standard
        library; connections, queues and TLS contexts from before are of no use then."""
        self.queue = api.queue
        self.sleep = api.sleep

    def connect(self, address: Address, timeout: Optional[float]) -> Any:
        """A socket that was connected within `timeout` seconds, the TLS handshake included. Raises
        `OSError`."""
        if self._pid != os.getpid():
            self._api.after_fork()
            self._pid = os.getpid()
        end = None if timeout is None else time.monotonic() + timeout
        sock = self._connected(address, end)
        try:
            tls, busy_poll = self.tls(), self._api.busy_poll
            if tls:
                sock.settimeout(self._left(end))
                return tls.wrap_socket(sock, server_hostname=address.server_name)
            return busy_poll(sock) if busy_poll else sock
        except BaseException:
            sock.close()
            raise

    def tls(self) -> Any:
        """The configuration as an `SSLContext` of the module, made once for each kind of sockets;
        None without TLS.

        For TLS 1.2 or newer. Raises `OSError` when a file cannot be used.
        """
        if self._tls_config is None:
            return None
        cached, kind = self._context, self.sockets.socket
        if cached is None or cached[0] is not kind:
            cached = self._context = kind, self._new_context(self._tls_config)
        return cached[1]

    def _connected(self, address: Address, end: Optional[float]) -> Any:
        """A socket connected to the first of a name's addresses that accepts."""
        refusal: Optional[OSError] = None
        for family, where in self._addresses(address, end):
            sock = self.sockets.socket(family, self.sockets.SOCK_STREAM)
            try:
                sock.settimeout(self._left(end))
                sock.connect(where)
                address.tune(sock)
                return sock
            except OSError as error:
                sock.close()
                refusal = error
            except BaseException:
                sock.close()
                raise
        raise refusal or OSError(f"{address} has no address")

    def _addresses(self, address: Address, end: Optional[float]) -> List[Tuple[int, Any]]:
        """Families, and the addresses in them."""
        socket = self.sockets
        if address.unix_path is not None:
            return [(socket.AF_UNIX, address.unix_path)]
        try:
            found = self._look_up(address, socket.AI_NUMERICHOST)
        except socket.gaierror:
            found = self._look_up_in_time(address, end)
        return [(family, where) for family, _, _, _, where in found]

    def _look_up(self, address: Address, flags: int = 0) -> Any:
        kind = self.sockets.SOCK_STREAM
        return self.sockets.getaddrinfo(address.host, address.port, 0, kind, 0, flags)

    def _look_up_in_time(self, address: Address, end: Optional[float]) -> Any:
        """Ask for a name's addresses."""
        if self._api.start is None:
            return self._look_up(address)
        answers = self.queue()

        def ask() -> None:
            try:
                answers.put(self._look_up(address))
            except Exception as error:  # noqa: BLE001 - raised again by who waits for it
                answers.put(error)

        self._api.start(ask)
        try:
            found = answers.get(timeout=self._left(end))
        except queue.Empty:
            raise self.sockets.timeout("timed out") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _left(self, end: Optional[float]) -> Optional[float]:
        if end is None:
            return None
        left = end - time.monotonic()
        if left <= 0:
            raise self.sockets.timeout("timed out")
        return left

    def _new_context(self, config: TlsConfig) -> Any:
        ssl = self._api.ssl
        # What `create_default_context` makes is of the standard library's kind, also in gevent's
        # module, and would keep all greenlets waiting.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(config.authorities)
        if config.certificate is not None:
            context.load_cert_chain(config.certificate, config.key)
        return context
