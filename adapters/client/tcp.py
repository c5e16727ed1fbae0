"""A connection to a server that is an `Executor`: what runs here in process runs there over TCP.

Rule: a connection that may still owe an answer is never used again. After a time-out, a broken
reply or anything else that interrupts, it is closed, and the next command opens a new one.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Callable, Iterator, List, Optional, Protocol, Sequence, Tuple, TypeVar, cast

from application.commands import Auth, Command
from application.ports import Pipelined
from domain.errors import KvError, TimedOut, Unavailable, Unreachable

R = TypeVar("R")

READ_SIZE = 64 * 1024
"""Bytes asked for by one read. Larger buffers come from the system each time, at 16 µs apiece."""


RESTED = 0.5
"""Seconds without use after which a connection is looked at before it is used again."""


class Session(Protocol):
    """The conversation with a server, in bytes; not bound to any socket."""

    @property
    def owed(self) -> int:
        """How many replies are still to come to what was asked."""
        ...

    @property
    def may_be_over(self) -> bool:
        """Whether the server may hang up after what it has replied."""
        ...

    def ask(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all that is owed."""
        ...

    def receive(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order asked."""
        ...


class Socket(Protocol):
    """What is used of a socket that blocks; gevent's fits too."""

    def sendall(self, data: bytes) -> object: ...

    def recv(self, size: int) -> bytes: ...

    def settimeout(self, timeout: Optional[float]) -> None: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


Connect = Callable[[Tuple[str, int], Optional[float]], Socket]
"""Opens a connection to an address, within so many seconds."""


class TcpClient(Pipelined):
    """Sends commands to one server, over one connection that it opens when first needed.

    For one thread, or one greenlet, at a time. `connect_timeout` is in seconds for a connection,
    `timeout` for each piece of an answer; 0 is for as long as it takes. Where there is a password,
    it comes first.
    """

    def __init__(
        self,
        host: str,
        port: int,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        connect: Connect,
        password: str = "",
    ) -> None:
        self._address = (host, port)
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._new_session = new_session
        self._connect = connect
        self._password = password
        self._connection: Optional[Tuple[Socket, Session]] = None
        self._used = 0.0

    def execute(self, command: Command[R]) -> R:
        """The command's result; raises the `KvError` it was refused with, `TimedOut` when no answer
        came in time, or `Unavailable` when the connection was lost; `Unreachable`, which is one of
        these, when there was none and nothing was sent."""
        outcome = self.execute_all((command,))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]:
        """Pipeline: send the commands without waiting for the reply to each.

        Gives the results in order, a refused one's `KvError` in its place; raises `TimedOut` and
        `Unavailable` as `execute` does, `TimedOut` also at `end` by `time.monotonic`.
        """
        if self._connection and time.monotonic() - self._used > RESTED and self._is_stale():
            self.close()
        if self._connection is None:
            self._open(end)
        try:
            outcomes = self._exchange(commands, end)
            if self._connection and self._connection[1].may_be_over:
                self.close()
            self._used = time.monotonic()
            return outcomes
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

    def _is_stale(self) -> bool:
        """Whether the server has hung up meanwhile, or said what it was not asked for."""
        assert self._connection
        poll = select.poll()
        poll.register(self._connection[0].fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _open(self, end: Optional[float]) -> None:
        """Connect and come in; whatever fails here, no command was sent."""
        try:
            sock = self._connect(self._address, _within(self._connect_timeout, end))
            self._connection = sock, self._new_session()
            sock.settimeout(self._timeout or None)
            if self._password:
                (outcome,) = self._exchange((Auth(self._password),), end)
                if isinstance(outcome, KvError):
                    raise outcome
        except BaseException as error:
            self.close()
            if end is not None and time.monotonic() >= end:
                raise TimedOut("there was no connection in time") from error
            if isinstance(error, (OSError, UnicodeError, Unavailable, TimedOut)):
                raise Unreachable(str(self._explained(error))) from error
            raise

    def _exchange(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]:
        assert self._connection
        sock, session = self._connection
        outcomes: List[object] = []
        for piece in session.ask(commands):
            if end:
                sock.settimeout(_within(self._timeout, end))
            sock.sendall(piece)
            while session.owed:
                if end:
                    sock.settimeout(_within(self._timeout, end))
                data = sock.recv(READ_SIZE)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                outcomes += session.receive(data)
        return outcomes

    def _explained(self, error: Exception) -> KvError:
        host, port = self._address
        if isinstance(error, socket.timeout):
            return TimedOut(f"no answer from {host}:{port} in time")
        return Unavailable(f"{host}:{port}: {getattr(error, 'strerror', None) or error}")


def _within(timeout: float, end: Optional[float]) -> Optional[float]:
    """Seconds to wait at the most; None for as long as it takes."""
    if end is None:
        return timeout or None
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return min(timeout or left, left)
