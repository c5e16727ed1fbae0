"""The sockets that a server listens on: TCP of both families, and Unix sockets.

Rule: all addresses are bound, or none, with `OSError` for the first that cannot be. TCP addresses
with port 0 share one port, which the system picks; of one host named twice, each has its own. A
Unix socket's file has its permissions before a client can connect, takes the place of one that no
process listens on, and is removed at the end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import Iterator, List, Optional, Sequence, Tuple

from adapters.gevent_tcp.os_errors import about

Address = Tuple[str, str, int]
"""`("tcp", host, port)`, or `("unix", path, mode)` with the permissions of the socket's file."""

BACKLOG = 1024

_PORT_ATTEMPTS = 10
"""How often to let the system pick a port, until it is free on every address."""


class Listener:
    """A socket that listens, in non-blocking mode, and its address, with the port that was picked
    in place of 0."""

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.sock = sock
        self.address = address
        self._file = _identity(address)

    def close(self) -> None:
        """Listen no longer; remove a Unix socket's file, unless another one is there by now."""
        if self._file is not None and self._file == _identity(self.address):
            os.unlink(self.address[1])
        self.sock.close()


def _identity(address: Address) -> Optional[Tuple[int, int]]:
    """Which file a Unix socket has."""
    kind, path, _ = address
    if kind != "unix":
        return None
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def bind_all(addresses: Sequence[Address], keepalive: int = 0) -> List[Listener]:
    """Listen on every address. TCP connections are probed after `keepalive` seconds of silence,
    if that is not 0. Raises `OSError`, whose `filename` is the address that was refused."""
    picks = sum(kind == "tcp" and port == 0 for kind, _, port in addresses) > 1
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return list(_all_or_none(addresses, keepalive))
        except OSError as error:
            is_last = attempt == _PORT_ATTEMPTS - 1
            if error.errno != errno.EADDRINUSE or not picks or is_last:
                raise
    raise AssertionError("unreachable")


def _all_or_none(addresses: Sequence[Address], keepalive: int) -> List[Listener]:
    picked: List[int] = []
    with contextlib.ExitStack() as bound:
        listeners: List[Listener] = []
        for address in addresses:
            kind, host, port = address
            with about(host if kind == "unix" else f"{host} port {port}"):
                if kind == "unix":
                    listener = _bind_unix(address)
                else:
                    own = [other.address[2] for other in listeners if other.address[1] == host]
                    shared = next((free for free in picked if free not in own), 0)
                    listener = _bind_tcp(host, port or shared, keepalive)
                    picked += [] if port else [listener.address[2]]
            bound.callback(listener.close)
            listeners.append(listener)
        bound.pop_all()
        return listeners


def _bind_tcp(host: str, port: int, keepalive: int) -> Listener:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closed_on_error(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if keepalive:
            _keep_alive(sock, keepalive)
        sock.bind(address)
        _listen(sock)
    return Listener(sock, ("tcp", host, sock.getsockname()[1]))


def _keep_alive(sock: socket.socket, seconds: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bind_unix(address: Address) -> Listener:
    _, path, mode = address
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _closed_on_error(sock):
        _remove_stale(path)
        sock.bind(path)
        try:
            os.chmod(path, mode)  # until it listens, connecting is refused
            _listen(sock)
        except BaseException:
            os.unlink(path)
            raise
    return Listener(sock, address)


def _remove_stale(path: str) -> None:
    """Remove a socket on which no process listens: its server ended without removing it."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.lstat(path).st_mode):
        return  # what is no socket is not ours to remove, and binding will fail
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return  # a server may listen, and binding will fail


def _listen(sock: socket.socket) -> None:
    sock.listen(BACKLOG)
    sock.setblocking(False)


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
