"""An `Executor` over a connection: what runs here in process runs on a server, over TCP or a Unix
socket.

Rule: a connection is in use until all replies have come; see `connection` for what ends it.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from collections import deque
from time import monotonic
from typing import Any, Callable, Deque, List, Optional, Protocol, Sequence, TypeVar

from adapters.client.address import Address
from adapters.client.connection import (
    NOT_OPENED,
    SEND_SIZE,
    Connection,
    Session,
    within,
)
from adapters.client.unread import NewPoll, unread
from application.commands import Auth, Command
from application.ports import Pipelined
from domain.errors import KvError, TimedOut, Unavailable

R = TypeVar("R")

READ_SIZE = 64 * 1024
"""Bytes asked for by one read. Larger buffers come from the system each time, at 16 µs apiece."""

MAX_LEFT = 2
"""How many connections on which calls were broken off are kept for `settle`, for each in use."""

MIN_PAUSE, MAX_PAUSE = 0.0005, 0.02
"""Seconds between two looks at them."""


class Socket(Protocol):
    """The part of a blocking socket that is used; gevent's has it too."""

    def send(self, data: bytes) -> int: ...

    def recv(self, size: int) -> bytes: ...

    def settimeout(self, timeout: Optional[float]) -> None: ...

    def fileno(self) -> int: ...

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None: ...


Connect = Callable[[Address, Optional[float]], Socket]
"""Opens a connection to an address, within so many seconds."""


class _Link:
    """An open connection. It is closed with its last reference."""

    __slots__ = ("idle", "session", "sock", "unread")

    def __init__(self, sock: Socket, session: Session, new_poll: NewPoll) -> None:
        self.sock = sock
        self.session = session
        self.idle = False
        """Whether all replies have come, so that another call may use it."""
        self.unread = unread(sock, new_poll)
        """Whether the server has closed the connection, or has sent what was not asked for."""

    def close(self) -> None:
        self.sock.close()

    abandon = close
    """Closing a descriptor sends nothing while another process has it open as well."""

    def __del__(self) -> None:
        sock: Optional[Socket] = getattr(self, "sock", None)  # a signal may end `__init__` early
        if sock is not None:
            sock.close()


class _Left:
    """The rest of a connection on which a call was broken off: the server, which is told that
    nothing more comes, closes it once it has executed what has arrived. Any number of callers may
    ask for that; the descriptor is closed with the last reference."""

    __slots__ = ("_descriptor",)

    def __init__(self, sock: Socket) -> None:
        sock.shutdown(socket.SHUT_WR)
        self._descriptor = os.dup(sock.fileno())
        os.set_blocking(self._descriptor, False)

    def is_over(self) -> bool:
        """Whether the server has closed it."""
        try:
            while os.read(self._descriptor, READ_SIZE):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def __del__(self) -> None:
        descriptor: Optional[int] = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)


class TcpClient(Connection[_Link], Pipelined):
    """Sends commands to one server, over one connection. For one thread, or one greenlet, at a
    time."""

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
        super().__init__(address, connect_timeout, timeout, new_session, password, new_poll)
        self._connect = connect
        self._left: Deque[_Left] = deque(maxlen=MAX_LEFT)

    def settle(
        self, sleep: Callable[[float], object] = lambda seconds: time.sleep(seconds)
    ) -> None:
        """See `Pipelined`; waits for at most `timeout` seconds."""
        end = monotonic() + self._timeout if self._timeout else math.inf
        left, pause = list(self._left), MIN_PAUSE
        while not all(each.is_over() for each in left) and monotonic() < end:
            sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)
        for each in left:
            with contextlib.suppress(ValueError):  # another caller was faster
                self._left.remove(each)

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

    def _converse(self, commands: Sequence[Command[Any]], end: Optional[float]) -> List[object]:
        """The outcomes of the commands, or of the first of them up to one after whose refusal the
        server may close the connection."""
        link = self._link
        if link is None or not link.idle or link.unread():
            self.close()
            link = self._open(end)
        link.idle = False
        try:
            outcomes = self._exchange(link, commands, end)
        except (OSError, Unavailable) as error:
            raise self._lost(error) from error
        except BaseException:
            with contextlib.suppress(OSError):
                self._left.append(_Left(link.sock))
            self.close()
            raise
        if link.session.may_close:
            self.close()
        link.idle = True
        return outcomes

    def _open(self, end: Optional[float]) -> _Link:
        """Connect and authenticate; whatever fails here, no command was sent."""
        try:
            sock = self._connect(self._address, within(self._connect_timeout, end, monotonic))
            self._link = link = _Link(sock, self._new_session(), self._new_poll)
            sock.settimeout(self._timeout or None)
            if self._password:
                (outcome,) = self._exchange(link, (Auth(self._password),), end)
                if isinstance(outcome, KvError):
                    raise outcome
            return link
        except NOT_OPENED as error:
            raise self._not_opened(error, monotonic(), end) from error
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
                sock.settimeout(within(self._timeout, end, monotonic))
            try:
                sent = sock.send(piece if len(piece) <= SEND_SIZE else piece[:SEND_SIZE])
                if sent < len(piece):
                    self._send_rest(sock, piece, sent, end)
            except (BrokenPipeError, ConnectionResetError):
                pass  # what the server said until then can be received all the same
            while session.in_flight:
                if end is not None:
                    sock.settimeout(within(self._timeout, end, monotonic))
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
                sock.settimeout(within(self._timeout, end, monotonic))
            sent += sock.send(piece[sent : sent + SEND_SIZE])
