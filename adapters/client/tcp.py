"""An `Executor` over a connection: what runs here in process runs on a server, over TCP or a Unix
socket.

Rule: a connection is in use until all replies have come. One that may still owe a reply, whatever
ended the call, is never used again, nor is one on which anything arrived between two calls: the
next command opens a new one.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Callable, Iterator, List, Optional, Protocol, Sequence, TypeVar, cast

from adapters.client.address import Address
from application.commands import Auth, Command
from application.ports import Pipelined
from domain.errors import KvError, TimedOut, Unavailable, Unreachable

R = TypeVar("R")

READ_SIZE = 64 * 1024
"""Bytes asked for by one read. Larger buffers come from the system each time, at 16 µs apiece."""

SEND_SIZE = 64 * 1024
"""Bytes offered to one `send`; each that is taken, in part or as a whole, is progress."""


class Session(Protocol):
    """The conversation with a server, in bytes; not bound to any socket."""

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        ...

    @property
    def may_close(self) -> bool:
        """Whether the server may close the connection after what it has replied."""
        ...

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all replies in flight."""
        ...

    def receive_data(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order sent."""
        ...

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection, in their order."""
        ...


class Socket(Protocol):
    """The part of a blocking socket that is used; gevent's has it too."""

    def send(self, data: bytes) -> int: ...

    def recv(self, size: int) -> bytes: ...

    def settimeout(self, timeout: Optional[float]) -> None: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


Connect = Callable[[Address, Optional[float]], Socket]
"""Opens a connection to an address, within so many seconds."""

NewPoll = Callable[[], Any]
"""Makes what `select.poll` makes."""


class _Link:
    """An open connection. It is closed with its last reference."""

    __slots__ = ("idle", "session", "sock", "unread")

    def __init__(self, sock: Socket, session: Session, new_poll: NewPoll) -> None:
        self.sock = sock
        self.session = session
        self.idle = False
        """Whether all replies have come, so that another call may use it."""
        poll = new_poll()
        poll.register(sock.fileno(), select.POLLIN)
        self.unread: Callable[[int], List[Any]] = poll.poll
        """Called with 0, whether something can be read: at rest, that the server has closed the
        connection, or has sent what was not asked for."""

    def __del__(self) -> None:
        sock: Optional[Socket] = getattr(self, "sock", None)  # a signal may end `__init__` early
        if sock is not None:
            sock.close()


class TcpClient(Pipelined):
    """Sends commands to one server, over one connection that it opens when first needed.

    For one thread, or one greenlet, at a time. Times are in seconds, and 0 is for as long as it
    takes: `connect_timeout` bounds connecting, `timeout` each wait for progress, which is the wait
    until the system takes some of what is sent, or has received something. Where there is a
    password, it is sent first.
    """

    def __init__(
        self,
        address: Address,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        connect: Connect,
        password: str = "",
        new_poll: NewPoll = select.poll,
    ) -> None:
        self._address = address
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._new_session = new_session
        self._connect = connect
        self._password = password
        self._new_poll = new_poll
        self._link: Optional[_Link] = None

    def execute(self, command: Command[R]) -> R:
        """The command's result; raises the `KvError` it was refused with, `TimedOut` when no reply
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

        Returns the results in order, a refused one's `KvError` in its place; raises `TimedOut` and
        `Unavailable` as `execute` does, `TimedOut` also at `end` by `time.monotonic`. Where a
        refusal makes the server close the connection, the commands that were not sent yet are sent
        on another one; an error then stands in the place of those it befell.
        """
        outcomes = self._converse(commands, end)
        while len(outcomes) < len(commands):
            rest = commands[len(outcomes) :]
            try:
                outcomes += self._converse(rest, end)
            except (Unavailable, TimedOut) as error:
                outcomes += [error] * len(rest)
        return outcomes

    def close(self) -> None:
        """Hang up; the next command connects again."""
        link, self._link = self._link, None
        if link is not None:
            link.sock.close()

    abandon = close
    """Closing a descriptor sends nothing while another process has it open as well."""

    def _converse(self, commands: Sequence[Command[Any]], end: Optional[float]) -> List[object]:
        """The outcomes of the commands, or of the first of them up to one after whose refusal the
        server may close the connection."""
        link = self._link
        if link is None or not link.idle or link.unread(0):
            self.close()
            link = self._open(end)
        link.idle = False
        try:
            outcomes = self._exchange(link, commands, end)
        except (OSError, Unavailable) as error:
            self.close()
            raise self._to_kv_error(error) from error
        except BaseException:
            self.close()
            raise
        if link.session.may_close:
            self.close()
        link.idle = True
        return outcomes

    def _open(self, end: Optional[float]) -> _Link:
        """Connect and authenticate; whatever fails here, no command was sent."""
        try:
            sock = self._connect(self._address, _within(self._connect_timeout, end))
            self._link = link = _Link(sock, self._new_session(), self._new_poll)
            sock.settimeout(self._timeout or None)
            if self._password:
                (outcome,) = self._exchange(link, (Auth(self._password),), end)
                if isinstance(outcome, KvError):
                    raise outcome
            return link
        except (OSError, UnicodeError, Unavailable, TimedOut) as error:
            self.close()
            if end is not None and time.monotonic() >= end:
                raise TimedOut(f"no connection to {self._address} in time") from error
            raise Unreachable(str(self._to_kv_error(error))) from error
        except BaseException:
            self.close()
            raise

    def _exchange(
        self, link: _Link, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        sock, session = link.sock, link.session
        outcomes: List[object] = []
        for piece in session.send(commands):
            if end is not None:
                sock.settimeout(_within(self._timeout, end))
            try:
                sent = sock.send(piece if len(piece) <= SEND_SIZE else piece[:SEND_SIZE])
                if sent < len(piece):
                    self._send_rest(sock, piece, sent, end)
            except (BrokenPipeError, ConnectionResetError):
                pass  # what the server said until then can be received all the same
            while session.in_flight:
                if end is not None:
                    sock.settimeout(_within(self._timeout, end))
                try:
                    data = sock.recv(READ_SIZE)
                except ConnectionResetError:
                    data = b""
                outcomes += session.receive_data(data) if data else session.receive_eof()
            if session.may_close:
                break
        return outcomes

    def _send_rest(self, sock: Socket, piece: bytes, sent: int, end: Optional[float]) -> None:
        while sent < len(piece):
            if end is not None:
                sock.settimeout(_within(self._timeout, end))
            sent += sock.send(piece[sent : sent + SEND_SIZE])

    def _to_kv_error(self, error: Exception) -> KvError:
        if isinstance(error, socket.timeout):
            return TimedOut(f"no answer from {self._address} in time")
        return Unavailable(f"{self._address}: {getattr(error, 'strerror', None) or error}")


def _within(timeout: float, end: Optional[float]) -> Optional[float]:
    """The most seconds to wait; None for no limit."""
    if end is None:
        return timeout or None
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return min(timeout or left, left)
