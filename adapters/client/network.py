"""The network as one kind of program sees it: threads, or greenlets on gevent without patching.

Rule: which modules do the work is said from outside; nothing here imports any. Where gevent has
patched the standard library, that of threads serves greenlets too.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from msgspec import Struct


class Modules(Struct, frozen=True):
    """`socket` and `ssl` as the standard library has them, a queue like `queue.SimpleQueue`, and a
    way to sleep, all of them for the same kind of program."""

    socket: Any
    ssl: Any
    queue: Callable[[], Any]
    sleep: Callable[[float], object]
    awake: Optional[Callable[[Any], Any]] = None
    """Makes a socket, one without TLS, wait for answers in a better way, where there is one."""


class Trust(Struct, frozen=True):
    """Whom a TLS client trusts (by default, whom the system does), and what it shows to servers
    that ask; names of PEM files."""

    authorities: Optional[str] = None
    certificate: Optional[str] = None
    key: Optional[str] = None


class Network:
    """Connects, in TLS when `trust` is given, and waits."""

    def __init__(self, modules: Modules, trust: Optional[Trust] = None) -> None:
        self._modules = modules
        self._trust = trust
        self._context: Any = None
        self.queue = modules.queue
        self.sleep = modules.sleep

    def connect(self, address: Tuple[str, int], timeout: Optional[float]) -> Any:
        """A socket with `timeout` set, in seconds. Raises `OSError`."""
        socket = self._modules.socket
        sock = socket.create_connection(address, timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls, awake = self.tls(), self._modules.awake
            if tls:
                return tls.wrap_socket(sock, server_hostname=address[0])
            return awake(sock) if awake else sock
        except BaseException:
            sock.close()
            raise

    def tls(self) -> Any:
        """What a TLS client goes by, as the module's `SSLContext`, made once; None without TLS.

        For TLS 1.2 or newer. Raises `OSError` when a file cannot be used.
        """
        if self._context is None and self._trust:
            ssl, trust = self._modules.ssl, self._trust
            context = ssl.create_default_context(cafile=trust.authorities)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if trust.certificate is not None:
                context.load_cert_chain(trust.certificate, trust.key)
            self._context = context
        return self._context
