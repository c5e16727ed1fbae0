"""A connection to a server that is an `Executor`: what runs here in process runs there over TCP.

Rule: a connection that may still owe an answer is never used again. After a time-out, a broken
reply or anything else that interrupts, it is closed, and the next command opens a new one.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Callable, Iterator, List, Optional, Protocol, Sequence, Tuple, TypeVar, cast

from application.commands import Auth, Command
from domain.errors import KvError, TimedOut, Unavailable

R = TypeVar("R")

READ_SIZE = 64 * 1024
"""Bytes asked for by one read. Larger buffers come from the system each time, at 16 µs apiece."""


class Session(Protocol):
    """The conversation with a server, in bytes; not bound to any socket."""

    @property
    def owed(self) -> int:
        """How many replies are still to come to what was asked."""
        ...

    def ask(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all that is owed."""
        ...

    def receive(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order asked."""
        ...


class Socket(Protocol):
    """What is used of a socket, blocking and with its time-out set; gevent's fits too."""

    def sendall(self, data: bytes) -> object: ...

    def recv(self, size: int) -> bytes: ...

    def close(self) -> None: ...


Connect = Callable[[Tuple[str, int], float], Socket]
"""Opens a connection to an address; the time-out, in seconds, is for each wait on it."""


def connect(address: Tuple[str, int], timeout: float) -> Socket:
    """A TCP connection by the standard library; `timeout` in seconds, for each wait."""
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def secured(context: ssl.SSLContext) -> Connect:
    """Connects as `connect` does, and in TLS."""

    def connect_in_tls(address: Tuple[str, int], timeout: float) -> Socket:
        sock = connect(address, timeout)
        assert isinstance(sock, socket.socket)
        try:
            return context.wrap_socket(sock, server_hostname=address[0])
        except BaseException:
            sock.close()
            raise

    return connect_in_tls


def trusting(
    authorities: Optional[str], certificate: Optional[str], key: Optional[str]
) -> ssl.SSLContext:
    """What a TLS client goes by: whom it trusts (by default, whom the system does), and what it
    shows to servers that ask; all of them PEM files. Raises `OSError`."""
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class TcpClient:
    """Sends commands to one server, over one connection that it opens when first needed.

    For one thread, or one greenlet, at a time. Where there is a password, it comes first.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float,
        new_session: Callable[[], Session],
        connect: Connect = connect,
        password: str = "",
    ) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._new_session = new_session
        self._connect = connect
        self._password = password
        self._connection: Optional[Tuple[Socket, Session]] = None

    def execute(self, command: Command[R]) -> R:
        """The command's result; raises the `KvError` it was refused with, `TimedOut` when no answer
        came in time, or `Unavailable` when there is no connection or it was lost."""
        outcome = self.execute_all((command,))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """Pipeline: send the commands without waiting for the reply to each.

        Gives the results in order, a refused one's `KvError` in its place; raises `TimedOut` and
        `Unavailable` as `execute` does.
        """
        try:
            return self._exchange(commands)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._explained(error) from error
            raise

    def close(self) -> None:
        """Hang up; the next command connects again."""
        if self._connection:
            self._connection[0].close()
            self._connection = None

    def _exchange(self, commands: Sequence[Command[Any]]) -> List[object]:
        if self._connection is None:
            self._connection = self._connect(self._address, self._timeout), self._new_session()
            if self._password:
                self._come_in()
        sock, session = self._connection
        outcomes: List[object] = []
        for piece in session.ask(commands):
            sock.sendall(piece)
            while session.owed:
                data = sock.recv(READ_SIZE)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                outcomes += session.receive(data)
        return outcomes

    def _come_in(self) -> None:
        (outcome,) = self._exchange((Auth(self._password),))
        if isinstance(outcome, KvError):
            raise outcome

    def _explained(self, error: OSError) -> KvError:
        host, port = self._address
        if isinstance(error, socket.timeout):
            return TimedOut(f"no answer from {host}:{port} within {self._timeout:g} s")
        return Unavailable(f"{host}:{port}: {error.strerror or error}")
